"""The models of a run, each made only if not given and not there: sample, byte LM, neural compressor, tokenizer.

    corpus ── sample.arrow ──► python -m trainer lm ──► lm/ ──► neural/ (θ, entropy table, codebook)
                     └───────► SentencePiece ──────────────► tokenizer/tokenizer.model

All of it lies in OUTPUT/compressors, so a later run, or another dataset, can find it there.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from pipeline.compressors.neural.artifact import COMPRESSOR_NAME, read_described
from pipeline.compressors.registry import TOKENIZER_NAME
from pipeline.job.settings import LM_SIZES, ModelSettings, PreprocessSettings
from pipeline.storage import files
from schemas.byte_lm_files import CONFIG_NAME, read_byte_lm
from schemas.errors import ArtifactError
from schemas.files import canonical_json, sha256_hex
from schemas.sample import read_sample, write_sample

logger = logging.getLogger(__name__)

REQUEST_NAME = "request.json"


class Workshop:
    """Makes what a run lacks, in a local directory; `seconds` says what took how long."""

    def __init__(self, settings: PreprocessSettings, directory: str) -> None:
        self.settings, self.directory = settings, directory
        self.seconds: dict[str, float] = {}

    def prepare(self) -> None:
        """All models that the run's compressors need."""
        needs = set(self.settings.compressors)
        tokenizer = os.path.join(self.directory, "tokenizer") if needs & {"tokenizer", "token_bytes"} else ""
        if tokenizer and self.settings.models.tokenizer:
            # A wrong file is named now, not when the byte LM has been trained.
            self._tokenizer(tokenizer)
        if "neural" in needs:
            self._neural(os.path.join(self.directory, "neural"))
        if tokenizer:
            self._tokenizer(tokenizer)

    def _timed(self, stage: str, make: Callable[[], Any]) -> Any:
        begin = time.monotonic()
        result = make()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - begin
        return result

    def sample(self) -> str:
        """Path of the sample, drawn if it is not there."""
        path = os.path.join(self.directory, "sample.arrow")
        if not os.path.exists(path):
            from pipeline.corpus.sample import draw_sample

            logger.info("drawing a sample of at most %d MB", self.settings.models.sample_bytes >> 20)
            settings = self.settings
            rows = self._timed("sample", lambda: draw_sample(settings.corpus, settings.models.sample_bytes))
            write_sample(path, rows)
        return path

    def _lm(self) -> str:
        """Directory of the byte LM: the one given, or one trained on the sample."""
        lm = self.settings.models.lm
        if lm not in LM_SIZES:
            directory = files.local_copy(lm)
            read_byte_lm(directory)
            return directory
        directory = os.path.join(self.directory, f"lm-{lm}")
        if not os.path.exists(os.path.join(directory, CONFIG_NAME)):
            sample = self.sample()
            logger.info("training the byte LM (%s) on the sample", lm)
            command = [sys.executable, "-m", "trainer", "lm", "--sample", sample, "--size", lm, "--out", directory]
            command += ["--device", self.settings.device]
            self._timed("byte LM", lambda: _run(command))
        return directory

    def _neural(self, directory: str) -> None:
        models = self.settings.models
        if os.path.exists(os.path.join(directory, COMPRESSOR_NAME)):
            check_request(directory, models)
            return
        lm_directory = self._lm()
        documents = read_sample(self.sample())
        from pipeline.compressors.neural.build import build_neural
        from schemas.batches import Documents

        everything = Documents.from_bytes(
            [part.text(i) for part in (documents.train, documents.held_out) for i in range(len(part))]
        )
        logger.info("building the codebook from %.1f MB", everything.raw.size / 1e6)
        self._timed(
            "codebook",
            lambda: build_neural(
                directory,
                lm_directory=lm_directory,
                documents=everything,
                target=models.theta,
                settings=models.neural(theta_bits=0.0),
                device=self.settings.device,
                threads=self.settings.workers,
                request=neural_request(models),
            ),
        )

    def _tokenizer(self, directory: str) -> None:
        from pipeline.compressors.tokenizer.compressor import TokenizerCompressor
        from pipeline.compressors.tokenizer.training import train_tokenizer

        models = self.settings.models
        path = os.path.join(directory, TOKENIZER_NAME)
        if os.path.exists(path):
            check_tokenizer(directory, models)
            return
        os.makedirs(directory, exist_ok=True)
        given = _read_given(models.tokenizer) if models.tokenizer else None
        if given is not None:
            TokenizerCompressor(given, label=models.tokenizer)
        files.write_bytes(os.path.join(directory, REQUEST_NAME), canonical_json(tokenizer_request(models)))
        if given is not None:
            files.write_bytes(path, given)
        else:
            train = read_sample(self.sample()).train
            logger.info("training a tokenizer of %d pieces", models.tokenizer_vocabulary)
            texts = (train.text(i) for i in range(len(train)))
            self._timed("tokenizer training", lambda: train_tokenizer(texts, models.tokenizer_vocabulary, path))


def neural_request(models: ModelSettings) -> dict[str, Any]:
    """What of the settings decides the neural compressor, beside the corpus: every field of its own but θ in bits."""
    own = asdict(models.neural(theta_bits=0.0))
    del own["theta_bits"]
    lm = models.lm if models.lm in LM_SIZES else "given"
    return {"lm": lm, "theta": str(models.theta), "sample_bytes": models.sample_bytes, **own}


def tokenizer_request(models: ModelSettings) -> dict[str, Any]:
    """What of the settings decides the tokenizer, beside the corpus."""
    if models.tokenizer:
        return {"tokenizer": "given"}
    names = ("tokenizer_vocabulary", "sample_bytes")
    return {"tokenizer": "trained", **{name: getattr(models, name) for name in names}}


def check_tokenizer(directory: str, models: ModelSettings) -> None:
    """Refuse a tokenizer that was made with other settings than are asked for now."""
    request = files.join(directory, REQUEST_NAME)
    if files.exists(request):
        _refuse_other_request(directory, tokenizer_request(models), json.loads(files.read_bytes(request)))
    path = files.join(directory, TOKENIZER_NAME)
    if models.tokenizer and files.read_bytes(path) != _read_given(models.tokenizer):
        raise ArtifactError(f"{path} is another model than {models.tokenizer}; choose another --output")


def _refuse_other_request(directory: str, asked: dict[str, Any], made: dict[str, Any]) -> None:
    for key, value in asked.items():
        if made.get(key) != value:
            raise ArtifactError(
                f"{directory} was made with {key}={made.get(key)}, asked is {key}={value}; "
                "choose another --output, or remove that directory"
            )


def check_request(directory: str, models: ModelSettings) -> None:
    """Refuse a neural compressor that was made with other settings than are asked for now."""
    _, described = read_described(directory)
    _refuse_other_request(directory, neural_request(models), described["request"])
    if models.lm not in LM_SIZES and read_byte_lm(files.local_copy(models.lm)).digest != described["lm_digest"]:
        raise ArtifactError(f"{directory} was made with another byte LM than {models.lm}; choose another --output")


def artifacts_digest(directory: str) -> str:
    """A name for all artifacts in a compressors directory, without loading them."""
    parts = {}
    for name in ("neural", "tokenizer"):
        for file in files.list_files(files.join(directory, name)):
            if file in (COMPRESSOR_NAME, CONFIG_NAME, TOKENIZER_NAME):
                parts[f"{name}/{file}"] = sha256_hex(files.read_bytes(files.join(directory, name, file)))
    return sha256_hex(canonical_json(parts))


def _read_given(path: str) -> bytes:
    try:
        return files.read_bytes(path)
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"no tokenizer at {path}; give a SentencePiece .model file, or leave it out to train one"
        ) from error


def _run(command: list[str]) -> None:
    """Run a command of ours; its own message has said what was wrong when it fails."""
    finished = subprocess.run(command, check=False)
    if finished.returncode:
        raise ArtifactError(
            f"`{' '.join(command[1:])}` failed with exit code {finished.returncode}; see its message above"
        )
