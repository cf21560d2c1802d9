"""Models of another dataset, taken as they are: equal segments get equal codes, so both datasets can be mixed.

DIR/settings.json                    ──► the settings of the models, instead of options
DIR/compressors/neural, tokenizer/   ──► copies in OUTPUT/compressors
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
from collections.abc import Mapping
from typing import Any

from pipeline.compressors.registry import COMPRESSORS_DIRECTORY
from pipeline.job.artifacts.artifact import Artifact
from pipeline.job.settings import SETTINGS_NAME, ModelSettings, PreprocessSettings
from pipeline.storage import files
from schemas.config import from_json, to_json
from schemas.errors import ArtifactError, SettingsError, refusing
from schemas.json_files import parse_object
from schemas.manifest import MANIFEST_NAME

logger = logging.getLogger(__name__)

REMEDY = "give the directory of a finished dataset as --compressors-of"


class Taken(Artifact):
    """A copy of what another dataset has in the place of an artifact that would be made here."""

    stage = "copy of models"

    def __init__(self, made: Artifact, dataset: str) -> None:
        """made: the artifact instead of which it is. dataset: whose it is."""
        self.place, self.path = made.place, made.path
        self._dataset = dataset
        self._origin = files.join(dataset, COMPRESSORS_DIRECTORY, os.path.basename(self.place))

    def check(self) -> None:
        """ArtifactError where the existing one is not the other dataset's."""
        if files.read_bytes(self.path) != self._last_file():
            raise ArtifactError(
                f"{self.place} is not that of --compressors-of {self._dataset}; choose another --output, or remove it"
            )

    def build(self) -> None:
        """Copy it, the file by which it exists last; ArtifactError where the other dataset has none."""
        last = self._last_file()
        logger.info("copying %s", self._origin)
        copy = files.LocalCopy(self._origin)
        os.makedirs(self.place, exist_ok=True)
        for name in files.list_files(copy.directory):
            if name != os.path.basename(self.path):
                shutil.copyfile(os.path.join(copy.directory, name), os.path.join(self.place, name))
        files.write_bytes(self.path, last)

    def _last_file(self) -> bytes:
        path = files.join(self._origin, os.path.basename(self.path))
        if not files.exists(path):
            raise ArtifactError(
                f"--compressors-of {self._dataset} has no {path}; choose --compressors of those that it has"
            )
        return files.read_bytes(path)


def with_models_taken(settings: PreprocessSettings) -> PreprocessSettings:
    """The settings with the models' of the dataset that they are taken from; unchanged where none is named.

    SettingsError where there is no such dataset, and where the settings ask for other models than it has.
    """
    dataset = settings.compressors_of
    if not dataset:
        return settings
    if not files.exists(files.join(dataset, MANIFEST_NAME)):
        raise SettingsError(f"--compressors-of {dataset} has no {MANIFEST_NAME}; {REMEDY}")
    path = files.join(dataset, SETTINGS_NAME)
    with refusing(path, SettingsError, REMEDY):
        values = parse_object(files.read_bytes(path)).get("models")
        if not isinstance(values, dict):
            raise ValueError("no object `models`")
    theirs = from_json(ModelSettings, values, path)
    asked, default, found = (_flat(to_json(models)) for models in (settings.models, ModelSettings(), theirs))
    for name, value in asked.items():
        if value not in (default[name], found[name]):
            raise SettingsError(
                f"models.{name} is {value}, but --compressors-of {dataset} takes its models with all their settings, "
                f"of which this is {found[name]}; leave one of the two out"
            )
    return dataclasses.replace(settings, models=theirs)


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Dotted names to what is no object."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return found
