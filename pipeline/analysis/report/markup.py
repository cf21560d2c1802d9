"""HTML and SVG as text: elements whose attributes and text are escaped, tables, numbers for people.

Text from a document reaches a page through `text` or `element` only, so that nothing in it can be markup.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HIDDEN_CATEGORIES = ("C", "Zl", "Zp")
"""Characters that show nothing, or move what stands around them: control, format, unassigned, line separators."""


def text(value: object) -> str:
    """`value` as text of an element or attribute, with what cannot be seen written as ⟨U+XXXX⟩."""
    return html.escape("".join(map(visible, str(value))))


def visible(character: str) -> str:
    """A character as it may stand in a line: itself, or its number where it shows nothing or moves its neighbours."""
    hidden = unicodedata.category(character).startswith(HIDDEN_CATEGORIES)
    return f"⟨U+{ord(character):04X}⟩" if hidden else character


def element(name: str, content: str = "", /, **attributes: object) -> str:
    """An element around markup. `class_` is class, other underscores are hyphens; attributes of None are left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{content}</{name}>"


def count(value: int) -> str:
    """1234567 as 1,234,567."""
    return f"{value:,}"


def decimal(value: float, digits: int = 3) -> str:
    """A number with a fixed number of digits after the point."""
    return f"{value:,.{digits}f}"


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage."""
    return f"{100 * share:.{digits}f} %"


def interval(middle: float, low: float, high: float) -> str:
    """A value and its interval."""
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a table."""

    title: str
    number: bool = True
    """Numbers stand to the right; the first column is the row's heading."""


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], *, name: str) -> str:
    """A table of text cells with a caption, in a frame that scrolls on a narrow page; its id is table-`name`."""
    head = "".join(element("th", text(c.title), scope="col", class_="n" if c.number else None) for c in columns)
    body = "".join(element("tr", _cells(columns, row)) for row in rows)
    title = element("caption", element("span", text(caption)))
    whole = element("table", f"{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>")
    # A frame that scrolls must be reachable with the keyboard.
    return element("div", whole, class_="frame", id=f"table-{name}", tabindex=0, role="region", aria_label=caption)


def _cells(columns: Sequence[Column], row: Sequence[str]) -> str:
    cells = []
    for i, (column, value) in enumerate(zip(columns, row, strict=True)):
        scope = {"scope": "row"} if i == 0 else {}
        cells.append(element("td" if i else "th", text(value), class_="n" if column.number else None, **scope))
    return "".join(cells)
