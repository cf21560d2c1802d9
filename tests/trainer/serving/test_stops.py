"""Stop strings and characters: however bytes are cut into pieces, what is shown is the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainer.serving.stops import Characters, StopFinder

PIECES = st.lists(st.binary(max_size=4).map(lambda data: bytes(97 + byte % 2 for byte in data)), max_size=12)
STOPS = st.lists(st.text("ab", min_size=1, max_size=4).map(str.encode), max_size=3)


@given(PIECES, STOPS)
def test_what_is_shown_does_not_depend_on_the_pieces(pieces: list[bytes], stops: list[bytes]) -> None:
    """It ends where the stop begins that is whole first; of several, the longest."""
    text = b"".join(pieces)
    ends = [end for end in range(len(text) + 1) if any(text[:end].endswith(stop) for stop in stops)]
    expected = text
    if ends:
        expected = text[: ends[0] - max(len(stop) for stop in stops if text[: ends[0]].endswith(stop))]
    finder = StopFinder(stops)
    shown = b"".join(map(finder.feed, pieces)) + finder.flush()
    assert (shown, finder.stopped) == (expected, bool(ends))


@given(PIECES, STOPS)
def test_no_byte_of_a_stop_is_ever_shown(pieces: list[bytes], stops: list[bytes]) -> None:
    finder, shown = StopFinder(stops), b""
    for piece in pieces:
        shown += finder.feed(piece)
    shown += finder.flush()
    assert b"".join(pieces).startswith(shown)
    assert not any(stop in shown for stop in stops)
    assert finder.stopped == any(stop in b"".join(pieces) for stop in stops)


@given(st.lists(st.binary(max_size=3), max_size=10))
def test_characters_join_to_what_the_whole_decodes_to(pieces: list[bytes]) -> None:
    characters = Characters()
    shown = "".join(characters.feed(piece) for piece in pieces) + characters.feed(b"", last=True)
    assert shown == b"".join(pieces).decode("utf-8", "replace")
