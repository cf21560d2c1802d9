"""The shape of an EvaByte model, and the arithmetic that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.errors import SettingsError
from schemas.vocabulary import COMP_BASE


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaByteConfig:
    """The shape of an EvaByte model."""

    dim: int
    """Size of the residual stream."""
    layers: int
    """Number of blocks."""
    heads: int
    """Attention heads; each has dim / heads dimensions, an even number."""
    ffn_dim: int
    """Size of the hidden layer of each block's SwiGLU."""
    vocabulary: int = COMP_BASE
    """Number of ids: 320 and the compressed alphabet, `schemas.vocabulary.vocabulary_size`."""
    symbol_heads: int = 1
    """P: head p predicts the id p + 1 positions on."""
    raw_heads: int = 0
    """R: heads over the 320 raw ids, for the R positions after those of the symbol heads."""
    attention_window: int = 2048
    """Positions in a window of exact attention."""
    chunk: int = 8
    """Positions in a chunk, which later windows see as one summary."""
    rope_theta: float = 100_000.0
    """Base of the rotary position encoding's wavelengths."""
    norm_eps: float = 1e-6
    """Addition to the mean square in RMSNorm."""

    def __post_init__(self) -> None:
        if (
            min(self.dim, self.layers, self.heads, self.ffn_dim, self.symbol_heads, self.chunk) < 1
            or self.raw_heads < 0
        ):
            raise SettingsError("model: dim, layers, heads, ffn_dim, symbol_heads and chunk must be at least 1")
        if self.dim % self.heads or self.head_dim % 2:
            raise SettingsError(f"model: dim {self.dim} must be heads {self.heads} times an even head size")
        if self.attention_window % self.chunk:
            raise SettingsError(
                f"model: attention_window {self.attention_window} must be a multiple of chunk {self.chunk}"
            )
        if self.vocabulary < COMP_BASE:
            raise SettingsError(f"model: vocabulary {self.vocabulary} is below the {COMP_BASE} ids of raw bytes")

    @property
    def head_dim(self) -> int:
        """Size of one attention head."""
        return self.dim // self.heads

    @property
    def body_parameters(self) -> int:
        """Parameters of the blocks: L (4d² + 3df + 4d)."""
        return self.layers * (4 * self.dim**2 + 3 * self.dim * self.ffn_dim + 4 * self.dim)

    @property
    def head_parameters(self) -> int:
        """Parameters of all heads."""
        return self.dim * (self.vocabulary * self.symbol_heads + COMP_BASE * self.raw_heads)

    @property
    def parameters(self) -> int:
        """All parameters: blocks, embedding, heads and the last norm."""
        return self.body_parameters + self.vocabulary * self.dim + self.head_parameters + self.dim

    def mean_keys(self, positions: int) -> float:
        """Keys and summaries that a query sees on average in a sequence of whole windows, one document."""
        window = min(self.attention_window, positions)
        return (window + 1) / 2 + (positions / window - 1) / 2 * (window / self.chunk)

    def flop_per_symbol(self, positions: int, *, keys: float | None = None) -> float:
        """Floating-point operations of training, forward and backward, for one symbol; recomputation not counted.

        keys: what a query sees on average; None: as in sequences of one document.
        """
        matrices = self.parameters - self.vocabulary * self.dim
        return 6 * matrices + 12 * self.layers * self.dim * (self.mean_keys(positions) if keys is None else keys)
