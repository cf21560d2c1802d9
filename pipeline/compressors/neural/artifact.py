"""The neural compressor on disk: one directory that holds all that boundaries and codes depend on.

weights.safetensors, lm.json   the byte LM
entropy.arrow                  context binary, bits float32: H after each context, or the surprisal of its last byte
codebook.arrow                 segment binary, count uint64, symbols list<uint16>, window_bytes list<uint8>
compressor.json                settings, how θ was found, device probe, versions, digests; written last
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from kernels.codebook import MAX_SEGMENT_BYTES, Codebook
from kernels.window_coder import WINDOW_BITS
from schemas.errors import ArtifactError, SettingsError
from schemas.files import canonical_json, file_sha256, replace_file

ENTROPY_NAME = "entropy.arrow"
CODEBOOK_NAME = "codebook.arrow"
COMPRESSOR_NAME = "compressor.json"
CODE_FORMAT = "neural-1"
"""Changes when the same weights and text would give other symbols."""
MIN_WINDOW_BITS = 10
"""Below, the least frequencies of 256 bytes leave little for what the model says: a quarter at 10 bits, all at 8."""

ENTROPY_SCHEMA = pa.schema([("context", pa.binary()), ("bits", pa.float32())])
CODEBOOK_SCHEMA = pa.schema(
    [
        ("segment", pa.binary()),
        ("count", pa.uint64()),
        ("symbols", pa.list_(pa.uint16())),
        ("window_bytes", pa.list_(pa.uint8())),
    ]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NeuralSettings:
    """What decides boundaries and codes, beside the LM."""

    theta_bits: float
    """A boundary stands before a byte whose surprisal or entropy is above this."""
    entropy_context_bytes: int | None = None
    """None: boundaries are decided by a byte's surprisal after the one before it, from the sample's counts of pairs.
    Else by its entropy under the LM, given so many bytes before it; 0 means its whole document."""
    max_segment_bytes: int = 32
    """A segment ends here at the latest."""
    window_bits: int = WINDOW_BITS
    """W: bits of a symbol, so that the alphabet has 2^W."""
    context: str = "segment"
    """What the LM sees when it codes: `segment`, the segment from its beginning; `document`, the aligned block of the
    document up to the byte (longer reach, shorter codes, unstable under edits)."""

    def __post_init__(self) -> None:
        if self.context not in ("segment", "document"):
            raise SettingsError(f"context is {self.context!r}; it is `segment` or `document`")
        if self.entropy_context_bytes is not None and not 0 <= self.entropy_context_bytes <= 8:
            raise SettingsError(
                f"entropy context is {self.entropy_context_bytes} bytes; give 1 to 8, `document`, or `none`"
            )
        if not 1 <= self.max_segment_bytes <= MAX_SEGMENT_BYTES:
            raise SettingsError(f"max segment is {self.max_segment_bytes} bytes; give 1 to {MAX_SEGMENT_BYTES}")
        if not MIN_WINDOW_BITS <= self.window_bits <= WINDOW_BITS:
            raise SettingsError(f"windows have {self.window_bits} bits; give {MIN_WINDOW_BITS} to {WINDOW_BITS}")
        if not self.theta_bits >= 0:
            raise SettingsError(f"theta is {self.theta_bits} bits; give 0 or more")


def write_entropies(path: str, contexts: list[bytes], bits: np.ndarray) -> None:
    """Write the score table: H in bits after each context, or the surprisal in bits of each context's last byte."""
    _write_table(path, pa.table([contexts, bits.astype(np.float32)], schema=ENTROPY_SCHEMA))


def read_entropies(path: str) -> tuple[list[bytes], np.ndarray]:
    """Contexts and their bits float32."""
    table = _read_table(path, ENTROPY_SCHEMA)
    return table["context"].to_pylist(), table["bits"].to_numpy()


def write_codebook(path: str, book: Codebook, counts: np.ndarray) -> None:
    """Write a codebook with the occurrences of each segment, uint64 [len(book)]."""
    data, ends = book.segments.strings()
    offsets, symbols, window_bytes = book.codes()
    columns = [
        pa.Array.from_buffers(
            pa.binary(),
            len(book),
            [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(np.ascontiguousarray(data))],
        ),
        pa.array(counts.astype(np.uint64)),
        pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(symbols)),
        pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(window_bytes)),
    ]
    _write_table(path, pa.table(columns, schema=CODEBOOK_SCHEMA))


def read_codebook(path: str) -> Codebook:
    """Read a codebook into look-up form."""
    table = _read_table(path, CODEBOOK_SCHEMA).combine_chunks()
    book = Codebook()
    if not table.num_rows:
        return book
    segments, symbols, windows = (table[name].chunk(0) for name in ("segment", "symbols", "window_bytes"))
    ends = np.frombuffer(segments.buffers()[1], np.int32)[: len(segments) + 1].astype(np.int64)
    data = np.frombuffer(segments.buffers()[2], np.uint8)
    symbol_ends = symbols.offsets.to_numpy().astype(np.int64)[1:]
    book.insert(data, ends[:-1], ends[1:], symbols.values.to_numpy(), windows.values.to_numpy(), symbol_ends)
    return book


def boundary_rule(settings: NeuralSettings) -> str:
    """The rule behind the boundaries, in words, for people who read compressor.json."""
    size = settings.entropy_context_bytes
    if size is None:
        return "surprisal of a byte after the byte before it, by the sample's counts of pairs, above theta"
    given = f"the {size} bytes before it" if size else "its document"
    return f"entropy of a byte under the LM, given {given}, above theta"


def write_described(directory: str, settings: NeuralSettings, described: dict[str, Any]) -> None:
    """Write compressor.json with the digests of the other files; from then on the directory is a compressor."""
    digests = {name: file_sha256(os.path.join(directory, name)) for name in (ENTROPY_NAME, CODEBOOK_NAME)}
    whole = {"code_format": CODE_FORMAT, "settings": asdict(settings), "files": digests, **described}
    replace_file(os.path.join(directory, COMPRESSOR_NAME), canonical_json(whole))


def read_described(directory: str) -> tuple[NeuralSettings, dict[str, Any]]:
    """Settings and the rest of compressor.json; ArtifactError where it is missing, foreign or its files changed."""
    path = os.path.join(directory, COMPRESSOR_NAME)
    try:
        with open(path, "rb") as file:
            described = json.load(file)
        if described["code_format"] != CODE_FORMAT:
            raise ArtifactError(
                f"{directory} has codes of format {described['code_format']}, this is {CODE_FORMAT}; make it anew"
            )
        settings = NeuralSettings(**described["settings"])
        missing = {"lm_digest", "device", "device_probe"} - described.keys()
        if missing:
            raise KeyError(*missing)
        for name, digest in described["files"].items():
            if file_sha256(os.path.join(directory, name)) != digest:
                raise ArtifactError(f"{os.path.join(directory, name)} is not the file that was built; make it anew")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtifactError(
            f"no neural compressor at {directory}: {os.path.basename(error.filename)} is missing; "
            "make one with `python -m pipeline preprocess`"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"{path} is damaged ({error}); remove the directory and make it anew") from error
    return settings, described


def _write_table(path: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    replace_file(path, sink.getvalue().to_pybytes())


def _read_table(path: str, schema: pa.Schema) -> pa.Table:
    try:
        with pa.OSFile(path) as file:
            table = pa.ipc.open_file(file).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); make the compressor anew") from error
    if not table.schema.equals(schema):
        raise ArtifactError(f"{path} has columns {table.schema.names}, not {schema.names}; make the compressor anew")
    return table
