"""No setting is silently ignored: whatever can change a dataset's bytes changes what a run asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.compressors.neural.settings import JumpTarget, NeuralSettings, ThetaTarget
from pipeline.corpus.settings import CorpusSettings
from pipeline.job.artifacts.needed import artifacts_of
from pipeline.job.job import NOT_CONTENT, identity
from pipeline.job.settings import ModelSettings, PreprocessSettings

ALL = PreprocessSettings(
    corpus=CorpusSettings(),
    output="out",
    compressors=("neural", "tokenizer", "gzip", "token_bytes"),
    models=ModelSettings(neural=NeuralSettings(boundary_score="context_entropy")),
)
OTHER: dict[str, Any] = {
    "compressors": ("gzip", "neural"),
    "lm": "40m",
    "tokenizer": "some.model",
    "theta": ThetaTarget(kind="bits", value=3.0),
    "jump": JumpTarget(kind="quantile", value=0.9),
    "boundary_score": "document_entropy",
    "context": "document",
    "window_bits": 12,
    "width_bytes": 3,
    "code": "gray",
    "text_fields": ("body",),
    "id_field": "id",
    "source_field": "path",
    "compression": "none",
    "split_bytes": 100,
}
"""Another value of each field that a number one higher, or not, does not change well."""
BY_THE_UNITS = {"inputs", "shards", "unit_bytes"}
"""Settings that count as the units of the corpus, which every run lists."""
CANNOT_MATTER = {
    "output",
    "compressors_of",
    "max_reject_fraction",
    "workers",
    "device",
    "runner",
    "beam_options",
    "learn_once",
}
"""Settings that a dataset's bytes do not depend on. A codebook of another device is refused by its own probe."""
NOT_OF_ARTIFACTS = {"compressors", "compression", "write_entropy"}
NOT_OF_ARTIFACTS |= {"width_bytes", "code"}
"""Settings that no model is made with."""


def changed(settings: Any) -> Iterator[tuple[str, Any]]:
    """(name of a field, settings that differ in it alone), of nested settings too."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name in ("corpus", "models", "read", "neural", "token_bytes"):
            for name, inner in changed(value):
                yield name, dataclasses.replace(settings, **{field.name: inner})
        elif field.name not in BY_THE_UNITS | CANNOT_MATTER:
            plain = not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else f"{value}2"
            yield field.name, dataclasses.replace(settings, **{field.name: OTHER.get(field.name, plain)})


@pytest.mark.parametrize(("name", "settings"), changed(ALL), ids=lambda value: value if isinstance(value, str) else "")
def test_a_changed_setting_is_another_run(name: str, settings: PreprocessSettings) -> None:
    assert settings != ALL
    assert identity(settings, ()) != identity(ALL, ()), f"{name} is ignored where a dataset exists already"


@pytest.mark.parametrize(("name", "settings"), changed(ALL), ids=lambda value: value if isinstance(value, str) else "")
def test_a_changed_setting_asks_for_other_artifacts(name: str, settings: PreprocessSettings) -> None:
    """What exists of a killed run is not taken for what is asked for now."""
    ours, others = (
        [artifact.request for artifact in artifacts_of(given, ALL.compressors, "compressors")]
        for given in (ALL, settings)
    )
    assert (ours != others) == (name not in NOT_OF_ARTIFACTS), f"{name} is ignored where the models exist already"


def test_every_field_is_accounted_for() -> None:
    assert NOT_CONTENT | {"inputs"} == BY_THE_UNITS | CANNOT_MATTER
    classes = (CorpusSettings, PreprocessSettings)
    names = {field.name for cls in classes for field in dataclasses.fields(cls)}
    assert names > BY_THE_UNITS | CANNOT_MATTER


def test_a_model_is_known_by_its_content_and_not_by_its_place() -> None:
    at_a, at_b = (
        dataclasses.replace(ALL, models=dataclasses.replace(ALL.models, lm=f"{place}/lm", tokenizer=f"{place}/t.model"))
        for place in "ab"
    )
    assert identity(at_a, ()) == identity(at_b, ()) != identity(ALL, ())
