"""What of a continuation may be shown already: nothing from a stop string on, and whole characters only."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class StopFinder:
    """Passes bytes on up to the first stop string, and holds back what may be the beginning of one."""

    def __init__(self, stops: Sequence[bytes]) -> None:
        self.stops = tuple(stops)
        self.stopped = False
        """Whether a stop string has come; nothing is passed on after it."""
        self._held = b""

    def feed(self, new: bytes) -> bytes:
        """The bytes that can be shown now."""
        if self.stopped:
            return b""
        text = self._held + new
        # The stop that is whole first, and of those the one that begins first: as if bytes came one at a time.
        found = [(text.find(stop) + len(stop), text.find(stop)) for stop in self.stops if stop in text]
        if found:
            self.stopped, self._held = True, b""
            return text[: min(found)[1]]
        held = max((_overlap(text, stop) for stop in self.stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> bytes:
        """What was held back, once nothing more comes."""
        held, self._held = self._held, b""
        return held


def _overlap(text: bytes, stop: bytes) -> int:
    """Length of the longest end of `text` with which `stop` begins, less than all of `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0


class Characters:
    """Bytes to text, whole characters at a time; what is no UTF-8 becomes U+FFFD, as `bytes.decode` replaces it."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, new: bytes, *, last: bool = False) -> str:
        """The characters that are whole now."""
        return self._decoder.decode(new, last)
