"""The shape of a byte LM, and the shapes that have a name. Imports neither torch nor numba."""

from __future__ import annotations

from dataclasses import asdict, dataclass

START = 256
"""The input before the first byte: inputs are bytes 0 to 255 or this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ByteLMConfig:
    """Shape of a byte LM."""

    layers: int
    dim: int
    heads: int
    ffn_dim: int
    attention_bytes: int
    """A position attends to this many positions, itself included; also the block of whole-document coding."""
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        counts = (self.layers, self.dim, self.heads, self.ffn_dim, self.attention_bytes)
        if any(type(count) is not int for count in counts) or min(counts) < 1:
            raise ValueError("byte LM: layers, dim, heads, ffn_dim and attention_bytes must be integers of at least 1")
        if self.dim % self.heads or (self.dim // self.heads) % 2:
            raise ValueError(f"byte LM: dim {self.dim} must be heads {self.heads} times an even head size")

    def to_dict(self) -> dict[str, int | float]:
        """As JSON values."""
        return asdict(self)

    @property
    def matmul_flop_per_byte(self) -> int:
        """Floating-point operations of the matrix products for one position, forward, attention left out."""
        block = 4 * self.dim**2 + 3 * self.dim * self.ffn_dim
        return 2 * (self.layers * block + 256 * self.dim)


PRESETS = {
    "tiny": ByteLMConfig(layers=3, dim=192, heads=3, ffn_dim=384, attention_bytes=32),
    "40m": ByteLMConfig(layers=12, dim=512, heads=8, ffn_dim=1408, attention_bytes=512),
}
"""Sizes that users ask for by name, by the number of their parameters: tiny has 1.2 M, 40m 38.8 M."""
