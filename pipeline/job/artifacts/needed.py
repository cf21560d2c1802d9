"""Which artifacts some compressors need, and a name for all of them."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.compressors.neural.artifact import COMPRESSOR_NAME
from pipeline.compressors.tokenizer.family import MODEL_NAME as TOKENIZER_NAME
from pipeline.corpus.corpus import Corpus
from pipeline.job.artifacts.artifact import Artifact
from pipeline.job.artifacts.byte_lm import GivenLM, TrainedLM
from pipeline.job.artifacts.neural import Neural
from pipeline.job.artifacts.sample import Sample
from pipeline.job.artifacts.taken import Taken
from pipeline.job.artifacts.tokenizer import GivenTokenizer, TrainedTokenizer
from pipeline.job.settings import LM_SIZES, PreprocessSettings
from pipeline.storage import files
from schemas.byte_lm_files import CONFIG_NAME
from schemas.files import canonical_json, sha256_hex


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
    if settings.compressors_of:
        return [Taken(artifact, settings.compressors_of) for artifact in found]
    return found


def artifacts_digest(directory: str) -> str:
    """A name for all artifacts in a compressors directory, without loading them."""
    parts = {}
    for name in ("neural", "tokenizer"):
        for file in files.list_files(files.join(directory, name)):
            if file in (COMPRESSOR_NAME, CONFIG_NAME, TOKENIZER_NAME):
                parts[f"{name}/{file}"] = sha256_hex(files.read_bytes(files.join(directory, name, file)))
    return sha256_hex(canonical_json(parts))
