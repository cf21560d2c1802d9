"""What a run is compared as: the proxy, or one of the paper's three baselines, each with its heads and rows.

    arm      shown                         compressor   symbol + raw heads   rows
    proxy    comp and raw, pairs at first  any          the size's (1 + 1)   the size's
    bytes    raw                           none         8 + 0                the size's
    tokens   comp                          tokenizer    2 + 0                a quarter as long, four times as many
    gzip     comp and raw, pairs at first  gzip         1 + 0                the size's

A token stands for about as many bytes as four bytes are, hence the shorter rows; symbols per step and at once stay. An
arm is a name for other settings: it gives their defaults, wins over a configuration file when it is typed, and refuses
what would make the name untrue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from schemas.errors import SettingsError
from trainer.data.mixing import Mixing, Mode
from trainer.training.sizes import SizedSettings

Arm = Literal["proxy", "bytes", "tokens", "gzip"]
ARMS: tuple[Arm, ...] = get_args(Arm)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rules:
    """What an arm stands for."""

    shows: str
    """What it trains on, as an error says it."""
    modes: tuple[Mode, ...]
    """Ways to mix that the name allows; the first is the default."""
    compressors: tuple[str | None, ...] = ()
    """Compressors that the name allows, the first is the default; empty: any but none."""
    heads: tuple[int, int] | None = None
    """Symbol and raw heads; None: the size's."""
    row_divisor: int = 1
    """How much shorter its rows are than the size's."""


_PROXY_MODES: tuple[Mode, ...] = ("pair-warmup", "pair-always", "sentinel", "none")
_RULES: dict[Arm, _Rules] = {
    "proxy": _Rules(shows="raw bytes and a compressor's symbols", modes=_PROXY_MODES),
    "bytes": _Rules(shows="raw bytes alone", modes=("raw-only",), compressors=(None,), heads=(8, 0)),
    "tokens": _Rules(
        shows="tokens alone", modes=("comp-only",), compressors=("tokenizer",), heads=(2, 0), row_divisor=4
    ),
    "gzip": _Rules(shows="raw bytes and gzip's", modes=_PROXY_MODES, compressors=("gzip",), heads=(1, 0)),
}


def arm_defaults(arm: str, sized: SizedSettings) -> dict[str, Any]:
    """The settings that an arm decides, by the names of their options; SettingsError for an unknown arm."""
    rules = _rules(arm)
    values: dict[str, Any] = {}
    if arm != "proxy":
        values |= {"mode": rules.modes[0], "compressor": rules.compressors[0]}
    if rules.heads:
        values["symbol_heads"], values["raw_heads"] = rules.heads
    if rules.row_divisor > 1:
        values["sequence_length"] = sized.sequence_length // rules.row_divisor
        values["micro_batch_size"] = sized.micro_batch_size * rules.row_divisor
    return values


def check_arm(arm: str, *, mixing: Mixing, compressor: str | None, raw_heads: int) -> None:
    """SettingsError where the other settings make the name of the arm untrue."""
    rules = _rules(arm)
    what = f"--arm {arm} trains on {rules.shows}"
    if mixing.mode not in rules.modes:
        modes = " or ".join(rules.modes)
        raise SettingsError(f"{what}, --mode is {mixing.mode}; leave one of them out, or take --mode {modes}")
    if compressor not in (rules.compressors or (compressor or "neural",)):
        named = rules.compressors[0] if rules.compressors else "neural"
        remedy = f"take --compressor {named}" if named else "leave --compressor out"
        raise SettingsError(f"{what}, --compressor is {compressor}; leave --arm out, or {remedy}")
    if raw_heads and not mixing.needs_raw:
        raise SettingsError(
            f"{what}, which teaches nothing to heads over raw bytes, --raw-heads is {raw_heads}; take 0"
        )


def _rules(arm: str) -> _Rules:
    for known, rules in _RULES.items():
        if known == arm:
            return rules
    raise SettingsError(f"--arm is {arm!r}; choose one of {', '.join(ARMS)}")
