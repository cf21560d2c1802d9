"""Hostile corpora: fuzzed lines and files, each through `preprocess` and `verify` in a child, and then the laws.

What a file holds is known from a slow reading of what was generated: all of it (whole files), a first part (cut ones),
or only that something was counted (flipped bytes). Every tenth corpus is a tree of text files.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.__main__ import main
from tests.soak.child import Child, Outcome
from tests.soak.hostile_files import HostileFile, Promise, draw_file
from tests.soak.hostile_lines import MAX_DOCUMENT_BYTES, draw_text
from tests.soak.laws import BrokenLawError, Case, Found, check_finished, law
from tests.soak.runs import LIMIT_SECONDS, Models, make_models

FILES_PER_CASE = 8
ITEMS_PER_FILE = 40
MAX_CHILD_BYTES = 2 << 30
"""Of memory, libraries included, whatever a file expands to."""
GOOD = HostileFile(
    name="00-good.jsonl", data=b'{"text": "good"}\n', items=1, expected=(b"good",), promise=Promise.EXACT
)


def items(scratch: Path, *, count: int, seed: int, limit_seconds: float) -> Iterator[Case]:
    """Corpora until there have been `count` items."""
    limit = time.monotonic() + limit_seconds
    models = make_models(scratch / "models")
    done, case = 0, 0
    while done < count and time.monotonic() < limit:
        rng = random.Random(f"{seed}:{case}")
        corpus, output, log = scratch / f"corpus-{case}", scratch / f"out-{case}", scratch / f"log-{case}"
        files = draw_tree(rng) if case % 10 == 9 else draw_corpus(rng, count - done)
        write(corpus, files)
        amount = sum(file.items for file in files)
        try:
            words = check(files, corpus, output, log, draw_options(rng, models))
            yield Case(f"case {case}: {describe(files)}: {words}", True, amount)
            shutil.rmtree(corpus)
            shutil.rmtree(output)
        except BrokenLawError as error:
            yield Case(f"FAILED case {case} ({corpus}): {describe(files)}: {error}", False, amount)
        done, case = done + amount, case + 1


def draw_corpus(rng: random.Random, most_items: int) -> list[HostileFile]:
    """Some files of records; one is always good, for models need a sample."""
    each = max(1, min(ITEMS_PER_FILE, most_items // FILES_PER_CASE))
    return [GOOD, *(draw_file(rng, number, rng.randint(1, 2 * each)) for number in range(1, FILES_PER_CASE))]


def draw_tree(rng: random.Random) -> list[HostileFile]:
    """Text files: UTF-8 of any kind, noise, empty and too long ones."""
    files = [HostileFile(name="good.txt", data=b"good", items=1, expected=(b"good",), promise=Promise.EXACT)]
    for number in range(rng.randint(1, 60)):
        data = rng.choice((draw_text(rng).encode(), rng.randbytes(rng.randint(0, 40)), b"x" * (MAX_DOCUMENT_BYTES + 1)))
        try:
            whole = data if 0 < len(data) <= MAX_DOCUMENT_BYTES and data.decode() else None
        except UnicodeDecodeError:
            whole = None
        name = f"{rng.choice('abc')}/{rng.choice(('é ü', 'x'))}/{number}.{rng.choice(('txt', 'py', 'md', 'c', 'html'))}"
        files.append(HostileFile(name=name, data=data, items=1, expected=(whole,), promise=Promise.EXACT))
    return files


def draw_options(rng: random.Random, models: Models) -> list[str]:
    """Compressors, shards, and how many rejects are too many."""
    options = ["--compressors", "gzip,tokenizer", "--tokenizer", models.tokenizer]
    if rng.random() < 0.15:
        options = ["--compressors", "neural,gzip", *models.neural_options]
    limit = "0.3" if rng.random() < 0.1 else "1"
    options += ["--max-document-bytes", str(MAX_DOCUMENT_BYTES), "--workers", "1", "--max-reject-fraction", limit]
    return [*options, "--shards", str(rng.randint(1, 6))]


def write(root: Path, files: Sequence[HostileFile]) -> None:
    """The corpus on the disk."""
    for file in files:
        path = root / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)


def describe(files: Sequence[HostileFile]) -> str:
    """How many items, and in what."""
    kinds = Counter("text" if "-" not in file.name else file.name.partition("-")[2] for file in files)
    return (
        f"{sum(file.items for file in files)} items in {', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}"
    )


def check(files: Sequence[HostileFile], corpus: Path, output: Path, log: Path, options: Sequence[str]) -> str:
    """Preprocess and verify; BrokenLawError names what does not hold. What was found, in words."""
    arguments = ["preprocess", "--input", str(corpus), "--output", str(output), *options]

    def work() -> int:
        return main(arguments) or main(["verify", str(output)])

    outcome = Child(work, log).wait(limit_seconds=LIMIT_SECONDS)
    law("Traceback" not in outcome.stderr, f"a traceback; see {log}.err")
    law(outcome.status in (0, 1), f"exit {outcome.status}: {outcome.last_line}")
    law(outcome.peak_bytes <= MAX_CHILD_BYTES, f"{outcome.peak_bytes} bytes of memory")
    if outcome.status == 1:
        return _refused(files, output, outcome)
    found = check_finished(output)
    sources = {file.name for file in files}
    law(set(found.rows) | set(found.rejects) <= sources, "there are documents from nowhere")
    for file in files:
        _check_file(file, found)
    totals = found.manifest.totals
    return f"read {totals.read} = {totals.written} written + {totals.rejected} rejected, {outcome.seconds:.1f} s"


def _refused(files: Sequence[HostileFile], output: Path, outcome: Outcome) -> str:
    """Exit 1 is for too many rejects, and leaves nothing to be seen."""
    law("documents were rejected" in outcome.last_line, f"exit 1: {outcome.last_line}")
    law(not list(output.glob("shard-*")) and not (output / "manifest.json").exists(), "a refused run shows shards")
    known = all(file.promise is Promise.EXACT for file in files)
    texts = [text for file in files for text in file.expected]
    law(not known or texts.count(None) > 0.3 * len(texts), "it was refused with few rejects")
    return f"refused, {outcome.seconds:.1f} s"


def _check_file(file: HostileFile, found: Found) -> None:
    texts = [text for _, text in found.rows.get(file.name, [])]
    rejects = len(found.rejects.get(file.name, []))
    expected = [text for text in file.expected if text is not None]
    if file.promise is Promise.EXACT:
        law(texts == expected, f"{file.name}: {len(texts)} documents, not the {len(expected)} expected ones")
        wanted = file.expected.count(None)
        law(rejects == wanted, f"{file.name}: {rejects} rejects, {wanted} expected")
    elif file.promise is Promise.PREFIX:
        law(texts == expected[: len(texts)], f"{file.name}: what was kept is not what came first")
        law(rejects > 0, f"{file.name}: damage was not told of")
    else:
        law(bool(texts or rejects), f"{file.name}: {len(file.data)} bytes and nothing was counted")
