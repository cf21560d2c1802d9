"""The page's tables of all arms, each with its spread over seeds."""

from __future__ import annotations

from collections.abc import Callable

from schemas.formats import AS_IS
from trainer.reproduction.arms import ARMS, RAW_ONLY, WATCHED, proxy_raw_share
from trainer.reproduction.result_table import ResultTable, Spread, format_harm, raw_bits
from trainer.reproduction.results import Result
from trainer.reproduction.words import point_name

Value = Callable[[Result], float | None]


def by_point(table: ResultTable, value: Value, note: str) -> str:
    """A row for each arm, a column for each size and budget."""
    columns = [point_name(point) for point in table.points]
    lines = [note, f"| arm | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for arm in ordered(table):
        spreads = [table.spread(value, point, arm) for point in table.points]
        if any(spread is not None for spread in spreads):
            lines.append(f"| {arm} | {' | '.join(_cell(spread) for spread in spreads)} |")
    return "\n".join(lines) + "\n"


def raw_alone(table: ResultTable) -> str:
    """Bits per raw byte of raw-only in smaller batches."""
    densities = sorted({result.density for result in table.results if result.arm == RAW_ONLY.name})
    columns = [point_name(point) for point in table.points]
    lines = [f"| symbols of a step | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for density in densities:
        cells = [_cell(table.at_density(raw_bits, p, density)) for p in table.points]
        lines.append(f"| {density:.1%} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def ordered(table: ResultTable) -> list[str]:
    """The arms of a table that can be compared, in the order in which they are defined."""
    return [name for name in ARMS if name in table.arms and name not in WATCHED]


def encodings(table: ResultTable) -> str:
    """What each arm's compressor does to the study's documents, and what of the symbols is raw."""
    lines = ["| arm | raw bytes per symbol | raw bytes' share of what is shown |", "|---|---|---|"]
    for arm in ordered(table):
        ratios = {result.raw_per_comp for result in table.results if result.arm == arm and result.raw_per_comp}
        for ratio in sorted(ratios) if ARMS[arm].is_proxy else ():
            lines.append(f"| {arm} | {ratio:.2f} | {proxy_raw_share(ratio):.1%} |")
    return "\n".join(lines) + "\n"


MEASURES = {
    "raw_exact": "comp → raw exact",
    "raw_similarity": "1 − distance",
    "comp_exact": "raw → comp exact",
    "comp_similarity": "1 − distance",
    "bits_per_byte": "bits/byte alone",
    "bits_per_byte_given_comp": "after its comp",
    "bits_per_byte_given_other_comp": "after another's",
}


def translations(table: ResultTable) -> str:
    """Translations between comp and raw."""

    def measured(name: str) -> Value:
        return lambda result: None if result.translation is None else getattr(result.translation, name)

    return _by_arm(table, {name: measured(name) for name in MEASURES}, list(MEASURES.values()))


def translation_curves(table: ResultTable) -> str:
    """A row for each checkpoint of each watched run."""
    lines = ["| size | arm | seed | step | comp → raw exact | own comp saves, bits/byte |", "|---|---|---|---|---|---|"]
    for result in table.watched:
        where = f"{point_name((result.size, result.budget))} | {result.arm} | {result.seed}"
        lines += [
            f"| {where} | {point.step} | {point.raw_exact:.3f} | {point.saved_bits_per_byte:.3f} |"
            for point in result.translation_curve or ()
        ]
    return "\n".join(lines) + "\n" if len(lines) > 2 else "Not measured.\n"


def formats(table: ResultTable) -> str:
    """What other formatting of the context costs."""
    names = sorted({name for result in table.results for name in result.format_bits or {}} - {AS_IS})
    if not names:
        return "Not measured: no --formats was given.\n"
    values: dict[str, Value] = {AS_IS: _as_is, **{name: _added_by(name) for name in names}, "mean": format_harm}
    return _by_arm(table, values, list(values))


def _by_arm(table: ResultTable, values: dict[str, Value], columns: list[str]) -> str:
    """A row for each size, budget and arm, a column for each value."""
    lines = [f"| size | arm | {' | '.join(columns)} |", "|---|---|" + "---|" * len(columns)]
    for point in table.points:
        for arm in ordered(table):
            cells = [_cell(table.spread(value, point, arm)) for value in values.values()]
            if any(cells):
                lines.append(f"| {point_name(point)} | {arm} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(spread: Spread | None) -> str:
    return "" if spread is None else str(spread)


def _as_is(result: Result) -> float | None:
    return None if result.format_bits is None else result.format_bits[AS_IS]


def _added_by(name: str) -> Value:
    """What a format costs over the text as it is."""
    return lambda result: None if result.format_bits is None else result.format_bits[name] - result.format_bits[AS_IS]
