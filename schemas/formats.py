"""Names of the parts of a reformatted text, under which both halves of the project find them in a dataset.

`DOC/rest` is a text's second half as it is; `DOC/as-is`, `DOC/tabs`, … are its first half in each format.
"""

from __future__ import annotations

AS_IS, REST = "as-is", "rest"


def part_id(doc_id: str, part: str) -> str:
    """The id of a part of a document."""
    return f"{doc_id}/{part}"


def split_part_id(name: str) -> tuple[str, str]:
    """Document and part; the part is empty where the name has none."""
    document, mark, part = name.rpartition("/")
    return (document, part) if mark else (name, "")
