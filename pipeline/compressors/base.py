"""What all compressors have in common, and what some of them can do beside. The graph does not know which it runs.

CompressorFamily   one for each name in `names.py`: loads the compressor, or describes it without loading
   ├── Compressor               text to symbols and back
   │     ├ SupportsScores       can say what decides its boundaries
   │     ├ SupportsModelDecode  can decode without its codebook
   │     └ Derived              makes its encoding of another compressor's
   └── CompressorDescription    what the manifest and reports say about it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

from schemas.config import to_json
from schemas.encodings import Unsigned
from schemas.errors import DatasetError, one_line
from schemas.json_files import record

if TYPE_CHECKING:
    import numpy as np

    from schemas.batches import Documents, Encoding
    from schemas.encodings import EncodingLayout


class Compressor(Protocol):
    """A loaded compressor: text to symbols and back, a pure function of its artifact and the text, thread-safe."""

    name: str
    """The shard column it fills, and its name in the registry."""
    alphabet_size: int
    """Symbols are in [0, alphabet_size)."""
    layout: EncodingLayout
    """The types of its symbols and lengths in a shard; `Encoding.symbols` has the type of `layout.symbols`."""
    digest: str
    """sha256 over everything that a code depends on; goes into the manifest."""

    def compress(self, documents: Documents) -> Encoding:
        """The compressed encoding of every document. It does not depend on what else is in the batch."""
        ...

    def decode(self, encoding: Encoding) -> Documents:
        """The exact bytes of every document; VerificationError where the encoding is not one of this compressor's."""
        ...


@runtime_checkable
class SupportsScores(Protocol):
    """A compressor that cuts text where a score is above a threshold."""

    def scores(self, documents: Documents) -> np.ndarray:
        """The score of every byte, float32 [n_bytes], in bits."""
        ...


@runtime_checkable
class SupportsModelDecode(Protocol):
    """A compressor that looks codes up in a table, and can also compute them."""

    def decode_by_model(self, encoding: Encoding) -> Documents:
        """As `decode`, without the table: slow, and a proof that the model alone is enough."""
        ...


@runtime_checkable
class Derived(Protocol):
    """A compressor whose encoding is a function of another one's encoding of the same documents."""

    source: Compressor
    """The other one."""

    def derive(self, encoding: Encoding) -> Encoding:
        """This compressor's encoding, from that of `source`."""
        ...


def compress_in_order(compressors: Mapping[str, Compressor]) -> list[str]:
    """The names, those of derived compressors last, so that what they derive from is there."""
    return sorted(compressors, key=lambda name: isinstance(compressors[name], Derived))


def encode(compressor: Compressor, documents: Documents, encodings: Mapping[str, Encoding]) -> Encoding:
    """The compressor's encoding of documents, derived where `encodings` holds what it derives from."""
    if isinstance(compressor, Derived) and compressor.source.name in encodings:
        return compressor.derive(encodings[compressor.source.name])
    return compressor.compress(documents)


Description = TypeVar("Description", bound="CompressorDescription")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompressorDescription:
    """What a dataset says about one of its compressors: an entry of the manifest, without the name."""

    digest: str
    """`Compressor.digest`."""
    alphabet_size: int
    """`Compressor.alphabet_size`."""
    symbol_dtype: Unsigned
    """`Compressor.layout.symbols`."""

    @property
    def any_version_decodes(self) -> bool:
        """Whether a compressor of another digest decodes the same bytes, as any zlib decodes what another wrote."""
        return False

    @property
    def score_quantity(self) -> Literal["surprisal", "entropy"] | None:
        """What decides boundaries, where that is a score above a threshold."""
        return None

    @property
    def threshold_bits(self) -> float | None:
        """The threshold θ of the score, in bits."""
        return None

    def summary(self) -> str:
        """One line for the screen at the end of a run; empty where the table of compressors says all."""
        return ""

    def details(self) -> list[tuple[str, str]]:
        """(what, value) for a table in a report; empty where there is nothing more to say."""
        return []

    @property
    def load_settings(self) -> object | None:
        """What `Loading.settings` must hold to load this compressor again; None where its artifact holds all."""
        return None

    def to_json(self) -> dict[str, Any]:
        """The manifest's entry."""
        return to_json(self)

    @classmethod
    def from_json(cls: type[Description], entry: Mapping[str, Any]) -> Description:
        """The inverse of `to_json`; ValueError where the entry is another's."""
        return record(cls, entry)


@dataclass(frozen=True, kw_only=True, slots=True)
class Loading:
    """From where and how the compressors of a run or of a dataset are loaded; travels to the workers."""

    directory: str
    """Their directory, local or remote, which holds a folder for each artifact."""
    device: str = "cpu"
    """Where models run: `cpu` or `cuda`."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Name of a compressor to its own settings, where it has some that its artifact does not hold."""


class Loader(Protocol):
    """What a family is given to load from. Every compressor is loaded once, so that those derived from it share it."""

    loading: Loading
    """What was asked for."""

    def artifact(self, name: str) -> str:
        """Path on this machine of a folder of the compressors' directory."""
        ...

    def load(self, name: str) -> Compressor:
        """Another compressor of the same directory."""
        ...

    def describe(self, name: str) -> CompressorDescription:
        """The description of another compressor of the same directory."""
        ...


class CompressorFamily(Protocol):
    """What the registry knows about one name. Importing it is cheap; `load` imports what the compressor needs."""

    name: str
    """The name in the registry."""
    description: type[CompressorDescription]
    """What the manifest's entries of this name are."""

    def load(self, loader: Loader) -> Compressor:
        """The compressor; ArtifactError where its files are missing or damaged."""
        ...

    def describe(self, loader: Loader) -> CompressorDescription:
        """What `load` would give, without loading models; ArtifactError where files are missing."""
        ...


def read_description(family: CompressorFamily, entry: Mapping[str, Any], origin: str) -> CompressorDescription:
    """A manifest's entry; DatasetError, which names `origin`, where another release wrote it."""
    try:
        return family.description.from_json(entry)
    except ValueError as error:
        raise DatasetError(
            f"{origin} describes its {family.name} compressor in a way that this release does not read "
            f"({one_line(error)}); "
            "use the release that wrote it, or preprocess the corpus again into another directory"
        ) from error
