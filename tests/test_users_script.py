"""A user's script over the public surface type-checks by mypy's strict rules, and a wrong one does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

RIGHT = """
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from schemas import Documents, Encoding, ShardDirectory, UserError, open_dataset, paired_view, raw_view
from trainer import Dataset, EvaByte, Loader, LoaderSettings, Mixing, Sampling, generate, load_model


def rows(directory: str) -> Iterator[tuple[int, bytes, list[int]]]:
    dataset: ShardDirectory = open_dataset(directory)
    names: tuple[str, ...] = tuple(dataset.compressors)
    print(f"{len(dataset):,} documents, encoded by {', '.join(names)}")
    for row in paired_view(dataset.table(), names[0]).to_pylist():
        yield row["segment"], row["raw"], row["symbols"]


def whole(directory: str) -> pa.Table:
    return raw_view(open_dataset(Path(directory)).table())


def documents(texts: list[str]) -> tuple[Documents, np.ndarray]:
    made = Documents.from_bytes([text.encode() for text in texts])
    return made, made.offsets


def symbols(encoding: Encoding) -> np.ndarray:
    return encoding.symbols


def batches(directory: str) -> Loader:
    settings = LoaderSettings(sequence_length=512, global_batch_size=8, mixing=Mixing(mode="sentinel"))
    return Loader(Dataset(directory, compressor="neural"), settings)


def write(run: str, prompt: str) -> str:
    model, _ = load_model(run)
    checked: EvaByte = model
    (made,) = generate(checked, [prompt.encode()], max_bytes=80, sampling=Sampling(temperature=0.8))
    return made.text.decode(errors="replace")


try:
    print(write("runs/demo", "def"))
except UserError as error:
    raise SystemExit(error.exit_code) from error
"""

WRONG = {
    "open_dataset(3)": 'Argument 1 to "open_dataset" has incompatible type "int"',
    "paired_view(open_dataset('d').table())": 'Missing positional argument "compressor"',
    "len(open_dataset('d').compressor)": 'no attribute "compressor"',
    "load_model(1)": 'Argument 1 to "load_model" has incompatible type "int"',
    "generate(load_model('r')[0], ['text'], max_bytes=8)": 'List item 0 has incompatible type "str"',
    "generate(load_model('r')[0], [b'text'], max_bytes='8')": 'Argument "max_bytes" to "generate"',
}
"""A mistake, and what the type checker says of it."""


def check(path: Path, cache: Path) -> list[str]:
    """What mypy says of a script that lies outside of the repository."""
    options = ["--strict", "--follow-imports=silent", "--ignore-missing-imports", "--no-error-summary"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--config-file", "", "--cache-dir", str(cache), path.name],
        cwd=path.parent, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_users_script_type_checks(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(RIGHT)
    assert check(right, tmp_path / "cache") == []
    head = "from schemas import open_dataset, paired_view\nfrom trainer import generate, load_model\n"
    wrong.write_text(head + "".join(f"{line}\n" for line in WRONG))
    said = check(wrong, tmp_path / "cache")
    for number, words in enumerate(WRONG.values(), 3):
        assert any(line.startswith(f"wrong.py:{number}: error:") and words in line for line in said), (words, said)
