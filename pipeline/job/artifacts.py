"""The models of a run, each made only if not given and not there: sample, byte LM, neural compressor, tokenizer.

    corpus ── Sample ──► TrainedLM or GivenLM ──► Neural (θ, score table, codebook)
                 └─────► TrainedTokenizer or GivenTokenizer

All of it is in OUTPUT/compressors, so a later run, or another dataset, can find it there, with the request: the
settings that it was made with. A run that asks for others is refused.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from pipeline.compressors.neural.artifact import COMPRESSOR_NAME, read_described
from pipeline.compressors.neural.description import NeuralDescription
from pipeline.compressors.tokenizer.family import MODEL_NAME as TOKENIZER_NAME
from pipeline.corpus.corpus import Corpus
from pipeline.job.settings import LM_SIZES, PreprocessSettings
from pipeline.storage import files
from pipeline.timing import Clock
from schemas.batches import Documents
from schemas.byte_lm_files import CONFIG_NAME, read_byte_lm
from schemas.errors import ArtifactError, refusing
from schemas.files import canonical_json, sha256_hex
from schemas.json_files import parse_object
from schemas.options import to_json
from schemas.progress import Progress
from schemas.sample import read_sample, write_sample

logger = logging.getLogger(__name__)

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


def artifacts_of(
    settings: PreprocessSettings, compressors: Iterable[str], directory: str, corpus: Corpus | None = None
) -> list[Artifact]:
    """What compressors are loaded from, in a compressors directory, in the order in which it is to be made.

    corpus: the settings' inputs, listed already; None: whoever draws the sample lists them.
    A tokenizer that was given comes first: a wrong file is named at once, not when the byte LM has been trained.
    """
    names = set(compressors)
    sample = Sample(settings, directory, corpus)
    found: list[Artifact] = []
    if "neural" in names:
        lm = settings.models.lm
        byte_lm = TrainedLM(settings, directory, sample) if lm in LM_SIZES else GivenLM(lm)
        found.append(Neural(settings, directory, byte_lm, sample))
    if names & {"tokenizer", "token_bytes"}:
        if settings.models.tokenizer:
            found.insert(0, GivenTokenizer(settings.models.tokenizer, directory))
        else:
            found.append(TrainedTokenizer(settings, directory, sample))
    return found


def artifacts_digest(directory: str) -> str:
    """A name for all artifacts in a compressors directory, without loading them."""
    parts = {}
    for name in ("neural", "tokenizer"):
        for file in files.list_files(files.join(directory, name)):
            if file in (COMPRESSOR_NAME, CONFIG_NAME, TOKENIZER_NAME):
                parts[f"{name}/{file}"] = sha256_hex(files.read_bytes(files.join(directory, name, file)))
    return sha256_hex(canonical_json(parts))


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
        return _read_request(self._request_path)

    def build(self) -> None:
        """Draw it."""
        from pipeline.corpus.sample import draw_sample

        logger.info("drawing a sample of at most %d MB", self._sample_bytes >> 20)
        rows = draw_sample(self._settings, self._sample_bytes, self._corpus)
        files.write_bytes(self._request_path, canonical_json(self.request))
        write_sample(self.path, rows)


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


class Tokenizer(Artifact):
    """A SentencePiece model, with its request beside it."""

    stage = "tokenizer training"

    def __init__(self, directory: str) -> None:
        self.place = files.join(directory, "tokenizer")
        self.path = files.join(self.place, TOKENIZER_NAME)
        self._request_path = files.join(self.place, "request.json")

    def made_with(self) -> dict[str, Any] | None:
        """The request that was written beside it."""
        return _read_request(self._request_path)

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


def _described(directory: str) -> NeuralDescription:
    """The description of a neural compressor, local or remote."""
    copy = files.LocalCopy(directory, names=[COMPRESSOR_NAME])
    with copy.named_by_origin(ArtifactError):
        return read_described(copy.directory)


def _read_request(path: str) -> dict[str, Any] | None:
    if not files.exists(path):
        return None
    with refusing(path, ArtifactError, "remove it and what lies beside it, and run the same command again"):
        return parse_object(files.read_bytes(path))
