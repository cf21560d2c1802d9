"""Digests, canonical JSON and whole-file replacement: how the bytes of every small file are made."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from typing import Any


def sha256_hex(data: bytes) -> str:
    """sha256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: Any) -> bytes:
    """`value` as UTF-8 JSON with sorted keys and a final newline; equal values give equal bytes."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def replace_file(path: str, data: bytes) -> None:
    """Put `data` at a local path so that a reader sees the old file or the new one, never a part."""
    temporary = f"{path}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.remove(temporary)
        raise
