"""100,000 generated texts, each through every compressor and back, by the whole pipeline and `verify`."""

from __future__ import annotations

import json
import os
import random
import tempfile
import time

from pipeline.__main__ import main as pipeline_main
from pipeline.compressors.registry import COMPRESSORS_DIRECTORY
from tests.bench.common import dataset

TEXTS = 100_000
MB = 1 << 20


def text(i: int) -> str:
    """Text i: one of the shapes that break coders, from a seeded generator of its own."""
    rng = random.Random(i)
    if i < 8:
        return ("a", "\x00", "\n", "é", "😀", " ", "\u2581", "ab")[i] * (MB // 4)
    shape = i % 8
    length = rng.choice((1, 2, 3, 5, 8, 13, 40, 200))
    if shape == 0:
        return "".join(chr(rng.randrange(256)) for _ in range(length))
    if shape == 1:
        return "".join(
            chr(rng.choice((rng.randrange(0x20, 0xD800), rng.randrange(0xE000, 0x110000)))) for _ in range(length)
        )
    if shape == 2:
        return rng.choice("\x00\t\r\n \x7f\ufffd\ufeff\u2028") * length
    if shape == 3:
        return "".join(rng.choice("😀👩‍🚀é漢字 \n") for _ in range(length))
    if shape == 4:
        return "    " * rng.randrange(40) + "return x\r\n" * rng.randrange(1, 4)
    if shape == 5:
        return "".join(rng.choice("(){}[];:,.=+-*/ \n\tabcdefxyz0123456789_") for _ in range(10 * length))
    if shape == 6:
        return chr(i % 0xD000 + 1)
    return "x" * (100 * length) + str(i)


def main() -> None:
    """Write them as JSONL, preprocess with the dataset's models, verify, also by the model alone."""
    directory = dataset()
    with tempfile.TemporaryDirectory() as scratch:
        corpus, out = os.path.join(scratch, "texts.jsonl"), os.path.join(scratch, "out")
        with open(corpus, "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": text(i)}) + "\n" for i in range(TEXTS))
        print(f"{TEXTS:,} texts, {os.path.getsize(corpus) / 1e6:.1f} MB as JSON", flush=True)
        models = os.path.join(directory, COMPRESSORS_DIRECTORY)
        begin = time.monotonic()
        status = pipeline_main(
            ["preprocess", "--input", corpus, "--output", out, "--lm", os.path.join(models, "neural"),
             "--tokenizer", os.path.join(models, "tokenizer", "tokenizer.model"),
             "--compressors", "neural,tokenizer,gzip,token_bytes"]
        )  # fmt: skip
        status |= pipeline_main(["verify", out])
        print(f"preprocess and verify: {time.monotonic() - begin:.0f} s, exit status {status}", flush=True)
        begin = time.monotonic()
        status |= pipeline_main(["verify", out, "--by-model"])
        print(f"verify by the model alone: {time.monotonic() - begin:.0f} s, exit status {status}")
        raise SystemExit(status)


if __name__ == "__main__":
    main()
