"""A corpus of two sizes: pieces of this Python's standard library, in the order of a hash, so that both are alike."""

from __future__ import annotations

import hashlib
import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path

PIECE_BYTES = 4000


def pieces() -> Iterator[str]:
    """Runs of whole lines of about PIECE_BYTES, of the standard library's own modules."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.glob("*.py")):
        lines = path.read_text("utf-8", errors="ignore").splitlines(keepends=True)
        piece: list[str] = []
        for line in lines:
            piece.append(line)
            if sum(map(len, piece)) >= PIECE_BYTES:
                yield "".join(piece)
                piece = []


def write_corpora(directory: Path, sizes_bytes: tuple[int, ...]) -> list[Path]:
    """A JSON lines file of each size; a larger one begins with the smaller one's documents."""
    texts = sorted(pieces(), key=lambda text: hashlib.sha256(text.encode()).digest())
    paths = []
    for size_bytes in sizes_bytes:
        path = directory / f"corpus-{size_bytes}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            written = 0
            for text in texts:
                if written >= size_bytes:
                    break
                file.write(json.dumps({"text": text}) + "\n")
                written += len(text.encode())
        assert written >= size_bytes, f"the standard library has only {written} bytes"
        paths.append(path)
    return paths
