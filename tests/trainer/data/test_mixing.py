"""Mixing: the share of comp is r in every mode and phase, and phases change at their step."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from kernels.counter_rng import draws, hash_strings, key
from kernels.packing import (
    COMP,
    COMP_RAW,
    RAW,
    RAW_COMP,
    Choice,
    Cursor,
    PackedDocuments,
    PackedSequences,
    pack_sequence,
)
from schemas.errors import SettingsError
from trainer.data.mixing import MODES, Mixing, pair_draw_probability

DOCUMENTS = 10_000


def counts(choice: Choice, seed: int, epoch: int = 0) -> list[int]:
    """How many of 10,000 documents the packer shows in each representation."""
    names = [f"{i:016x}".encode() for i in range(DOCUMENTS)]
    offsets = np.arange(0, 16 * DOCUMENTS + 1, 16)
    block = PackedDocuments(
        raw=np.zeros(DOCUMENTS, np.uint8),
        raw_offsets=np.arange(DOCUMENTS + 1),
        symbols=np.zeros(DOCUMENTS, np.uint16),
        symbol_offsets=np.arange(DOCUMENTS + 1),
        draws=draws(key(seed, epoch), hash_strings(np.frombuffer(b"".join(names), np.uint8), offsets)),
    )
    rows, listing = PackedSequences.empty(1, 8 * DOCUMENTS + 1, 0), np.empty((DOCUMENTS + 1, 2), np.int64)
    cursor, _, _, count = pack_sequence(block, Cursor(), choice, rows, index=0, column=0, number=0, listing=listing)
    assert cursor.document == count == DOCUMENTS
    return np.bincount(listing[:count, 1], minlength=4).tolist()


@pytest.mark.parametrize("step", [0, 2000, 5000, 9999, 10_000, 49_999])
@pytest.mark.parametrize("mode", MODES)
def test_comp_has_its_share_in_every_mode_and_phase(mode: str, step: int):
    phase = Mixing(mode=mode).phase(step)
    r, p = phase.compressed_fraction, phase.draw_comp
    raw, comp, comp_raw, raw_comp = counts(phase.choice, seed=step)
    pairs = comp_raw + raw_comp
    encodings = raw + comp + 2 * pairs
    share = (comp + pairs) / encodings
    # With f(p) = 1 / (2 - p) or p / (1 + p) while pairing and f(p) = p otherwise, the error is f'(p) that of p.
    slope = 1.0 if not phase.pairing else r**2 if r > 0.5 else (1 - r) ** 2
    assert abs(share - r) <= 3 * slope * math.sqrt(p * (1 - p) / DOCUMENTS), (share, r)
    assert abs(comp_raw - raw_comp) <= 3 * math.sqrt(pairs)
    assert (pairs > 0) == phase.pairing
    if phase.pairing:
        assert raw == 0 if r > 0.5 else comp == 0


@pytest.mark.parametrize("r", [0.0, 0.1, 0.5, 0.500001, 0.9, 1.0])
def test_the_algebra_of_pairs(r: float):
    p = pair_draw_probability(r)
    assert 0 <= p <= 1
    assert math.isclose(1 / (2 - p) if r > 0.5 else p / (1 + p), r, abs_tol=1e-12)
    phase = Mixing(mode="pair-always", initial_compressed_fraction=r, compressed_fraction=r).phase(0)
    raw, comp, comp_raw, raw_comp = counts(phase.choice, seed=1)
    assert raw == DOCUMENTS if r == 0 else comp == DOCUMENTS if r == 1 else comp_raw + raw_comp > 0


def test_phases_change_at_their_step():
    mixing = Mixing()
    assert [mixing.phase(step).pairing for step in (0, 9999, 10_000, 10_001)] == [True, True, False, False]
    shares = [mixing.phase(step).compressed_fraction for step in (0, 5000, 9999, 10_000, 50_000)]
    assert shares == pytest.approx([0.4, 0.65, 0.89995, 0.9, 0.9])
    ramp = [mixing.phase(step).compressed_fraction for step in range(10_001)]
    assert all(0 < b - a < 6e-5 for a, b in pairwise(ramp))
    assert all(Mixing(mode="pair-always").phase(step).pairing for step in (0, 9999, 10_000, 50_000))
    at_half = mixing.phase(2000)
    assert (at_half.compressed_fraction, at_half.draw_comp) == (0.5, 1.0)
    none = Mixing(warmup_steps=0).phase(0)
    assert (none.pairing, none.compressed_fraction) == (False, 0.9)


def test_sentinels_and_baselines():
    assert [Mixing(mode=mode).phase(0).choice.sentinels for mode in MODES] == [False, True, True, True, True, True]
    assert counts(Mixing(mode="raw-only").phase(5).choice, 0)[RAW] == DOCUMENTS
    assert counts(Mixing(mode="comp-only").phase(5).choice, 0)[COMP] == DOCUMENTS
    assert [Mixing(mode=mode).needs_raw for mode in MODES] == [True] * 5 + [False]
    assert [Mixing(mode=mode).needs_comp for mode in MODES] == [True] * 4 + [False, True]


def test_epochs_and_seeds_draw_anew():
    choice = Mixing(mode="sentinel", initial_compressed_fraction=0.5).phase(0).choice
    found = {tuple(counts(choice, seed, epoch)) for seed in range(2) for epoch in range(2)}
    assert len(found) == 4
    assert {COMP_RAW, RAW_COMP} == {2, 3}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "pairs"}, "--mode is 'pairs'; choose one of none, sentinel"),
        ({"compressed_fraction": 1.1}, "--compressed-fraction is 1.1, it must be between 0 and 1"),
        ({"initial_compressed_fraction": float("nan")}, "--initial-compressed-fraction is nan"),
        ({"warmup_steps": -1}, "--mixing-warmup-steps is -1"),
    ],
)
def test_wrong_settings_are_named(wrong: dict, message: str):
    with pytest.raises(SettingsError, match=message):
        Mixing(**wrong)
