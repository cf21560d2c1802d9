"""Crafted shards: one value in one buffer is another one, and the manifest has the new sha256, as an attacker would.

    dataset ── a buffer of a column, a place in it, a value ──► shard, manifest ── in a child ──► verify, decode, show
                                                                                                  loader

Every command ends in one line and exit status 0, 1 or 2; none crashes or shows a traceback; and what `verify` calls
verified holds the texts that were written.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.__main__ import main
from schemas.errors import UserError
from schemas.files import canonical_json, file_sha256
from schemas.manifest import MANIFEST_NAME
from tests.soak.child import Child
from tests.soak.laws import BrokenLawError, Case, law
from tests.soak.runs import LIMIT_SECONDS, make_models, texts
from trainer.data.dataset import Dataset
from trainer.data.loader import Loader, LoaderSettings
from trainer.data.mixing import Mixing

VALUES = (0, 1, -1, 2**31 - 1, -(2**31), 2**63 - 1, 255, 256)
"""Written over what is there, besides single bits that are turned."""
PER_CHILD = 8
"""Mutations that one child tries after each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Buffer:
    """A buffer of a shard's record batch, where it lies in the file."""

    column: str
    start: int
    size_bytes: int
    item_bytes: int
    """Of the values that are written there."""


def mutations(scratch: Path, *, count: int, seed: int, limit_seconds: float) -> Iterator[Case]:
    """Mutations of every buffer in turn, some to a child."""
    limit = time.monotonic() + limit_seconds
    source = make_dataset(scratch)
    (shard,) = source.glob("shard-*")
    buffers = buffers_of(shard)
    for number in range(0, count, PER_CHILD):
        if time.monotonic() > limit:
            break
        place = scratch / f"mutation-{number}"
        place.mkdir()
        tried = range(number, min(number + PER_CHILD, count))
        outcome = Child(lambda: _try_all(source, buffers, place, tried, seed), place / "log").wait(  # noqa: B023
            limit_seconds=LIMIT_SECONDS
        )
        try:
            law(
                outcome.status == 0, f"status {outcome.status} after {outcome.stdout[-300:]!r}: {outcome.stderr[-600:]}"
            )
            yield Case(f"mutations {number} to {tried[-1]}: {_counted(outcome.stdout)}", True, len(tried))
            shutil.rmtree(place)
        except BrokenLawError as error:
            yield Case(f"FAILED mutations from {number} ({place}): {error}", False, len(tried))


def make_dataset(scratch: Path) -> Path:
    """A shard of two record batches with all compressors and scores, without buffer compression."""
    models = make_models(scratch / "models")
    with open(scratch / "corpus.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts(24))
    out = scratch / "source"
    options = ["--tokenizer", models.tokenizer, "--workers", "1", "--shards", "1", "--compression", "none"]
    kinds = ["--compressors", "neural,tokenizer,gzip,token_bytes", "--write-entropy", *models.neural_options]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert (
            main(["preprocess", "--input", str(scratch / "corpus.jsonl"), "--output", str(out), *options, *kinds]) == 0
        )
    return out


def buffers_of(shard: Path) -> list[Buffer]:
    """All buffers of all record batches; addresses in a memory map tell where they lie."""
    with pa.memory_map(str(shard)) as file:
        begin = file.read_buffer(0).address if file.size() == 0 else pa.py_buffer(file.read_buffer()).address
        reader = pa.ipc.open_file(file)
        found = []
        for index in range(reader.num_record_batches):
            batch = reader.get_batch(index)
            for name in batch.schema.names:
                found += list(_buffers(name, batch[name], begin))
        found.append(Buffer(column="the file", start=0, size_bytes=file.size(), item_bytes=8))
    return found


def _buffers(name: str, array: pa.Array, begin: int) -> Iterator[Buffer]:
    if isinstance(array, pa.DictionaryArray):
        yield from _buffers(f"{name}.codes", array.indices, begin)
        yield from _buffers(f"{name}.values", array.dictionary, begin)
        return
    if isinstance(array, pa.StructArray):
        for field in array.type:
            yield from _buffers(f"{name}.{field.name}", array.field(field.name), begin)
        return
    own = array.buffers()[: 2 if isinstance(array, pa.ListArray) else None]
    for number, buffer in enumerate(own):
        if buffer is not None and buffer.size:
            width = 8 if pa.types.is_large_binary(array.type) else 4
            data = number == 2 or pa.types.is_primitive(array.type)
            item_bytes = (
                max(1, array.type.bit_width // 8) if pa.types.is_primitive(array.type) else 1 if data else width
            )
            yield Buffer(column=name, start=buffer.address - begin, size_bytes=buffer.size, item_bytes=item_bytes)
    if isinstance(array, pa.ListArray):
        yield from _buffers(name, array.values, begin)


def _try_all(source: Path, buffers: list[Buffer], place: Path, numbers: range, seed: int) -> int:
    """Every mutation of these numbers, in this process; says on standard output what each came to."""
    for number in numbers:
        rng = random.Random(f"{seed}:{number}")
        buffer = buffers[number % len(buffers)]
        target = place / f"{number}"
        shutil.copytree(source, target)
        print(f"{number} {mutate(target, buffer, rng)}:", end=" ", flush=True)
        print(", ".join(_outcomes(target, source)), flush=True)
        shutil.rmtree(target)
    return 0


def mutate(dataset: Path, buffer: Buffer, rng: random.Random) -> str:
    """Write one value over another one and the new sha256 into the manifest; says what was done."""
    (shard,) = dataset.glob("shard-*")
    data = bytearray(shard.read_bytes())
    at = buffer.start + buffer.item_bytes * rng.randrange(max(1, buffer.size_bytes // buffer.item_bytes))
    before = bytes(data[at : at + buffer.item_bytes])
    if rng.random() < 0.5:
        bits = 8 * buffer.item_bytes
        value = rng.choice(VALUES) & ((1 << bits) - 1)
        data[at : at + buffer.item_bytes] = value.to_bytes(buffer.item_bytes, "little")
    else:
        data[at + rng.randrange(buffer.item_bytes)] ^= 1 << rng.randrange(8)
    shard.write_bytes(data)
    manifest = json.loads((dataset / MANIFEST_NAME).read_bytes())
    manifest["shards"][0]["sha256"] = file_sha256(shard)
    (dataset / MANIFEST_NAME).write_bytes(canonical_json(manifest))
    return f"{buffer.column} at {at}: {before.hex()} became {data[at : at + buffer.item_bytes].hex()}"


def _outcomes(dataset: Path, source: Path) -> Iterator[str]:
    """What each command makes of it; BrokenLawError where it says more than one line, or lies."""
    (shard,) = dataset.glob("shard-*")
    out = dataset.parent / "decoded"
    verified = False
    for name, arguments in {
        "verify": ["verify", str(dataset)],
        "decode": ["decode", str(dataset), "--out", str(out)],
        "raw": ["show", str(shard), "--view", "raw", "--head", "99"],
        "comp": ["show", str(shard), "--view", "comp", "--compressor", "neural", "--head", "99"],
        "paired": ["show", str(shard), "--view", "paired", "--compressor", "token_bytes", "--head", "9999"],
        "windows": ["show", str(shard), "--view", "windows", "--head", "9999"],
    }.items():
        status = _one_line(lambda arguments=arguments: main(arguments), name)  # type: ignore[misc]
        verified |= name == "verify" and status == 0
        yield f"{name} {status}"
    shutil.rmtree(out, ignore_errors=True)
    digests: list[bytes] = []

    def load() -> int:
        digests.append(read_everything(dataset))
        return 0

    status = _one_line(load, "loader")
    law(not verified or status == 0, "verify finds nothing wrong, the loader does")
    law(not verified or digests == [read_everything(source)], "verify finds nothing wrong with other texts")
    yield f"loader {status}"


def _one_line(command: Callable[[], int], name: str) -> int:
    """The exit status of a command that ends well or says in one line why not."""
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        try:
            status = command()
        except UserError as error:
            status = error.exit_code
            print(f"error: {error}", file=errors)
    said = [line for line in errors.getvalue().splitlines() if line.startswith("error: ")]
    law(status == 0 or (status in (1, 2) and len(said) == 1), f"{name} ends with {status}: {errors.getvalue()[-400:]}")
    law("Traceback" not in errors.getvalue(), f"{name}: {errors.getvalue()[-400:]}")
    return status


def read_everything(dataset: Path) -> bytes:
    """Texts as the trainer reads them, and two batches of rows of each compressor."""
    whole = b""
    for compressor in ("neural", "gzip"):
        opened = Dataset(str(dataset), compressor=compressor)
        settings = LoaderSettings(
            sequence_length=256,
            global_batch_size=2,
            lanes=2,
            interleave=1,
            prefetch=0,
            mixing=Mixing(mode="pair-always", warmup_steps=0),
        )
        with Loader(opened, settings) as loader:
            for _ in range(2):
                next(loader)
        for index, entry in enumerate(opened.shards):
            row = 0
            while row < entry.rows:
                batch = opened.batch_at(index, row)
                whole += batch.raw.tobytes() if compressor == "neural" else b""
                row = batch.end_row
    return whole


def _counted(said: str) -> str:
    lines = said.splitlines()
    refused = sum("verify 1" in line or "verify 2" in line for line in lines)
    return f"{refused} of {len(lines)} refused by verify"
