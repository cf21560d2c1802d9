"""The SentencePiece model of a run: trained on the sample, or given by the user."""

from __future__ import annotations

import logging
import os
from abc import abstractmethod
from functools import cached_property
from typing import Any

from pipeline.compressors.tokenizer.family import MODEL_NAME as TOKENIZER_NAME
from pipeline.job.artifacts.artifact import GIVEN, Artifact, read_request
from pipeline.job.artifacts.sample import Sample
from pipeline.job.settings import PreprocessSettings
from pipeline.storage import files
from schemas.errors import ArtifactError
from schemas.files import canonical_json
from schemas.progress import Progress
from schemas.sample import read_sample

logger = logging.getLogger(__name__)


class Tokenizer(Artifact):
    """A SentencePiece model, with its request beside it."""

    stage = "tokenizer training"

    def __init__(self, directory: str) -> None:
        self.place = files.join(directory, "tokenizer")
        self.path = files.join(self.place, TOKENIZER_NAME)
        self._request_path = files.join(self.place, "request.json")

    def made_with(self) -> dict[str, Any] | None:
        """The request that was written beside it."""
        return read_request(self._request_path)

    def build(self) -> None:
        """Write the request, then the model."""
        os.makedirs(self.place, exist_ok=True)
        files.write_bytes(self._request_path, canonical_json(self.request))
        self.write_model()

    @abstractmethod
    def write_model(self) -> None:
        """Write the file at `path`."""


class TrainedTokenizer(Tokenizer):
    """A tokenizer trained on the sample."""

    def __init__(self, settings: PreprocessSettings, directory: str, sample: Sample) -> None:
        super().__init__(directory)
        self._vocabulary, self._sample = settings.models.tokenizer_vocabulary, sample
        self.needs = (sample,)

    @property
    def request(self) -> dict[str, Any]:
        """The vocabulary's size and the sample."""
        return {"tokenizer": "trained", "tokenizer_vocabulary": self._vocabulary, **self._sample.request}

    def write_model(self) -> None:
        """Train it."""
        from pipeline.compressors.tokenizer.training import train_tokenizer

        logger.info("training a tokenizer of %d pieces", self._vocabulary)
        train = read_sample(self._sample.path).train
        with Progress(self.stage):
            train_tokenizer((train.text(i) for i in range(len(train))), self._vocabulary, self.path)


class GivenTokenizer(Tokenizer):
    """A tokenizer that the user named."""

    stage = "tokenizer"

    def __init__(self, location: str, directory: str) -> None:
        super().__init__(directory)
        self._location = location

    @property
    def request(self) -> dict[str, Any]:
        """That it was given; which one it is, its bytes say."""
        return {"tokenizer": GIVEN}

    @cached_property
    def _model(self) -> bytes:
        try:
            return files.read_bytes(self._location)
        except (OSError, ValueError) as error:
            raise ArtifactError(
                f"no tokenizer at {self._location}; give a SentencePiece .model file, or leave it out to train one"
            ) from error

    def check(self) -> None:
        """As any artifact, and ArtifactError where the existing one has other bytes."""
        super().check()
        if files.read_bytes(self.path) != self._model:
            raise ArtifactError(f"{self.path} is another model than {self._location}; choose another --output")

    def write_model(self) -> None:
        """Copy it; ArtifactError where it is no tokenizer, or one that does not give a text's bytes back."""
        from pipeline.compressors.tokenizer.compressor import TokenizerCompressor

        TokenizerCompressor(self._model, label=self._location)
        files.write_bytes(self.path, self._model)
