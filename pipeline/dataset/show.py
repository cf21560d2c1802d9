r"""The head of a shard as lines for a terminal.

    doc_id            segment  raw           symbols
    9f86d081884c7d65        0  'import'      51203
    9f86d081884c7d65        1  ' re\n'       904 17

Bytes are shown as text, with what cannot be seen escaped: \n, \x00, \xff, \u200b.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa

from schemas.errors import DatasetError, SettingsError, naming
from schemas.files import is_remote
from schemas.manifest import MANIFEST_NAME, read_manifest
from schemas.remote import join
from schemas.shard_files import check_shard, shard_file
from schemas.shards import SHARD_PATTERN, compressor_names, open_shard, record_batches
from schemas.views import comp_view, paired_view, raw_view, window_view, windowed_names

View = Literal["raw", "comp", "paired", "windows"]

GAP = "  "
ELLIPSIS = "…"
MIN_COLUMN_WIDTH = 4
MIN_WIDTH = 40


def show(
    shard_path: str | Path, view: View, head: int, compressor: str | None = None, width: int = 120
) -> Iterator[str]:
    """A header and the first `head` rows of a shard, or of the first shard of a directory, each within `width` columns.

    `width` is taken as at least `MIN_WIDTH`; `compressor` None is the first that has the view. UserErrors for a wrong
    argument, a file that is no shard, and a damaged record batch.
    """
    if view not in get_args(View):
        raise SettingsError(f"view {view!r} is not known: choose one of {list(get_args(View))}")
    if head < 1:
        raise SettingsError(f"--head {head} shows nothing: give at least 1")
    path, reader = _open(str(shard_path))
    if view != "raw" and compressor is None:
        names = (windowed_names if view == "windows" else compressor_names)(reader.schema)
        if not names:
            raise DatasetError(f"{shard_path} has no compressor with {view} to show: use --view raw")
        compressor = names[0]
    views = (_view(path, pa.Table.from_batches([batch]), view, compressor) for batch in record_batches(reader, path))
    empty = _view(path, reader.schema.empty_table(), view, compressor)
    return _lines(empty.schema, views, head, max(width, MIN_WIDTH))


def _open(location: str) -> tuple[str, pa.ipc.RecordBatchFileReader]:
    """A shard's path or URL, and its rows, of a shard or of a directory's first; of a copy the memory map stays.

    DatasetError where the manifest beside it says that its bytes are others; without one nothing is known of a file of
    this machine, and a URL is refused.
    """
    if not is_remote(location):
        path = _first_shard(Path(location))
        _check_digest(path)
        return str(path), open_shard(path)
    directory, _, name = location.rpartition("/") if location.endswith(".arrow") else (location, "", "")
    shards = read_manifest(directory).shards
    entry = next((shard for shard in shards if name in ("", shard.name)), None)
    if entry is None:
        raise DatasetError(f"{directory} has no shard {name or 'at all'}: name one of its manifest, or another dataset")
    with shard_file(directory, entry) as copy:
        return join(directory, entry.name), open_shard(copy)


def _first_shard(path: Path) -> Path:
    if not path.is_dir():
        return path
    shards = sorted(path.glob(SHARD_PATTERN))
    if not shards:
        raise DatasetError(
            f"{path} holds no {SHARD_PATTERN}: "
            f"fill it with `python -m pipeline preprocess --output {path}`, or name a shard"
        )
    return shards[0]


def _check_digest(path: Path) -> None:
    """DatasetError where the manifest beside a shard says that its bytes are others; without one nothing is known."""
    if (path.parent / MANIFEST_NAME).is_file():
        for entry in read_manifest(path.parent).shards:
            if entry.name == path.name:
                check_shard(path, entry)


def _lines(schema: pa.Schema, views: Iterable[pa.Table], head: int, width: int) -> Iterator[str]:
    rows = list(islice(_rows(views, head, width), head))
    numeric = [pa.types.is_integer(field.type) for field in schema]
    widths = _widths([list(column) for column in zip(schema.names, *rows, strict=True)], width)
    for row in [schema.names, *rows]:
        cells = [_cell(*cell) for cell in zip(row, widths, numeric, strict=True)]
        yield GAP.join(cells).rstrip()


def _view(path: str, rows: pa.Table, view: View, compressor: str | None) -> pa.Table:
    with naming(path):
        if view == "raw":
            return raw_view(rows)
        assert compressor is not None, view
        return {"comp": comp_view, "paired": paired_view, "windows": window_view}[view](rows, compressor)


def _rows(views: Iterable[pa.Table], head: int, width: int) -> Iterator[list[str]]:
    """Rows as text, batch by batch, so that the head of a long shard costs one batch."""
    for view in views:
        for columns in zip(*view.slice(0, head).columns, strict=True):
            yield [_text(scalar, width) for scalar in columns]


def _text(scalar: Any, width: int) -> str:
    """A value as one line, made from no more of it than `width` columns can show."""
    if isinstance(scalar, pa.LargeBinaryScalar):
        data = scalar.as_buffer()
        head_bytes = min(data.size, 4 * (width + 4))
        text = data.slice(0, head_bytes).to_pybytes().decode("utf-8", "surrogateescape")
        # The last character of a shortened text may be cut in two, and its bytes would look like stray ones.
        return f"'{escape(text if head_bytes == data.size else text[:-3] + ELLIPSIS)}'"
    if isinstance(scalar, pa.ListScalar):
        return " ".join(map(str, scalar.values.slice(0, width).to_pylist()))
    return escape(str(scalar.as_py()))


def escape(text: str) -> str:
    r"""`text` with \n, \t, \r, \\ and all that cannot be seen written as escapes; stray bytes (surrogates) as \xNN."""
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character == "\\" or not character.isprintable():
        return character.encode("unicode_escape").decode()
    return character


def _columns_of(character: str) -> int:
    """Terminal columns that a character takes: 2 for wide ones, 0 for combining ones."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _width_of(text: str) -> int:
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def _widths(columns: list[list[str]], width: int) -> list[int]:
    """Column widths: narrow columns get what they need, the wide ones share what is left."""
    needs = [max(map(_width_of, column)) for column in columns]
    left = width - len(GAP) * (len(columns) - 1)
    widths = [0] * len(columns)
    by_need = sorted(range(len(columns)), key=needs.__getitem__)
    for rank, i in enumerate(by_need):
        widths[i] = min(needs[i], max(left // (len(columns) - rank), MIN_COLUMN_WIDTH))
        left -= widths[i]
    return widths


def _cell(text: str, width: int, right: bool) -> str:
    if _width_of(text) > width:
        taken, end = 0, 0
        while taken + _columns_of(text[end]) <= width - 1:
            taken, end = taken + _columns_of(text[end]), end + 1
        text = text[:end] + ELLIPSIS
    padding = " " * (width - _width_of(text))
    return padding + text if right else text + padding
