"""Bits of a text's second half after its first in some formats: only the rest counts, in either encoding."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from schemas.errors import DatasetError
from schemas.formats import AS_IS, REST, part_id
from schemas.vocabulary import BOS, COMP_BASE, COMP_OPEN, RAW_BASE, RAW_OPEN
from tests.trainer.datasets import COMPRESSOR, Text, make_texts, write_dataset
from tests.trainer.models import small_model
from trainer.evaluation.formatting import format_bits, read_reformatted

MODEL = small_model(vocabulary=COMP_BASE + 50)
PARTS = {
    "one": {AS_IS: (b"if x:\n", [3, 4]), "tabs": (b"if x:\n\n", [3, 5, 6]), REST: (b"  y", [7])},
    "two/three": {AS_IS: (b"a\n", [1]), "tabs": (b"\ta\n", [2, 2]), REST: (b"bcdef", [8, 9])},
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    texts = [
        Text(part_id(name, part), raw, symbols, 0, row)
        for row, (name, part, (raw, symbols)) in enumerate(
            (name, part, spelled) for name, parts in PARTS.items() for part, spelled in parts.items()
        )
    ]
    return write_dataset(tmp_path / "parts", texts[::-1])


def slow_bits(opening: list[int], context: list[int], rest: list[int]) -> float:
    """One forward over the whole text; log-probabilities of the rest."""
    ids = torch.tensor([[*opening, *context, *rest]])
    log_p = MODEL.logits(ids)[0, :, 0].double().log_softmax(-1)
    first = len(opening) + len(context)
    return -sum(float(log_p[first + k - 1, one]) for k, one in enumerate(rest)) / math.log(2)


@pytest.mark.parametrize("compressor", [None, COMPRESSOR])
def test_bits_per_byte_are_the_definitions(directory: Path, compressor: str | None) -> None:
    texts = read_reformatted(str(directory), compressor)
    with torch.inference_mode():
        found = format_bits(MODEL, texts, rows=2)
        for format in (AS_IS, "tabs"):
            bits = 0.0
            for parts in PARTS.values():
                if compressor:
                    opening = [BOS, COMP_OPEN]
                    context, rest = ([COMP_BASE + s for s in parts[part][1]] for part in (format, REST))
                else:
                    opening = [BOS, RAW_OPEN]
                    context, rest = ([RAW_BASE + b for b in parts[part][0]] for part in (format, REST))
                bits += slow_bits(opening, context, rest)
            assert found[format] == pytest.approx(bits / 8, rel=1e-4)
    assert found.keys() == {AS_IS, "tabs"}


def test_a_text_that_lacks_a_part_is_left_out(tmp_path: Path) -> None:
    texts = [Text(part_id("whole", part), b"abc", [1], 0, row) for row, part in enumerate((AS_IS, "tabs", REST))]
    texts.append(Text(part_id("torn", REST), b"abc", [1], 0, 3))
    assert len(read_reformatted(str(write_dataset(tmp_path / "parts", texts)), None).rests) == 1


def test_other_datasets_are_refused(tmp_path: Path) -> None:
    directory = str(write_dataset(tmp_path / "plain", make_texts([4])))
    with pytest.raises(DatasetError, match="make it from `python -m pipeline reformat`"):
        read_reformatted(directory, None)
    with pytest.raises(DatasetError, match="has no compressor 'zip'"):
        read_reformatted(directory, "zip")
