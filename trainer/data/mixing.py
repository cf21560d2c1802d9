"""Which encoding a document is shown in: a function of the training step and of the document's own draw.

With r the compressed fraction, comp's share of all encodings shown, at a given step:

    mode          while step < warmup_steps         after
    none          comp or raw, r ramps              comp or raw          no sentinels
    sentinel      comp or raw, r ramps              comp or raw
    pair-warmup   comp or pair, r ramps             comp or raw          the default
    pair-always   comp or pair, r ramps             comp or pair
    raw-only      raw                               raw                  baselines, with sentinels
    comp-only     comp                              comp

While pairing, a draw for raw shows both encodings in one context. Such a pair also holds a comp encoding, so if comp
alone is drawn with probability p, comp's share of the encodings is 1 / (1 + (1 − p)); it is r for p = 2 − 1/r. That
needs r > ½. For r ≤ ½ it is turned round: a draw for comp, with probability q, shows the pair, a draw for raw shows raw
alone, the share is q / (1 + q), and q = r / (1 − r). At r = ½ every document is a pair either way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from schemas.errors import SettingsError
from schemas.options import flag, option

if TYPE_CHECKING:
    from kernels.packing import Choice

Mode = Literal["none", "sentinel", "pair-warmup", "pair-always", "raw-only", "comp-only"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """What the mixing does at one training step."""

    compressed_fraction: float
    """r: the share of comp among the encodings shown, 0 to 1."""
    pairing: bool
    """Whether some documents are shown in both encodings."""
    draw_comp: float
    """Probability that a document's draw falls on comp: p or q of this module's text."""
    sentinels: bool
    """Whether encodings are enclosed in sentinels, <raw> </raw> and <comp> </comp>."""

    @property
    def choice(self) -> Choice:
        """The same for the packer, `kernels.packing.pack_sequence`."""
        # Here and not above, because this module is read to list the options, which needs no Numba.
        from kernels.counter_rng import unit_limit
        from kernels.packing import COMP, PAIR, RAW, Choice

        mostly_comp = self.compressed_fraction > 0.5
        return Choice(
            limit=unit_limit(self.draw_comp),
            if_comp=PAIR if self.pairing and not mostly_comp else COMP,
            if_raw=PAIR if self.pairing and mostly_comp else RAW,
            sentinels=self.sentinels,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixing:
    """How raw and compressed encodings are mixed over a run; the defaults are the paper's."""

    mode: Mode = "pair-warmup"
    """Which encodings are shown, with or without sentinels, and whether documents are paired."""
    compressed_fraction: float = 0.9
    """Share of comp among the encodings shown after the warm-up (r), 0 to 1."""
    initial_compressed_fraction: float = 0.4
    """The same at step 0; from there it changes linearly over the warm-up."""
    warmup_steps: int = field(default=10_000, metadata=option("mixing-warmup-steps", default="the size's"))
    """Steps of the mixing's warm-up, in which r rises and documents are paired; 0 for none."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise SettingsError(f"--mode is {self.mode!r}; choose one of {', '.join(MODES)}")
        for name in ("compressed_fraction", "initial_compressed_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{flag(self, name)} is {getattr(self, name)}, it must be between 0 and 1")
        if self.warmup_steps < 0:
            raise SettingsError(f"--mixing-warmup-steps is {self.warmup_steps}, it must be 0 or more")

    @property
    def needs_raw(self) -> bool:
        """Whether raw encodings are ever shown by this mode."""
        return self.mode != "comp-only"

    @property
    def needs_comp(self) -> bool:
        """Whether comp encodings are ever shown by this mode."""
        return self.mode != "raw-only"

    def phase(self, step: int) -> Phase:
        """What holds at a training step, counted from 0; step `warmup_steps` is the first one after the warm-up."""
        fraction = self._compressed_fraction(step)
        warm = step < self.warmup_steps
        pairing = self.mode == "pair-always" or (self.mode == "pair-warmup" and warm)
        return Phase(
            compressed_fraction=fraction,
            pairing=pairing,
            draw_comp=pair_draw_probability(fraction) if pairing else fraction,
            sentinels=self.mode != "none",
        )

    def _compressed_fraction(self, step: int) -> float:
        if not (self.needs_raw and self.needs_comp):
            return float(self.needs_comp)
        if step >= self.warmup_steps:
            return self.compressed_fraction
        first, last = self.initial_compressed_fraction, self.compressed_fraction
        return first + (last - first) * step / self.warmup_steps


def pair_draw_probability(fraction: float) -> float:
    """The probability of drawing comp while pairing by which `fraction` of all encodings shown are comp."""
    return 2 - 1 / fraction if fraction > 0.5 else fraction / (1 - fraction)
