"""Stored bytes of one file to its items, one reader per format. Bad data never raises: what breaks is the last item.

    .jsonl  ── compressed ──► blocks of bytes ── lines ─────► Line(position, bytes)
    .json   ── the same ────► blocks of bytes ── json_text ─► Item(position, value) of a list
    .parquet ─ parquet ──┐
    .arrow  ── arrow ────┴──► record batches ─── columns ───► Row(position, values)

`compressed` unpacks gzip, zstd, bzip2 and xz, and counts what it reads; `json_text` also parses the single lines.
An error says which share of the file's bytes is lost by it.
"""
