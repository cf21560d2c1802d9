"""What the models of a run have in common: a place, a request, and being made only where they are missing."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any

from pipeline.storage import files
from pipeline.timing import Clock
from schemas.errors import ArtifactError, refusing
from schemas.json_files import parse_object

GIVEN = "given"
"""What a request says of a model that the user named, wherever it is."""


class Artifact(ABC):
    """Something that a run needs and that later runs find again."""

    stage = ""
    """What the report calls the time of making it."""
    place: str
    """Its directory or file: what a user removes to have it made again."""
    path: str
    """The file of it that is written last: where this exists, the artifact does."""
    needs: tuple[Artifact, ...] = ()
    """What it is made from."""

    @property
    def request(self) -> dict[str, Any]:
        """The settings that decide it, beside the corpus, as JSON values."""
        return {}

    def made_with(self) -> dict[str, Any] | None:
        """The request that the existing one was made with, None where it is unknown; ArtifactError if it is damaged."""
        return None

    def check(self) -> None:
        """ArtifactError where the existing one is damaged or was made with another request."""
        made = self.made_with()
        for name, asked in self.request.items():
            if made is not None and made.get(name) != asked:
                raise ArtifactError(
                    f"{self.place} was made with {name}={str(made.get(name))[:60]}, asked is {name}={asked}; "
                    "choose another --output, or remove it"
                )

    @abstractmethod
    def build(self) -> None:
        """Make it in a local directory, where what it needs exists."""


def ensure(artifact: Artifact, clock: Clock) -> None:
    """Check an artifact that exists; make one that does not, and before it what it needs."""
    if files.exists(artifact.path):
        artifact.check()
        return
    for needed in artifact.needs:
        ensure(needed, clock)
    begin = time.monotonic()
    artifact.build()
    # The whole time: what the compressors attribute to stages of their own is part of the making here.
    clock.add(artifact.stage, time.monotonic() - begin)


def read_request(path: str) -> dict[str, Any] | None:
    """The request in a JSON file; None where there is no file, ArtifactError where it is damaged."""
    if not files.exists(path):
        return None
    with refusing(path, ArtifactError, "remove it and what lies beside it, and run the same command again"):
        return parse_object(files.read_bytes(path))
