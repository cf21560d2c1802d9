"""From the name of a compressor to the compressor, or to its description.

    name ── names.py ──► module of its family ──┬─ load ─────► Compressor
                                                └─ describe ─► CompressorDescription, no model loaded

To add one: a folder that has a `CompressorFamily` named FAMILY, and a line in names.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from pipeline.compressors.base import (
    Compressor,
    CompressorDescription,
    CompressorFamily,
    Loading,
    read_description,
)
from pipeline.compressors.names import COMPRESSORS
from pipeline.storage import files
from schemas.errors import DatasetError
from schemas.manifest import Manifest

COMPRESSORS_DIRECTORY = "compressors"
"""Directory of the compressors in a dataset's directory."""


def family(name: str) -> CompressorFamily:
    """The family of a name; DatasetError for one that this release does not know."""
    if name not in COMPRESSORS:
        raise DatasetError(f"compressor {name!r} is not known to this version; use the one that wrote the dataset")
    found: CompressorFamily = importlib.import_module(COMPRESSORS[name]).FAMILY
    return found


class _Loader:
    """A `pipeline.compressors.base.Loader`."""

    def __init__(self, loading: Loading) -> None:
        self.loading = loading
        self._loaded: dict[str, Compressor] = {}
        self._copies: dict[str, files.LocalCopy] = {}

    def artifact(self, name: str) -> str:
        if name not in self._copies:
            self._copies[name] = files.LocalCopy(files.join(self.loading.directory, name))
        return self._copies[name].directory

    def load(self, name: str) -> Compressor:
        if name not in self._loaded:
            self._loaded[name] = family(name).load(self)
        return self._loaded[name]

    def describe(self, name: str) -> CompressorDescription:
        return family(name).describe(self)


def load_compressors(names: Iterable[str], loading: Loading) -> dict[str, Compressor]:
    """The compressors by name, in the order of `names`; ArtifactError where one's files are missing or damaged."""
    loader = _Loader(loading)
    return {name: loader.load(name) for name in names}


def describe_compressors(names: Iterable[str], loading: Loading) -> dict[str, CompressorDescription]:
    """What `load_compressors` would give, by name, without loading models; ArtifactError where files are missing."""
    loader = _Loader(loading)
    return {name: loader.describe(name) for name in names}


def manifest_descriptions(manifest: Manifest, origin: str) -> dict[str, CompressorDescription]:
    """The descriptions in a manifest by name; DatasetError, naming `origin`, for an unknown name or form."""
    return {name: read_description(family(name), entry, origin) for name, entry in manifest.compressors.items()}


def dataset_compressors(directory: str, manifest: Manifest, *, device: str = "cpu") -> dict[str, Compressor]:
    """The compressors that wrote a dataset; DatasetError where an artifact is not the one the manifest names."""
    described = manifest_descriptions(manifest, directory)
    loading = Loading(
        directory=files.join(directory, COMPRESSORS_DIRECTORY),
        device=device,
        settings={name: description.load_settings for name, description in described.items()},
    )
    compressors = load_compressors(described, loading)
    for name, description in described.items():
        if not description.any_version_decodes and compressors[name].digest != description.digest:
            raise DatasetError(
                f"the {name} compressor in {directory} is not the one that wrote the shards; put that one back"
            )
    return compressors
