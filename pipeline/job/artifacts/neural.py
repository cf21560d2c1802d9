"""The neural compressor of a run, made from its byte LM and its sample."""

from __future__ import annotations

import logging
from typing import Any

from pipeline.compressors.neural.artifact import COMPRESSOR_NAME, read_described
from pipeline.compressors.neural.description import NeuralDescription
from pipeline.job.artifacts.artifact import GIVEN, Artifact
from pipeline.job.artifacts.byte_lm import ByteLM
from pipeline.job.artifacts.sample import Sample
from pipeline.job.settings import PreprocessSettings
from pipeline.storage import files
from schemas.batches import Documents
from schemas.byte_lm_files import read_byte_lm
from schemas.errors import ArtifactError
from schemas.progress import Progress
from schemas.sample import read_sample

logger = logging.getLogger(__name__)


class Neural(Artifact):
    """The neural compressor: θ, score table and codebook, with a copy of the byte LM."""

    stage = "codebook"

    def __init__(self, settings: PreprocessSettings, directory: str, byte_lm: ByteLM, sample: Sample) -> None:
        self._settings, self._byte_lm, self._sample = settings, byte_lm, sample
        self.needs = (byte_lm, sample)
        self.place = files.join(directory, "neural")
        self.path = files.join(self.place, COMPRESSOR_NAME)

    @property
    def request(self) -> dict[str, Any]:
        """The byte LM, the sample, and every setting of the compressor."""
        own = self._settings.models.neural.to_json()
        return {"lm": self._byte_lm.name, **own, **self._sample.request}

    def made_with(self) -> dict[str, Any] | None:
        """The request in its description."""
        return _described(self.place).request

    def check(self) -> None:
        """As any artifact, and ArtifactError where a byte LM that was given is another one."""
        super().check()
        if self._byte_lm.name == GIVEN:
            digest = read_byte_lm(self._byte_lm.directory).digest
            if digest != _described(self.place).lm_digest:
                raise ArtifactError(
                    f"{self.place} was made with another byte LM than {self._byte_lm.place}; choose another --output"
                )

    def build(self) -> None:
        """Calibrate θ on the sample, and encode its segments."""
        from pipeline.compressors.neural.build import build_neural

        sample = read_sample(self._sample.path)
        parts = (sample.train, sample.held_out)
        documents = Documents.from_bytes([part.text(i) for part in parts for i in range(len(part))])
        logger.info("building the codebook from %.1f MB", documents.raw.size / 1e6)
        with Progress(self.stage):
            build_neural(
                self.place,
                lm_directory=self._byte_lm.directory,
                documents=documents,
                settings=self._settings.models.neural,
                device=self._settings.device,
                threads=self._settings.workers,
                request=self.request,
            )


def _described(directory: str) -> NeuralDescription:
    """The description of a neural compressor, local or remote."""
    copy = files.LocalCopy(directory, names=[COMPRESSOR_NAME])
    with copy.named_by_origin(ArtifactError):
        return read_described(copy.directory)
