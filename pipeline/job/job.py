"""One run, described once: made before any unit is compressed, and handed to every worker and to publication.

PreprocessSettings ──┐
units of the corpus ─┼─ plan_job ──► Job: settings, directory, identity, what the manifest says of the compressors
finished artifacts ──┘
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.compressors.base import Loading
from pipeline.compressors.registry import COMPRESSORS_DIRECTORY, describe_compressors
from pipeline.corpus.units import WorkUnit
from pipeline.job.artifacts.needed import artifacts_digest
from pipeline.job.settings import LM_SIZES, PreprocessSettings
from pipeline.storage import files
from schemas.config import to_json
from schemas.files import canonical_json, sha256_hex
from schemas.shards import FORMAT_VERSION

WORK_DIRECTORY = "_work"
"""What a run needs until its dataset is finished."""
REJECTS_DIRECTORY = "rejects"
NOT_CONTENT = {
    *("output", "compressors_of", "shards", "unit_bytes", "max_reject_fraction", "learn_once"),
    *("workers", "device", "runner", "beam_options"),
}
"""Settings that the shards' bytes depend on by the units alone, or not at all. All others are part of the identity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """All that the parts of a run have in common. It travels to the workers by pickle."""

    settings: PreprocessSettings
    """What was asked for, without Beam's options: these may hold credentials, and no worker needs them."""
    output: str
    """Directory of the dataset, an absolute path or a URL."""
    identity: str
    """Digest of everything that the shards depend on: equal runs have equal identities and equal shards."""
    compressors: dict[str, dict[str, Any]]
    """Name to what the manifest says about it."""
    versions: dict[str, str]
    """Versions of the libraries that the shards' bytes depend on, for the manifest."""

    @property
    def loading(self) -> Loading:
        """From where and how the compressors are loaded."""
        return _loading(self.settings, self.output)

    @property
    def encoding_identity(self) -> str:
        """The identity with the digests of the compressors, zlib's among them: what a commit record is compared by.

        A dataset that is finished is the same run's on a machine with another zlib; half of one must not go on there.
        """
        digests = {name: entry["digest"] for name, entry in self.compressors.items()}
        return sha256_hex(canonical_json([self.identity, digests]))

    @property
    def manifest_settings(self) -> dict[str, Any]:
        """What the manifest says about the settings, as JSON values."""
        return {**content(self.settings), "identity": self.identity}

    @property
    def is_in_store(self) -> bool:
        """Whether a file of OUTPUT is there whole or not at all, so that none is staged before it gets its name."""
        return not files.is_local(self.output)

    def path(self, *names: str) -> str:
        """A path below the directory of the dataset."""
        return files.join(self.output, *names)

    def commit_path(self, unit: int) -> str:
        """The commit record of a unit."""
        return self.path(WORK_DIRECTORY, "done", commit_name(unit))

    def staged_path(self, name: str) -> str:
        """A file that waits for its final name."""
        return self.path(WORK_DIRECTORY, "staged", name)

    def learned_path(self, *names: str) -> str:
        """A path below the directory of what is learned before any shard; each run has one of its own."""
        return self.path(WORK_DIRECTORY, f"learned-{self.identity[:16]}", *names)

    def rejects_path(self, shard: str) -> str:
        """The rejects of a shard."""
        return self.path(REJECTS_DIRECTORY, shard.removesuffix(".arrow") + ".jsonl")

    def make_work_directories(self) -> None:
        """Make the directories of commit records and staged files."""
        for name in ("done", "staged"):
            files.make_directory(self.path(WORK_DIRECTORY, name))


def commit_name(unit: int) -> str:
    """File name of the commit record of a unit."""
    return f"unit-{unit:05d}.json"


def plan_job(settings: PreprocessSettings, units: Sequence[WorkUnit]) -> Job:
    """Describe the run over `units`. Its artifacts must be there; ArtifactError where one cannot be described."""
    # Workers run in other directories than this process.
    output = os.path.abspath(settings.output) if files.is_local(settings.output) else settings.output
    described = describe_compressors(settings.compressors, _loading(settings, output))
    return Job(
        settings=dataclasses.replace(settings, beam_options=()),
        output=output,
        identity=identity(settings, units),
        compressors={name: description.to_json() for name, description in described.items()},
        versions=_versions(settings.device),
    )


def content(settings: PreprocessSettings) -> dict[str, Any]:
    """The settings that the shards depend on, as JSON values.

    Where a model was given, its digest is part of the identity, and its path does not matter.
    """
    values = {name: value for name, value in to_json(settings).items() if name not in NOT_CONTENT}
    del values["corpus"]["inputs"]
    models = values["models"]
    models["lm"] = settings.models.lm if settings.models.lm in LM_SIZES else "given"
    models["tokenizer"] = "given" if settings.models.tokenizer else "trained"
    models["neural"] = settings.models.neural.to_json()
    return values


def identity(settings: PreprocessSettings, units: Sequence[WorkUnit]) -> str:
    """A name for the run's result: equal runs have equal shards.

    It is the digest of canonical JSON with the pieces of each unit, written unit by unit, for a million files are many.
    """
    artifacts = artifacts_digest(files.join(settings.output, COMPRESSORS_DIRECTORY))
    parts = {"artifacts": artifacts, "format": FORMAT_VERSION, "settings": content(settings), "units": []}
    end = b"\n}\n"
    digest = hashlib.sha256(canonical_json(parts).removesuffix(b"]" + end))
    for number, unit in enumerate(units):
        pieces = canonical_json([(p.source, p.format, p.start, p.end, p.size_bytes) for p in unit.pieces])
        # As deep as it lies in the whole: JSON's strings hold no line ends.
        digest.update((b"," if number else b"") + b"\n  " + pieces.rstrip(b"\n").replace(b"\n", b"\n  "))
    digest.update((b"\n ]" if units else b"]") + end)
    return digest.hexdigest()


def _loading(settings: PreprocessSettings, output: str) -> Loading:
    return Loading(
        directory=files.join(output, COMPRESSORS_DIRECTORY),
        device=settings.device,
        settings={"token_bytes": settings.models.token_bytes},
    )


def _versions(device: str) -> dict[str, str]:
    from importlib.metadata import version

    names = ("apache-beam", "numba", "numpy", "pyarrow", "sentencepiece", "torch")
    return {"python": platform.python_version(), "device": device, **{name: version(name) for name in names}}
