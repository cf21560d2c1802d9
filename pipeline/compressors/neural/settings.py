"""What a user decides about the neural compressor. The one place of its defaults; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, get_args

from kernels.code_format import MAX_SCORE_CONTEXT_BYTES, MAX_SEGMENT_BYTES, MIN_WINDOW_BITS, WINDOW_BITS
from schemas.config import to_json
from schemas.errors import SettingsError

BoundaryScoreName = Literal["pair_surprisal", "context_entropy", "document_entropy"]
Context = Literal["segment", "document"]
MAX_SCORE_BITS = 32
"""Of a θ or δ that is given as a number. An entropy has at most 8 bits; a surprisal, by counts of pairs, at most the
logarithm of the sample's bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BitsTarget:
    """How a number of bits is chosen: the number itself, or what it is calibrated to on a sample."""

    NAME: ClassVar[str]
    """What is chosen, as options and errors call it."""
    LIMITS: ClassVar[dict[str, tuple[float, float]]]
    """Smallest and largest value of each kind of target."""

    kind: str
    """`bits`: the number itself; the other kinds are those of the subclass."""
    value: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `3.9` for bits, or from `kind=value`, such as `quantile=0.75`; SettingsError for anything else."""
        kind, _, number = text.rpartition("=")
        kind = kind or "bits"
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if kind not in cls.LIMITS or value != value:
            *first, last = ("bits" if known == "bits" else f"{known}=" for known in cls.LIMITS)
            raise SettingsError(f"{cls.NAME} is {text!r}; give {', '.join(first)} or {last}")
        low, high = cls.LIMITS[kind]
        if not low <= value <= high:
            raise SettingsError(f"{cls.NAME} is {text!r}; {kind} is {low:g} to {high:g}")
        return cls(kind=kind, value=value)

    def __str__(self) -> str:
        return f"{self.kind}={repr(self.value).removesuffix('.0')}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ThetaTarget(BitsTarget):
    """How the threshold θ is chosen. `quantile`: share of bytes whose score is at most θ; `mean_bytes`: mean length of
    a segment; `bytes_per_symbol`: raw bytes over symbols."""

    NAME = "theta"
    LIMITS: ClassVar = {
        "bits": (0, MAX_SCORE_BITS),
        "quantile": (0, 1),
        "mean_bytes": (1, MAX_SEGMENT_BYTES),
        "bytes_per_symbol": (1, MAX_SEGMENT_BYTES),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class JumpTarget(BitsTarget):
    """How the jump δ is chosen. `quantile`: share of bytes whose score rises by at most δ over the byte before."""

    NAME = "jump"
    LIMITS: ClassVar = {"bits": (0, MAX_SCORE_BITS), "quantile": (0, 1)}


@dataclass(frozen=True, kw_only=True, slots=True)
class NeuralSettings:
    """What decides boundaries and codes, beside the byte LM and the sample."""

    theta: ThetaTarget = ThetaTarget(kind="quantile", value=0.73)
    """Threshold of boundaries: a segment ends before a byte whose score is above it. In bits, or quantile=Q,
    mean_bytes=B or bytes_per_symbol=R, calibrated once on the sample."""
    jump: JumpTarget | None = None
    """Rise of the score over the byte before that a boundary needs too, in bits or as quantile=Q of the sample's
    rises."""
    boundary_score: BoundaryScoreName = "pair_surprisal"
    """Score that boundaries are cut at: surprisal of a byte after the byte before it, by the sample's counts of pairs;
    or entropy of a byte under the byte LM, given a few bytes before it or all of its document before it."""
    score_context_bytes: int = 2
    """Bytes before a byte that its context_entropy is given, 1 to 8."""
    context: Context = "segment"
    """What the byte LM sees when it codes: the segment from its beginning, or the aligned block of the document up to
    the byte (longer reach, shorter codes, unstable under edits)."""
    max_segment_bytes: int = 32
    """Longest segment."""
    window_bits: int = WINDOW_BITS
    """Bits of a neural symbol, 10 to 16: fewer for models too small for 65,536 symbols."""

    def __post_init__(self) -> None:
        if self.context not in get_args(Context):
            raise SettingsError(f"--context is {self.context!r}; give segment or document")
        if self.boundary_score not in get_args(BoundaryScoreName):
            names = ", ".join(get_args(BoundaryScoreName))
            raise SettingsError(f"--boundary-score is {self.boundary_score!r}; give one of {names}")
        if not 1 <= self.score_context_bytes <= MAX_SCORE_CONTEXT_BYTES:
            raise SettingsError(
                f"--score-context-bytes is {self.score_context_bytes}; give 1 to {MAX_SCORE_CONTEXT_BYTES}, "
                "or --boundary-score document_entropy"
            )
        default_bytes = type(self).__dataclass_fields__["score_context_bytes"].default
        if self.boundary_score != "context_entropy" and self.score_context_bytes != default_bytes:
            raise SettingsError(
                f"--score-context-bytes is {self.score_context_bytes}, but {self.boundary_score} has none; "
                "add --boundary-score context_entropy"
            )
        if not 1 <= self.max_segment_bytes <= MAX_SEGMENT_BYTES:
            raise SettingsError(f"--max-segment-bytes is {self.max_segment_bytes}; give 1 to {MAX_SEGMENT_BYTES}")
        if not MIN_WINDOW_BITS <= self.window_bits <= WINDOW_BITS:
            raise SettingsError(f"--window-bits is {self.window_bits}; give {MIN_WINDOW_BITS} to {WINDOW_BITS}")

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values; no `jump` where there is none, as releases that had no jump wrote them."""
        values = to_json(self)
        return values if self.jump else {name: value for name, value in values.items() if name != "jump"}

    @property
    def score_quantity(self) -> Literal["surprisal", "entropy"]:
        """What the boundary score is."""
        return "surprisal" if self.boundary_score == "pair_surprisal" else "entropy"

    @property
    def boundary_rule(self) -> str:
        """Where segments end, in words, for people who read an artifact or a manifest."""
        scores = {
            "pair_surprisal": "surprisal of a byte after the byte before it, by the sample's counts of pairs,",
            "context_entropy": f"entropy of a byte under the LM, given the {self.score_context_bytes} bytes before it,",
            "document_entropy": "entropy of a byte under the LM, given its document before it,",
        }
        rise = ", and its rise over the byte before above the jump" if self.jump else ""
        return f"{scores[self.boundary_score]} above theta{rise}"
