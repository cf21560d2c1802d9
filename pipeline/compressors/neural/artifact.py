"""The neural compressor on disk: one directory that holds all that boundaries and codes depend on.

weights.safetensors, lm.json   the byte LM
entropy.arrow                  context binary, bits float32: the score table; H after each context, or the surprisal of
                               its last byte
codebook.arrow                 segment binary, count uint64, symbols list<uint16>, window_bytes list<uint8>
compressor.json                settings, θ, device probe, digests of the other files; written last

The compressor's digest is made of what boundaries and codes depend on, and of nothing else: not of the codebook, whose
codes follow from the byte LM, nor of how files are compressed, what the making took, or how the byte LM was trained.
"""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pyarrow as pa

from kernels.byte_lm_config import ByteLMConfig
from kernels.byte_spans import ByteSpans, Codes
from kernels.codebook import Codebook
from kernels.string_table import distinct
from pipeline.compressors.neural.description import CODE_FORMAT, NeuralDescription
from schemas.byte_lm_files import ByteLMFiles, array_digest
from schemas.errors import ArtifactError, refusing
from schemas.files import canonical_json, file_sha256, replace_file, sha256_hex
from schemas.json_files import parse_object, record, said, typed

SCORE_TABLE_NAME = "entropy.arrow"
CODEBOOK_NAME = "codebook.arrow"
COMPRESSOR_NAME = "compressor.json"
ARTIFACT_FORMAT = 3
"""Changes when the files of the directory come to mean something else: 1 had no name for the boundary score."""
FILE_DIGEST_FORMAT = 2
"""Is read too. Its compressor's digest is the sha256 of compressor.json, with the device and the work in it."""

SCORE_TABLE_SCHEMA = pa.schema([("context", pa.binary()), ("bits", pa.float32())])
CODEBOOK_SCHEMA = pa.schema(
    [
        ("segment", pa.binary()),
        ("count", pa.uint64()),
        ("symbols", pa.list_(pa.uint16())),
        ("window_bytes", pa.list_(pa.uint8())),
    ]
)


def write_score_table(directory: str, contexts: list[bytes], bits: np.ndarray) -> str:
    """Write the table of a boundary score (`BoundaryScore.table`): n contexts, and bits float32 [n]; its digest."""
    bits = bits.astype(np.float32)
    _write_table(os.path.join(directory, SCORE_TABLE_NAME), pa.table([contexts, bits], schema=SCORE_TABLE_SCHEMA))
    return _score_digest(contexts, bits)


def read_score_table(directory: str) -> tuple[list[bytes], np.ndarray]:
    """The contexts, and their bits float32 [n]; ArtifactError where the file cannot be read."""
    table = _read_table(os.path.join(directory, SCORE_TABLE_NAME), SCORE_TABLE_SCHEMA)
    return table["context"].to_pylist(), table["bits"].to_numpy()


def write_codebook(directory: str, book: Codebook, counts: np.ndarray) -> None:
    """Write a codebook with the occurrences of each segment, uint64 [len(book)]."""
    segments, symbols, window_bytes = coded_columns(book.segments.strings(), book.codes())
    columns = [segments, pa.array(counts.astype(np.uint64)), symbols, window_bytes]
    _write_table(os.path.join(directory, CODEBOOK_NAME), pa.table(columns, schema=CODEBOOK_SCHEMA))


def read_codebook(directory: str) -> Codebook:
    """The codebook in look-up form; ArtifactError where the file cannot be read or contradicts itself."""
    table = _read_table(os.path.join(directory, CODEBOOK_NAME), CODEBOOK_SCHEMA).combine_chunks()
    book = Codebook()
    if not table.num_rows:
        return book
    path = os.path.join(directory, CODEBOOK_NAME)
    with refusing(path, ArtifactError, "make the compressor again"):
        segments, codes = coded_strings(*(table[name].chunk(0) for name in ("segment", "symbols", "window_bytes")))
        strings = ByteSpans(segments.data, segments.starts.astype(np.int64), segments.ends.astype(np.int64))
        if distinct(strings)[0].size < len(strings):
            raise ValueError("a segment is in it twice")
    book.insert(strings, Codes(codes.symbols, codes.window_bytes, codes.ends.astype(np.int64)))
    return book


def coded_columns(segments: ByteSpans, codes: Codes) -> tuple[pa.BinaryArray, pa.ListArray, pa.ListArray]:
    """n segments that follow each other from 0 on, and their codes, as columns: segment, symbols, window_bytes."""
    starts = np.concatenate(([0], segments.ends)).astype(np.int32)
    offsets = pa.array(np.concatenate(([0], codes.ends)).astype(np.int32))
    data = pa.py_buffer(np.ascontiguousarray(segments.data))
    return (
        pa.Array.from_buffers(pa.binary(), len(segments), [None, pa.py_buffer(starts), data]),
        pa.ListArray.from_arrays(offsets, pa.array(codes.symbols.astype(np.uint16))),
        pa.ListArray.from_arrays(offsets, pa.array(codes.window_bytes.astype(np.uint8))),
    )


def coded_strings(
    segments: pa.BinaryArray, symbols: pa.ListArray, window_bytes: pa.ListArray
) -> tuple[ByteSpans, Codes]:
    """The inverse of `coded_columns`, for columns that Arrow has validated; ValueError where they contradict.

    All arrays lie in Arrow's memory, which may be a mapped file: starts and ends of both are int32 here.
    """
    buffers = segments.buffers()
    offsets = np.zeros(1, np.int32)
    if len(segments):
        offsets = np.frombuffer(buffers[1], np.int32, len(segments) + 1, 4 * segments.offset)
    data = np.frombuffer(buffers[2], np.uint8) if buffers[2] else np.empty(0, np.uint8)
    strings = ByteSpans.from_offsets(data, offsets)
    values, value_offsets = _lists(symbols)
    windows, window_offsets = _lists(window_bytes)
    if not np.array_equal(value_offsets, window_offsets):
        raise ValueError("symbols and windows differ in number")
    bytes_before = np.concatenate((np.zeros(1, np.int64), np.cumsum(windows, dtype=np.int64)))
    if not np.array_equal(np.diff(bytes_before[window_offsets]), strings.lengths):
        raise ValueError("windows do not fill their segments")
    return strings, Codes(values, windows, value_offsets[1:])


def _lists(array: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    """Values and offsets int32, over the array's memory."""
    offsets = np.asarray(array.offsets) if len(array) else np.zeros(1, np.int32)
    if array.null_count or array.values.null_count or offsets[0] or offsets[-1] != len(array.values):
        raise ValueError("lists with nulls or gaps")
    return array.values.to_numpy(zero_copy_only=True), offsets


def byte_lm_config(files: ByteLMFiles) -> ByteLMConfig:
    """The shape of a byte LM that was read; ArtifactError where lm.json says none."""
    with refusing(files.path, ArtifactError, "train one with `make lm`"):
        return record(ByteLMConfig, files.config)


def write_described(directory: str, description: NeuralDescription, score_digest: str) -> None:
    """Write compressor.json with the digests of the other files; from then on the directory is a compressor.

    score_digest: what `write_score_table` returned. The description's digest is not written: it follows from the rest.
    """
    names = (SCORE_TABLE_NAME, CODEBOOK_NAME)
    whole = {
        **description.to_json(),
        "artifact_format": ARTIFACT_FORMAT,
        "code_format": CODE_FORMAT,
        "files": {name: file_sha256(os.path.join(directory, name)) for name in names},
        "score_digest": score_digest,
    }
    del whole["digest"]
    replace_file(os.path.join(directory, COMPRESSOR_NAME), canonical_json(whole))


def read_described(directory: str) -> NeuralDescription:
    """What compressor.json says; ArtifactError where it is missing, damaged or of another format."""
    return _read_described(directory)[0]


def read_checked(directory: str) -> tuple[NeuralDescription, tuple[list[bytes], np.ndarray]]:
    """What compressor.json says, and the score table as `read_score_table` gives it.

    ArtifactError as in `read_described`, and where score table or codebook are not the files that were built.
    """
    description, digests, score_digest = _read_described(directory)
    for name, digest in digests.items():
        with refusing(os.path.join(directory, name), ArtifactError, "remove the directory and make it again"):
            if file_sha256(os.path.join(directory, name)) != digest:
                raise ValueError("it is not the file that was built")
    table = read_score_table(directory)
    if score_digest is not None and _score_digest(*table) != score_digest:
        path = os.path.join(directory, COMPRESSOR_NAME)
        raise ArtifactError(f"{path} names another score table than the one beside it; make the compressor again")
    return description, table


def _read_described(directory: str) -> tuple[NeuralDescription, dict[str, str], str | None]:
    """The description, the sha256 of the files beside it by name, and the score table's digest if it is named."""
    path = os.path.join(directory, COMPRESSOR_NAME)
    with refusing(path, ArtifactError, "remove the directory and make it again"):
        try:
            with open(path, "rb") as file:
                content = file.read()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ArtifactError(
                f"no neural compressor at {directory}: {COMPRESSOR_NAME} is missing; "
                "make one with `python -m pipeline preprocess`"
            ) from error
        whole = parse_object(content)
        digest_is_of_file = whole.get("artifact_format") == FILE_DIGEST_FORMAT
        known_format = FILE_DIGEST_FORMAT if digest_is_of_file else ARTIFACT_FORMAT
        for name, known in (("artifact_format", known_format), ("code_format", CODE_FORMAT)):
            if whole.pop(name, 1) != known:
                raise ArtifactError(
                    f"{path} was made by another release (its {name} is not {known}); "
                    "use that release, or preprocess into another directory"
                )
        digests = typed(dict[str, str], whole.pop("files", None), "files")
        if digests.keys() != {SCORE_TABLE_NAME, CODEBOOK_NAME}:
            raise ValueError(f"files are {said(sorted(digests))}")
        score_digest = None if digest_is_of_file else typed(str, whole.pop("score_digest", None), "score_digest")
        description = NeuralDescription.from_json({**whole, "digest": ""})
    digest = sha256_hex(content) if score_digest is None else description.digest_with(score_digest)
    return replace(description, digest=digest), digests, score_digest


def _score_digest(contexts: list[bytes], bits: np.ndarray) -> str:
    """sha256 over the values of a score table, however its file is compressed."""
    lengths = np.array([len(context) for context in contexts], np.int64)
    parts = (lengths, np.frombuffer(b"".join(contexts), np.uint8), bits)
    return sha256_hex(canonical_json([array_digest(part) for part in parts]))


def _write_table(path: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    replace_file(path, sink.getvalue().to_pybytes())


def _read_table(path: str, schema: pa.Schema) -> pa.Table:
    with refusing(path, ArtifactError, "make the compressor again", pa.ArrowException):
        with pa.OSFile(path) as file:
            table = pa.ipc.open_file(file).read_all()
            table.validate(full=True)
        if any(column.null_count for column in table.columns):
            raise ValueError("nulls in it")
        if not table.schema.equals(schema):
            raise ValueError(f"columns {table.schema.names}, not {schema.names} of their types")
    return table
