"""Shards that are damaged, cut or deleted after the run: `verify` names them, and so does the trainer's loader."""

from __future__ import annotations

import hashlib
import random
import shutil
from pathlib import Path

from schemas.errors import UserError
from tests.soak.child import Child, pipeline_child
from tests.soak.laws import law
from tests.soak.runs import LIMIT_SECONDS, Subject
from trainer.data.dataset import Dataset

NAMED = "names it"
UNHARMED = "reads the right data (the damage is in what it does not read)"
DECEIVED = "reads OTHER data and does not notice"


def damaged_shard(rng: random.Random, subject: Subject, place: Path) -> str:
    """A byte of a shard is another one."""
    output, shard = _copy(rng, subject, place)
    data = bytearray(shard.read_bytes())
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    shard.write_bytes(data)
    told = _told(output, shard, subject)
    law(DECEIVED not in told, f"byte {at:,} of {len(data):,} changed: {told}")
    return f"byte {at:,} of {len(data):,} changed: {told}"


def truncated_shard(rng: random.Random, subject: Subject, place: Path) -> str:
    """The end of a shard is gone, or something follows it."""
    output, shard = _copy(rng, subject, place)
    data = shard.read_bytes()
    size_bytes = rng.choice((0, 1, len(data) - 1, rng.randrange(len(data))))
    shard.write_bytes(data[:size_bytes] if rng.random() < 0.8 else data + bytes(8))
    told = _told(output, shard, subject)
    law(NAMED in told, f"a shard of another size: {told}")
    return f"{len(data):,} bytes became {shard.stat().st_size:,}: {told}"


def missing_shard(rng: random.Random, subject: Subject, place: Path) -> str:
    """A shard was deleted."""
    output, shard = _copy(rng, subject, place)
    shard.unlink()
    told = _told(output, shard, subject)
    law(NAMED in told, f"a shard that is gone: {told}")
    return f"deleted: {told}"


def _told(output: Path, shard: Path, subject: Subject) -> str:
    _check_verify(output, shard)
    undisturbed = output.parent.parent / f"undisturbed-{subject.name}"
    return f"verify names the shard, the loader {_loader_says(output, shard, undisturbed)}"


def _copy(rng: random.Random, subject: Subject, place: Path) -> tuple[Path, Path]:
    """A copy of the finished dataset, and one of its shards that is to suffer."""
    output = place / "out"
    shutil.copytree(place.parent / f"undisturbed-{subject.name}", output)
    return output, rng.choice(sorted(output.glob("shard-*")))


def _check_verify(output: Path, shard: Path) -> None:
    outcome = pipeline_child(["verify", str(output)], output.parent / "verify").wait(limit_seconds=LIMIT_SECONDS)
    law(outcome.status in (1, 2), f"verify ends with {outcome.status}: {outcome.last_line}")
    law(outcome.last_line.startswith("error: ") and shard.name in outcome.last_line, f"verify: {outcome.last_line}")
    law("Traceback" not in outcome.stderr, "verify shows a traceback")


def _loader_says(output: Path, shard: Path, undisturbed: Path) -> str:
    """What the trainer's loader, which reads everything, makes of the shard."""

    def load() -> int:
        try:
            print(_read_all(output))
        except UserError as error:
            print(error)
            return error.exit_code
        return 0

    outcome = Child(load, output.parent / "loader").wait(limit_seconds=LIMIT_SECONDS)
    law(outcome.status in (0, 1, 2), f"the loader ends with {outcome.status}: {outcome.stderr[-300:]}")
    law(not outcome.status or shard.name in outcome.stdout, f"the loader says {outcome.stdout!r}")
    if outcome.status:
        return NAMED
    return UNHARMED if outcome.stdout.strip() == _read_all(undisturbed) else DECEIVED


def _read_all(output: Path) -> str:
    """A digest of all texts and gzip symbols, as the trainer gets them."""
    dataset, digest = Dataset(str(output), compressor="gzip"), hashlib.sha256()
    for index, entry in enumerate(dataset.shards):
        row = 0
        while row < entry.rows:
            batch = dataset.batch_at(index, row)
            digest.update(batch.raw.tobytes() + batch.symbols.tobytes())
            row = batch.end_row
    return digest.hexdigest()
