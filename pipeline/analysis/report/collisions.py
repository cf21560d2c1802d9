"""The report's section on collisions: codes that name more than one chunk, by segment and by window."""

from __future__ import annotations

import html
from collections.abc import Sequence

from pipeline.analysis.findings import LONG_PREFIX_SHARE, CollisionTable, Findings, PrefixShares
from pipeline.analysis.report.figures import categories
from pipeline.analysis.report.markup import Column, count, decimal, element, percent, table, text
from pipeline.analysis.report.sample_cells import faces

INTRODUCTION = (
    "A code does not say how many bytes it stands for, so different chunks may share one. A shard keeps the counts of "
    "bytes, which tell them apart; a model that reads symbols alone cannot. Chunks that begin alike cost it little. "
    "For segments a code is all symbols of a segment, for windows it is one symbol; first windows are those that begin "
    "a segment, all of them coded without anything before them."
)


def section(findings: Findings) -> str:
    """Numbers of all levels side by side, prefixes, figures and examples; empty where nothing was counted."""
    tables = findings.collisions
    if not tables:
        return ""
    return "".join(
        [
            element("p", text(INTRODUCTION)),
            _numbers(tables),
            _prefixes(tables),
            *(_figures(one) for one in tables if one.pairs),
            *(_examples(one) for one in tables if one.examples),
        ]
    )


def _plural(one: CollisionTable) -> str:
    return f"{one.level.replace('-', ' ')}s"


def _numbers(tables: Sequence[CollisionTable]) -> str:
    columns = [Column(title="what", number=False), *(Column(title=_plural(one)) for one in tables)]
    rows = [
        ["in the corpus", *(count(one.occurrences) for one in tables)],
        ["distinct chunks", *(count(one.distinct_chunks) for one in tables)],
        ["distinct chunks with their codes", *(count(one.distinct_encodings) for one in tables)],
        ["codes", *(count(one.codes) for one in tables)],
        ["codes of several chunks", *(count(one.colliding_codes) for one in tables)],
        ["distinct chunks that share a code", *(percent(one.colliding_chunk_share, 2) for one in tables)],
        ["occurrences of such chunks", *(percent(one.colliding_occurrence_share, 2) for one in tables)],
    ]
    return table(f"Collisions of the {tables[0].compressor} codes", columns, rows, name="collisions")


def _prefixes(tables: Sequence[CollisionTable]) -> str:
    titles = (f"of them ≥ {LONG_PREFIX_SHARE:g}", "mean", f"occurrences ≥ {LONG_PREFIX_SHARE:g}", "mean by occurrence")
    columns = [Column(title="common prefix", number=False), Column(title="number"), *(Column(title=t) for t in titles)]
    rows = []
    for one in tables:
        if not one.pairs:
            continue
        cases = {
            "cases, over the longest": one.case_prefix_over_longest,
            "cases, over the mean": one.case_prefix_over_mean,
            "cases, over the shortest": one.case_prefix_over_shortest,
        }
        pairs = {
            "pairs, over the longer": one.prefix_over_longer,
            "pairs, over the shorter": one.prefix_over_shorter,
            "random pairs, over the longer": one.random_prefix_over_longer,
        }
        for kinds, number in ((cases, one.colliding_codes), (pairs, one.pairs)):
            rows += [[f"{_plural(one)}, {name}", count(number), *_shares(shares)] for name, shares in kinds.items()]
    if not rows:
        return ""
    caption = (
        "Longest common prefix of all chunks of one code (a case) as a share of the longest, of their mean length, or "
        "of the shortest; of two chunks of one code (a pair) as a share of the longer or the shorter; for comparison, "
        "of random chunks of the same lengths"
    )
    return table(caption, columns, rows, name="prefixes")


def _shares(shares: PrefixShares) -> list[str]:
    return [
        percent(shares.long_share),
        decimal(shares.mean),
        percent(shares.long_share_by_occurrence),
        decimal(shares.mean_by_occurrence),
    ]


def _figures(one: CollisionTable) -> str:
    """What the pairs of one level are like."""
    panels = [
        categories(one.bucket_sizes, "Distinct chunks of a code", "codes", one.compressor),
        categories(one.longer_chunk_bytes, "Longer chunk of a pair, bytes", "pairs", one.compressor),
        categories(one.tails, "Behind the common prefix", "pairs", one.compressor),
    ]
    head = element("h3", text(f"Pairs of {_plural(one)}"))
    return head + element("div", "".join(panels), class_="panels")


def _examples(one: CollisionTable) -> str:
    columns = [Column(title="code", number=False), Column(title="occurrences"), Column(title="chunks", number=False)]
    rows = [
        [" ".join(map(str, example.code)), count(example.occurrences), "  ".join(map(chunk, example.chunks))]
        for example in one.examples
    ]
    caption = f"The most frequent codes of several {_plural(one)}, with their most frequent chunks"
    drawn = table(caption, columns, rows, name=f"examples-{one.level}")
    return element("details", element("summary", text(f"Examples: {_plural(one)}")) + drawn)


def chunk(raw: bytes) -> str:
    """Bytes in quotes, with white space and what shows nothing marked as in the samples."""
    return f"‘{''.join(html.unescape(face) for face, _ in faces(raw))}’"
