"""Which encoding a document is shown in: a function of the training step and of the document's own draw.

With r the share of comp among all encodings shown, at a given step:

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

from dataclasses import dataclass

from kernels.counter_rng import unit_limit
from kernels.packing import COMP, PAIR, RAW, Choice
from schemas.errors import SettingsError

MODES = ("none", "sentinel", "pair-warmup", "pair-always", "raw-only", "comp-only")
MODES_NOTE = f"choose one of {', '.join(MODES)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """What holds at one step."""

    comp_share: float
    """r: of the encodings shown, the share that is comp."""
    pairing: bool
    """Whether some documents are shown in both encodings."""
    draw_comp: float
    """Probability that a document's draw falls on comp; p or q of the module's text."""
    choice: Choice
    """The same for the packer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixing:
    """How raw and comp are mixed over a run; the defaults are the paper's."""

    mode: str = "pair-warmup"
    """One of MODES."""
    comp_share: float = 0.9
    """r from `warmup_steps` on, 0 to 1."""
    start_share: float = 0.4
    """r at step 0; from there it rises or falls linearly over the warm-up."""
    warmup_steps: int = 10_000
    """Training steps of the warm-up; 0 for none."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise SettingsError(f"mixing mode {self.mode!r} is not known: {MODES_NOTE}")
        for name, share in (("comp share", self.comp_share), ("start share", self.start_share)):
            if not 0 <= share <= 1:
                raise SettingsError(f"{name} is {share}, it must be between 0 and 1")
        if self.warmup_steps < 0:
            raise SettingsError(f"mixing warm-up is {self.warmup_steps} steps, it must be 0 or more")

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
        share = self._comp_share(step)
        warm = step < self.warmup_steps
        pairing = self.mode == "pair-always" or (self.mode == "pair-warmup" and warm)
        draw_comp = pair_draw_probability(share) if pairing else share
        choice = Choice(
            limit=unit_limit(draw_comp),
            if_comp=PAIR if pairing and share <= 0.5 else COMP,
            if_raw=PAIR if pairing and share > 0.5 else RAW,
            sentinels=self.mode != "none",
        )
        return Phase(comp_share=share, pairing=pairing, draw_comp=draw_comp, choice=choice)

    def _comp_share(self, step: int) -> float:
        if not (self.needs_raw and self.needs_comp):
            return float(self.needs_comp)
        if step >= self.warmup_steps:
            return self.comp_share
        return self.start_share + (self.comp_share - self.start_share) * step / self.warmup_steps


def pair_draw_probability(comp_share: float) -> float:
    """With which probability to draw comp while pairing, so that comp is `comp_share` of all encodings shown."""
    return 2 - 1 / comp_share if comp_share > 0.5 else comp_share / (1 - comp_share)
