"""Computes every number of docs/how-it-works.md from a real run, and writes the page from its template.

    python -m tests.docs.how_it_works             # print the differences, if there are any
    python -m tests.docs.how_it_works --update    # write the page

The corpus is this repository's LICENSE, which never changes, and the short text that the page follows. The byte LM sees
only one byte back, so that its weights can be written down instead of trained; all else is what every run does.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import itertools
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from kernels.boundary_score import PairSurprisal
from kernels.byte_lm_config import START, ByteLMConfig
from kernels.byte_spans import ByteSpans
from kernels.exact_lm import ExactByteLM
from kernels.exact_quantise import WEIGHT_LEVELS, matrix_shapes
from kernels.exact_rows import LEVELS
from kernels.exact_tables import STEPS_PER_BIT, make_tables
from kernels.packing import COMP_SPAN, RAW_SPAN, REPRESENTATIONS
from kernels.prefix_coding import PrefixCoder
from kernels.prefix_trie import build_trie, sort_strings
from pipeline.__main__ import main as pipeline_main
from schemas import Documents, open_dataset, paired_view, window_view
from schemas.byte_lm_files import write_byte_lm
from schemas.vocabulary import BOS, COMP_BASE, COMP_CLOSE, COMP_OPEN, EOS, RAW_BASE, RAW_CLOSE, RAW_OPEN
from tests.docs.documents import wrapped
from trainer import Dataset, Loader, LoaderSettings, Mixing

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "how-it-works.md"
TEMPLATE = Path(__file__).parent / "how-it-works.template.md"
TEXT = "all the naïve work"
EXAMPLE, CORPUS = "example.txt", "license.txt"
NAMES = {BOS: "<bos>", EOS: "<eos>", RAW_OPEN: "<raw>", RAW_CLOSE: "</raw>", COMP_OPEN: "<comp>", COMP_CLOSE: "</comp>"}


def bigram_lm(bits: np.ndarray) -> ExactByteLM:
    """An exact byte LM whose probabilities are 2^-surprisal of a pair: its blocks add nothing, its head looks it up.

    bits: float32 [65,792], of `PairSurprisal`. A byte's vector has 127 in one place and 1 in another, so that two
    weights of at most 63 make one number: 127 times the first, plus the second.
    """
    rows = START + 1
    config = ByteLMConfig(layers=1, dim=2 * rows, heads=1, ffn_dim=1, attention_bytes=32)
    arrays = dict(make_tables(config))
    for name, (outputs, inputs) in matrix_shapes(config).items():
        arrays[f"{name}.weight"] = np.zeros((outputs, inputs), np.int8)
        arrays[f"{name}.scale"] = np.ones(outputs, np.float32)
    one = np.arange(rows)
    arrays["embedding.weight"][one, one] = LEVELS
    arrays["embedding.weight"][one, rows + one] = 1
    surprisals = np.roll(bits.reshape(rows, 256), -1, 0).T.astype(np.float64)  # [byte, byte before it], START last
    unit = surprisals.max(1, keepdims=True) / (WEIGHT_LEVELS * LEVELS)
    numbers = -np.rint(surprisals / unit).astype(np.int64)
    coarse = np.rint(numbers / LEVELS).astype(np.int64)
    arrays["head.weight"][:, :rows] = coarse
    arrays["head.weight"][:, rows:] = numbers - LEVELS * coarse
    length = math.sqrt((LEVELS**2 + 1) / config.dim)  # What the final norm divides a vector by.
    arrays["head.scale"] = (unit[:, 0] * STEPS_PER_BIT * length).astype(np.float32)
    return ExactByteLM(config, arrays)


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """One window: its bytes, the state behind the last of them, and its symbol."""

    raw: bytes
    low: int
    range_: int
    symbol: int


def code_windows(raw: bytes, first: Sequence[int], last: Sequence[int]) -> list[Window]:
    """The windows of one segment, in Python integers, as kernels/WINDOW_CODER.md defines them."""
    done: list[Window] = []
    low, range_, begin = 0, 1 << 48, 0
    for t in range(len(raw)):
        for _ in range(2):
            step = range_ >> 16
            next_low, next_range = low + step * first[t], step * (last[t] + 1 - first[t])
            symbol = -(-next_low // (1 << 32))
            if symbol << 32 < next_low + next_range:
                break
            done.append(Window(raw=raw[begin:t], low=low, range_=range_, symbol=-(-low // (1 << 32))))
            low, range_, begin = 0, 1 << 48, t
        low, range_ = next_low, next_range
    return [*done, Window(raw=raw[begin:], low=low, range_=range_, symbol=-(-low // (1 << 32)))]


def shown(raw: bytes) -> str:
    """Bytes as they are written in Python, without the b."""
    return repr(raw)[1:]


def facts(directory: Path) -> dict[str, str]:
    """The values of the template's names, from a run of `preprocess` and of the loader below `directory`."""
    corpus = directory / "corpus"
    corpus.mkdir()
    raw = TEXT.encode()
    (corpus / EXAMPLE).write_bytes(raw)
    (corpus / CORPUS).write_bytes((ROOT / "LICENSE").read_bytes())
    sample = Documents.from_bytes([raw, (ROOT / "LICENSE").read_bytes()])
    score = PairSurprisal.of_sample(sample.raw, sample.offsets)
    model = bigram_lm(score.bits)
    write_byte_lm(str(directory / "lm"), config=model.config.to_dict(), training={}, arrays=model.arrays)
    output = directory / "data"
    options = ["--compressors", "neural", "--lm", str(directory / "lm"), "--shards", "1", "--workers", "1"]
    assert pipeline_main(["preprocess", "--input", str(corpus), "--output", str(output), *options]) == 0

    dataset = open_dataset(output)
    neural = dataset.manifest.compressors["neural"]
    theta = float(neural["theta_bits"])
    rows = dataset.table()
    row = rows.filter(pc.equal(rows["source"].cast("string"), EXAMPLE))
    assert row["raw"].to_pylist() == [raw]
    segments = paired_view(row, "neural").to_pylist()
    windows = window_view(row, "neural").to_pylist()
    bits = score.scores(np.frombuffer(raw, np.uint8), np.array([0, len(raw)], np.int64))
    starts = [0, *np.cumsum([len(segment["raw"]) for segment in segments]).tolist()]
    assert starts == [t for t in range(len(raw)) if t == 0 or bits[t] > theta] + [len(raw)], "θ alone cuts this text"
    coder = PrefixCoder(model, forbidden=score.forbidden_pairs(theta))
    first, last = coder.intervals(ByteSpans.from_bytes([segment["raw"] for segment in segments]))

    traced = [code_windows(raw[a:b], first[a:b].tolist(), last[a:b].tolist()) for a, b in itertools.pairwise(starts)]
    assert [(window.raw, window.symbol) for segment in traced for window in segment] == [
        (window["raw"], window["symbol"]) for window in windows
    ], "the shard holds what the page says"
    distinct = sorted({segment["raw"] for segment in paired_view(rows, "neural").to_pylist()})
    strings = ByteSpans.from_bytes(distinct)
    trie = build_trie(strings.take(sort_strings(strings)))
    described = neural["codebook"]
    assert (described["entries"], described["prefixes_read"]) == (len(distinct), trie.inner_nodes)
    ids, spans, representation = _packed(output, raw)

    return {
        "text": TEXT,
        "characters": str(len(TEXT)),
        "bytes": str(len(raw)),
        "bytes_table": _bytes_table(raw),
        "sample_bytes": f"{sample.raw.size:,}",
        "theta": f"{theta:.3f}",
        "max_segment_bytes": str(neural["settings"]["max_segment_bytes"]),
        "quantile": neural["settings"]["theta"].rpartition("=")[2],
        "scores_table": _scores_table(raw, bits, theta),
        "pair": shown(raw[1:3]),
        "pair_bits": f"{bits[2]:.3f}",
        "pair_percent": f"{100 * 2 ** -float(bits[2]):.1f}",
        "segments": str(len(segments)),
        "segments_list": "  ".join(f"[{shown(segment['raw'])[1:-1]}]" for segment in segments),
        "intervals_table": _intervals_table(segments[0]["raw"], first, last),
        "interval_first": f"{int(first[0]):,}",
        "interval_end": f"{int(last[0]) + 1:,}",
        "interval_byte": shown(raw[:1]),
        "interval_bits": f"{16 - math.log2(int(last[0]) + 1 - int(first[0])):.2f}",
        "segment_bits": f"{_cost(first, last, starts[1]):.2f}",
        "first_segment": shown(segments[0]["raw"]),
        "windows_table": _windows_table(traced),
        "first_windows": str(len(traced[0])),
        "symbols": str(len(windows)),
        "bytes_per_symbol": f"{len(raw) / len(windows):.2f}",
        "corpus_segments": f"{len(paired_view(rows, 'neural')):,}",
        "distinct_segments": f"{len(distinct):,}",
        "distinct_bytes": f"{sum(map(len, distinct)):,}",
        "prefixes": f"{trie.inner_nodes:,}",
        "prefixes_percent": f"{100 * trie.inner_nodes / sample.raw.size:.1f}",
        "shard_row": _shard_row(row),
        "raw_base": str(RAW_BASE),
        "comp_base": str(COMP_BASE),
        "vocabulary": f"{COMP_BASE + (1 << 16):,}",
        "first_byte_id": str(RAW_BASE + raw[0]),
        "first_byte": str(raw[0]),
        "first_symbol_id": f"{COMP_BASE + windows[0]['symbol']:,}",
        "first_symbol": f"{windows[0]['symbol']:,}",
        "representation": representation,
        "ids_table": _ids_table(ids, spans),
        "ids": str(len(ids)),
    }


def _cost(first: np.ndarray, last: np.ndarray, size: int) -> float:
    """−log2 of the widths of the first `size` intervals over 2^16, in bits."""
    return float(sum(16 - math.log2(int(last[t]) + 1 - int(first[t])) for t in range(size)))


def _packed(output: Path, raw: bytes) -> tuple[list[int], list[int], str]:
    """Ids, spans and representation of the example in the first batch that holds it, always as a pair."""
    settings = LoaderSettings(
        sequence_length=1 << 14, global_batch_size=1, lanes=1, interleave=1, prefetch=0,
        mixing=Mixing(mode="pair-always", compressed_fraction=0.5, initial_compressed_fraction=0.5, warmup_steps=0),
    )  # fmt: skip
    with Loader(Dataset(str(output), compressor="neural"), settings) as loader:
        batch = next(loader)
    for number, (_, _, shard, shard_row, representation) in enumerate(batch.pieces.tolist()):
        if (shard, shard_row) == (0, 0):
            own = batch.documents[0] == number
            ids = batch.ids[0][own].tolist()
            assert bytes(i - RAW_BASE for i in ids if RAW_BASE <= i < COMP_BASE) == raw
            return ids, batch.spans[0][own].tolist(), REPRESENTATIONS[representation]
    raise AssertionError("the first row holds the whole corpus")


def _columns(names: Sequence[str], values: list[Sequence[str]]) -> str:
    """Right-aligned columns under their names; trailing blanks removed."""
    lines = [list(names), *map(list, values)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _across(names: Sequence[str], lines: list[Sequence[str]]) -> str:
    """Rows with a name in front, one column per item."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    label = max(map(len, names))
    return "\n".join(
        f"{name:<{label}}  " + " ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for name, line in zip(names, lines, strict=True)
    )


def _bytes_table(raw: bytes) -> str:
    characters = [character if i == 0 else "" for character in TEXT for i in range(len(character.encode()))]
    return _across(["text", "byte"], [["␣" if c == " " else c for c in characters], [str(byte) for byte in raw]])


def _scores_table(raw: bytes, bits: np.ndarray, theta: float) -> str:
    above = ["▲" if t == 0 or bits[t] > theta else "" for t in range(len(raw))]
    bytes_shown = ["␣" if byte == 32 else chr(byte) if byte < 128 else f"{byte:02x}" for byte in raw]
    return _across(["byte", "score", "begins"], [bytes_shown, [f"{bit:.1f}" for bit in bits], above])


def _intervals_table(segment: bytes, first: np.ndarray, last: np.ndarray) -> str:
    lines: list[Sequence[str]] = []
    for t in range(len(segment)):
        low, high = int(first[t]), int(last[t]) + 1
        before = shown(segment[:t])
        lines.append([before, shown(segment[t : t + 1]), f"{low:,}", f"{high:,}", f"{16 - math.log2(high - low):.2f}"])
    return _columns(["after", "byte", "lo", "hi", "bits"], lines)


def _windows_table(segments: list[list[Window]]) -> str:
    lines: list[Sequence[str]] = [
        [
            shown(b"".join(window.raw for window in segment)) if i == 0 else "",
            shown(window.raw),
            *(f"{number:,}" for number in (window.low, window.range_, window.symbol)),
        ]
        for segment in segments
        for i, window in enumerate(segment)
    ]
    return _columns(["segment", "window", "low", "range", "symbol"], lines)


def _shard_row(row: object) -> str:
    (document,) = row.to_pylist()  # type: ignore[attr-defined]
    lines = [
        f"doc_id                 {document['doc_id']}",
        f"source                 {document['source']}",
        f"raw                    {document['raw']}",
    ]
    for name, values in document["neural"].items():
        lines.append(f"neural.{name:<15} {[int(value) for value in values]}")
    return "\n".join(lines)


def _ids_table(ids: list[int], spans: list[int]) -> str:
    kinds = {RAW_SPAN: "raw", COMP_SPAN: "comp"}
    groups: list[tuple[str, list[int]]] = []
    for i, span in zip(ids, spans, strict=True):
        kind = NAMES[i] if span not in kinds else kinds[span]
        if groups and groups[-1][0] == kind:
            groups[-1][1].append(i)
        else:
            groups.append((kind, [i]))
    return "\n".join(f"{kind:<8} {' '.join(map(str, members))}" for kind, members in groups)


def render(directory: Path) -> str:
    """The whole page."""
    page = TEMPLATE.read_text("utf-8")
    for name, value in facts(directory).items():
        assert f"{{{{{name}}}}}" in page, f"the template does not use {name}"
        page = page.replace(f"{{{{{name}}}}}", value)
    assert "{{" not in page, page[page.index("{{") :][:40]
    return wrapped(page)


def main(arguments: list[str]) -> int:
    """Compare the page with what it should be, or write it; the exit status."""
    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(io.StringIO()):
        page = render(Path(directory))
    if arguments == ["--update"]:
        PAGE.write_text(page, "utf-8")
        return 0
    old = PAGE.read_text("utf-8") if PAGE.exists() else ""
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), page.splitlines(True), "is", "should be"))
    return int(old != page)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
