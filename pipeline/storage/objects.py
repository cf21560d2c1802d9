"""Input files in a store: listed by directory or glob, and read from any offset.

URL or glob ── sizes ──► URL to size, sorted
URL ── ObjectSource, for a ResumingFile ──► blocks that grow as long as a reader goes straight on
"""

from __future__ import annotations

import re

from schemas import stores
from schemas.stores import StoredObject, StoreError

FIRST_BLOCK_BYTES = 256 << 10
"""Of an object, at least so much is asked for at once; each next block is twice as long."""
_GLOB = re.compile(r"\*\*|[*?]|\[[^\]]*\]")


def sizes(pattern: str) -> dict[str, int]:
    """URL to size in bytes of every object that is `pattern` or matches it, sorted by URL.

    `*` and `?` stay within one name, `**` does not, `**/` may be nothing, [abc] and [!abc] are one character.
    """
    first = _GLOB.search(pattern)
    if first is None:
        stored = stores.look(pattern)
        return {} if stored is None else {pattern: stored.size_bytes}
    root = pattern[: pattern.rindex("/", 0, first.start())]
    wanted = re.compile(_expression(pattern), re.DOTALL)
    found = {stores.join(root, name): stored.size_bytes for name, stored in stores.below(root).items()}
    return {url: size for url, size in found.items() if wanted.fullmatch(url)}


def below(url: str) -> dict[str, int]:
    """URL to size in bytes of every object below a directory, sorted by URL."""
    return {stores.join(url, name): stored.size_bytes for name, stored in stores.below(url).items()}


def _expression(pattern: str) -> str:
    """A glob as a regular expression."""
    words, at = "", 0
    for part in _GLOB.finditer(pattern):
        words += re.escape(pattern[at : part.start()])
        at = part.end()
        match part[0]:
            case "**" if words.endswith("/") and pattern.startswith("/", at):
                words, at = words + "(?:.*/)?", at + 1
            case "**":
                words += ".*"
            case "*":
                words += "[^/]*"
            case "?":
                words += "[^/]"
            case letters:
                words += letters.replace("[!", "[^").replace("\\", "\\\\")
    return words + re.escape(pattern[at:])


class ObjectSource:
    """A file of a store, for a `ResumingFile`: the same version from the first byte to the last."""

    def __init__(self, url: str) -> None:
        self.name = url
        self.size_bytes: int | None = None
        self.is_seekable = True
        self._stored: StoredObject | None = None

    def open_at(self, position: int) -> ObjectBody:
        """The file from `position` on. FileNotFoundError where there is none, StoreError where it is another now."""
        if self._stored is None:
            self._stored = stores.look(self.name)
            if self._stored is None:
                raise FileNotFoundError(2, "no such object", self.name)
            self.size_bytes = self._stored.size_bytes
        return ObjectBody(self.name, self._stored, position)


class ObjectBody:
    """The rest of an object, of which one block is held."""

    def __init__(self, url: str, stored: StoredObject, position: int) -> None:
        self._url, self._stored, self._position = url, stored, position
        self._block, self._used = b"", 0
        self._next_bytes = FIRST_BLOCK_BYTES

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        if self._used == len(self._block):
            if self._position >= self._stored.size_bytes:
                return b""
            end = min(self._position + max(self._next_bytes, size), self._stored.size_bytes)
            self._block, _ = stores.read_range(self._url, self._position, end, self._stored.version)
            if not self._block:
                raise StoreError(f"{self._url} ends before its size")
            self._used, self._position = 0, self._position + len(self._block)
            self._next_bytes = min(2 * self._next_bytes, stores.BLOCK_BYTES)
        data = self._block[self._used : self._used + size]
        self._used += len(data)
        return data

    def close(self) -> None:
        """Forget the block."""
        self._block, self._used = b"", 0
