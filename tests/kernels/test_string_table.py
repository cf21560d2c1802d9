"""The string table past several growths: still a dict, and a look-up under way never meets a key it does not hold."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from kernels import string_table
from kernels.byte_spans import ByteSpans
from kernels.string_table import StringTable, _find, distinct


def many_strings(n: int, seed: int = 0) -> list[bytes]:
    """n distinct strings of 0 to 40 bytes, NULs and common prefixes among them."""
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, 3, rng.integers(0, 41)).astype(np.uint8).tobytes() for _ in range(2 * n)]
    return list(dict.fromkeys([b"", b"\x00", b"\x00\x00", *drawn]))[:n]


@pytest.mark.parametrize("batch", [1, 7, 511, 513, 4000])
def test_a_table_that_grows_again_and_again_is_a_dict(batch: int) -> None:
    strings = many_strings(400 if batch == 1 else 12_000)
    table = StringTable()
    for begin in range(0, len(strings), batch):
        table.insert(ByteSpans.from_bytes(strings[begin : begin + batch]))
    numbers, missing = table.find(ByteSpans.from_bytes(strings))
    assert (numbers.tolist(), missing) == (list(range(len(strings))), 0)
    absent = [string + b"\x07" for string in strings]
    numbers, missing = table.find(ByteSpans.from_bytes(absent))
    assert (set(numbers.tolist()), missing) == ({-1}, len(absent))
    stored = table.strings()
    assert stored.to_bytes() == strings
    assert table.memory_bytes >= stored.data.nbytes + stored.ends.nbytes


@pytest.mark.parametrize("behind", [0, 1, 7, 8])
def test_strings_of_every_length_are_told_apart_wherever_they_lie(behind: int) -> None:
    """Up to the end of their data, where eight bytes at once cannot be read, and before bytes that are not theirs."""
    longest = bytes(range(1, 27))
    strings = [longest[:size] for size in range(27)] + [longest[:size] + b"\x00" for size in range(27)]
    table = StringTable()
    table.insert(ByteSpans.from_bytes(strings))
    for number, string in enumerate(strings):
        data = np.frombuffer(string + b"\xff" * behind, np.uint8)
        span = ByteSpans(data, np.zeros(1, np.int64), np.array([len(string)]))
        assert table.find(span)[0].tolist() == [number]
        for place in range(len(string)):
            other = bytearray(string)
            other[place] ^= 0x80
            assert table.find(ByteSpans.from_bytes([bytes(other)]))[0].tolist() == [-1]


def test_distinct_strings_are_numbered_by_first_appearance() -> None:
    strings = many_strings(3000)
    mixed = [strings[i] for i in np.random.default_rng(1).integers(0, 3000, 9000)]
    firsts, group = distinct(ByteSpans.from_bytes(mixed))
    numbers = {string: number for number, string in enumerate(dict.fromkeys(mixed))}
    assert group.tolist() == [numbers[string] for string in mixed]
    assert firsts.tolist() == [mixed.index(string) for string in numbers]


@pytest.mark.parametrize("lengths", [(4, 60), (60, 4)], ids=["keys grow first", "slots grow first"])
def test_old_slots_never_name_keys_that_old_arrays_lack(lengths: tuple[int, int]) -> None:
    """What a look-up holds while another thread inserts is one of the tuples of arrays that ever were current."""
    strings = [f"{i:d}".encode().rjust(lengths[i % 2], b".") for i in range(3000)]
    table, held = StringTable(), []
    for begin in range(0, len(strings), 100):
        held.append(table._arrays)
        table.insert(ByteSpans.from_bytes(strings[begin : begin + 100]))
    spans = ByteSpans.from_bytes(strings)
    for slots, keys, key_bytes in held:
        ends = keys[3::2]
        assert slots.max() < ends.size
        assert ends[slots.max()] <= key_bytes.size
        out = np.empty(len(strings), np.int32)
        _find(slots, keys, key_bytes, spans.data, spans.starts, spans.ends, out)
        assert np.array_equal(out[out >= 0], np.flatnonzero(out >= 0))


def test_what_was_inserted_is_found_by_other_threads_during_growth() -> None:
    strings = many_strings(20_000)
    spans = ByteSpans.from_bytes(strings)
    table, wrong, done = StringTable(), [], threading.Event()

    def look_up() -> None:
        while not done.is_set():
            known = len(table)
            numbers, _ = table.find(spans)
            if not np.array_equal(numbers[:known], np.arange(known)):
                wrong.append(known)
            if not np.array_equal(numbers[numbers >= 0], np.flatnonzero(numbers >= 0)):
                wrong.append(-known)

    threads = [threading.Thread(target=look_up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for begin in range(0, len(strings), 137):
        part = slice(begin, begin + 137)
        table.insert(spans.take(part))
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_slot_filled_after_it_was_read_as_empty_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the probe of an unknown string and its answer another thread may publish another string in that slot."""
    for name in ("_probe", "_hash", "_word"):
        monkeypatch.setattr(string_table, name, getattr(string_table, name).py_func)
    spans = ByteSpans.from_bytes([b"known", b"asked for"])

    class Slots:
        """Empty slots, each of which another thread fills with entry 0 as soon as it has been read."""

        size = 1024

        def __init__(self) -> None:
            self.filled: set[int] = set()

        def __getitem__(self, slot: int) -> int:
            entry = 0 if slot in self.filled else -1
            self.filled.add(slot)
            return entry

    out, keys = np.empty(1, np.int32), np.zeros(4, np.uint64)
    with np.errstate(over="ignore"):
        missing = _find.py_func(Slots(), keys, spans.data, spans.data, spans.starts[1:], spans.ends[1:], out)
    assert (out.tolist(), missing) == ([-1], 1)
