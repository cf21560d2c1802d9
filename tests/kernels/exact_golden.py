"""The codes of a committed byte LM, which every machine must compute: symbols, windows, intervals and scores.

    python -m tests.kernels.exact_golden             # name what this machine computes otherwise; exit 1 if anything
    python -m tests.kernels.exact_golden --update    # write tests/golden/byte_lm and tests/golden/byte_lm_codes.json

An update is a change of the code format (`CODE_FORMAT`), since shards of before hold the codes of before.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from kernels.boundary_score import DocumentEntropy
from kernels.byte_lm_config import ByteLMConfig
from kernels.byte_spans import ByteSpans
from kernels.exact_lm import ExactByteLM
from kernels.prefix_coding import PrefixCoder
from kernels.window_coder import encode_windows
from schemas import Documents
from schemas.byte_lm_files import read_byte_lm, write_byte_lm

GOLDEN = Path(__file__).parents[1] / "golden"
LM, CODES = GOLDEN / "byte_lm", GOLDEN / "byte_lm_codes.json"
TEXTS = [
    b"a",
    b"abcdefghijklmnopqrstuvwxyz",
    b"def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n",
    "ünïcödé, 漢字 and 😀\r\n".encode(),
    bytes(range(1, 256)),
    bytes(i * i % 251 for i in range(250)),
]
"""A byte, what the LM expects, code, other scripts, nearly every byte, and noise; no longer than a segment may be."""


def golden_lm(product: str = "") -> ExactByteLM:
    """The committed LM; product: a name of `exact_products.PRODUCTS`, by default the fastest one here."""
    files = read_byte_lm(str(LM))
    return ExactByteLM(ByteLMConfig(**files.config), files.arrays, product=product)


def codes(model: ExactByteLM, *, prefixes_per_read: int = 0, threads: int = 1) -> dict[str, object]:
    """What codes and boundaries are made of, by what it is: symbols as numbers, longer arrays as their sha256."""
    strings = ByteSpans.from_bytes(TEXTS)
    documents = Documents.from_bytes(TEXTS)
    forbidden = np.zeros((256, 256), np.bool_)
    forbidden[:, 97:110] = True
    found: dict[str, object] = {}
    for name, pairs in (("", None), (" with forbidden pairs", forbidden)):
        coder = PrefixCoder(model, forbidden=pairs, prefixes_per_read=prefixes_per_read, threads=threads)
        first, last = coder.intervals(strings)
        found[f"intervals{name}"] = sha256(first, last)
        for window_bits in (16, 12) if pairs is None else ():
            narrow = PrefixCoder(model, prefixes_per_read=prefixes_per_read, threads=threads, window_bits=window_bits)
            symbols, ends, string_ends = encode_windows(
                *narrow.intervals(strings), np.cumsum(strings.lengths), window_bits=window_bits
            )
            found[f"symbols of {window_bits} bits"] = symbols.tolist()
            found[f"windows of {window_bits} bits"] = sha256(ends, string_ends)
    found["entropies of prefixes"] = sha256(PrefixCoder(model).entropies(strings))
    found["entropies in documents"] = sha256(DocumentEntropy(model).scores(documents.raw, documents.offsets))
    return found


def sha256(*arrays: np.ndarray) -> str:
    """Over the arrays' dtypes and bytes."""
    whole = b"".join(array.dtype.str.encode() + array.tobytes() for array in arrays)
    return hashlib.sha256(whole).hexdigest()


def update() -> None:
    """Write the LM and its codes."""
    from tests.kernels.exact_models import quantised
    from tests.kernels.micro_lm import CONFIG, micro_lm

    write_byte_lm(str(LM), config=CONFIG.to_dict(), training={"size": "micro"}, arrays=quantised(micro_lm()))
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in codes(golden_lm()).items()]
    CODES.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def main(arguments: list[str]) -> int:
    """Compare or update; the exit status."""
    if arguments == ["--update"]:
        update()
        return 0
    model = golden_lm()
    expected, found = json.loads(CODES.read_text("utf-8")), codes(model)
    different = [name for name in expected if found[name] != expected[name]]
    print(f"products by {model.product_name}: " + (f"other {', '.join(different)}" if different else "as everywhere"))
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
