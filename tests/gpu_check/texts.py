"""Text that is on every machine: the standard library of this Python."""

from __future__ import annotations

import sysconfig
from pathlib import Path


def stdlib_files(part: str = "") -> list[Path]:
    """The .py files of the standard library, or of one of its packages, sorted, without tests and what is installed."""
    root = Path(sysconfig.get_paths()["stdlib"], part)
    kept = (path for path in root.rglob("*.py") if not {"test", "tests", "site-packages"} & set(path.parts))
    return sorted(kept)


def stdlib_texts(limit_bytes: int) -> list[bytes]:
    """Their first texts that are not empty, up to a limit."""
    texts: list[bytes] = []
    size = 0
    for path in stdlib_files():
        text = path.read_bytes()[: limit_bytes - size]
        if text:
            texts.append(text)
            size += len(text)
        if size >= limit_bytes:
            break
    return texts
