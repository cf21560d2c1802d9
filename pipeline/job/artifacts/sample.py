"""The sample of a corpus that models are made from."""

from __future__ import annotations

import logging
from typing import Any

from pipeline.corpus.corpus import Corpus
from pipeline.job.artifacts.artifact import Artifact, read_request
from pipeline.job.settings import PreprocessSettings
from pipeline.storage import files
from schemas.config import to_json
from schemas.files import canonical_json
from schemas.sample import write_sample

logger = logging.getLogger(__name__)


class Sample(Artifact):
    """The text that models are made from."""

    stage = "sample"

    def __init__(self, settings: PreprocessSettings, directory: str, corpus: Corpus | None = None) -> None:
        self._settings, self._sample_bytes, self._corpus = settings.corpus, settings.models.sample_bytes, corpus
        self.place = self.path = files.join(directory, "sample.arrow")
        self._request_path = files.join(directory, "sample.json")

    @property
    def request(self) -> dict[str, Any]:
        """How much text, and how the corpus is read."""
        return {"sample_bytes": self._sample_bytes, **to_json(self._settings.read)}

    def made_with(self) -> dict[str, Any] | None:
        """The request that was written beside it."""
        return read_request(self._request_path)

    def build(self) -> None:
        """Draw it."""
        from pipeline.corpus.sample import draw_sample

        logger.info("drawing a sample of at most %d MB", self._sample_bytes >> 20)
        rows = draw_sample(self._settings, self._sample_bytes, self._corpus)
        files.write_bytes(self._request_path, canonical_json(self.request))
        write_sample(self.path, rows)
