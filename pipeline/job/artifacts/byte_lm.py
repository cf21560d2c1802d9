"""The byte LM of a run: trained by a process of its own, or given by the user."""

from __future__ import annotations

import logging
import subprocess
import sys
from functools import cached_property

from pipeline.job.artifacts.artifact import GIVEN, Artifact
from pipeline.job.artifacts.sample import Sample
from pipeline.job.settings import PreprocessSettings
from pipeline.storage import files
from schemas.byte_lm_files import CONFIG_NAME, read_byte_lm
from schemas.errors import ArtifactError

logger = logging.getLogger(__name__)


class ByteLM(Artifact):
    """A byte LM: a directory of two files, see `schemas.byte_lm_files`."""

    stage = "byte LM"
    name: str
    """Its size, or GIVEN."""

    @cached_property
    def _copy(self) -> files.LocalCopy:
        return files.LocalCopy(self.place)

    @property
    def directory(self) -> str:
        """Where it is on this machine."""
        return self._copy.directory


class TrainedLM(ByteLM):
    """A byte LM of a size that has a name, trained on the sample."""

    def __init__(self, settings: PreprocessSettings, directory: str, sample: Sample) -> None:
        self.name, self._device, self._sample = settings.models.lm, settings.device, sample
        self.needs = (sample,)
        self.place = files.join(directory, f"lm-{self.name}")
        self.path = files.join(self.place, CONFIG_NAME)

    def build(self) -> None:
        """Train it, in a process of its own; where one was killed, training continues."""
        logger.info("training the byte LM (%s) on the sample", self.name)
        command = [sys.executable, "-m", "trainer", "lm", "--sample", self._sample.path, "--size", self.name]
        command += ["--out", self.place, "--device", self._device]
        finished = subprocess.run(command, check=False)
        if finished.returncode:
            raise ArtifactError(
                f"`{' '.join(command[1:])}` failed with exit code {finished.returncode}; see its message above"
            )


class GivenLM(ByteLM):
    """A byte LM that the user named."""

    name = GIVEN

    def __init__(self, location: str) -> None:
        self.place, self.path = location, files.join(location, CONFIG_NAME)

    def check(self) -> None:
        """ArtifactError where it is damaged."""
        read_byte_lm(self.directory)

    def build(self) -> None:
        """ArtifactError: it is not where the user said."""
        read_byte_lm(self.directory)
