"""What an artifact and a manifest say about a neural compressor; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.compressors.base import CompressorDescription
from pipeline.compressors.neural.settings import NeuralSettings
from schemas.byte_lm_files import check_training
from schemas.files import canonical_json, sha256_hex
from schemas.json_files import Count, record, typed

CODE_FORMAT = "neural-2"
"""Changes when the same byte LM and text would give other symbols: neural-1 was computed in floating point."""
CALIBRATED = ("theta", "jump")
"""Settings that say how a number of bits was chosen, for codes that depend on the number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodebookStatistics:
    """The codebook of an artifact, and what its making took."""

    entries: Count
    """Distinct segments."""
    segment_bytes: Count
    """Bytes of these segments."""
    prefixes_read: Count
    """Distinct prefixes of segments that the byte LM read."""
    sample_bytes: Count
    """Text whose segments they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NeuralDescription(CompressorDescription):
    """What `compressor.json` holds, and a manifest's entry too, there with the compressor's digest."""

    settings: NeuralSettings
    """What was asked for."""
    theta_bits: float
    """θ, calibrated as `settings.theta` asks."""
    jump_bits: float | None = None
    """The rise that a boundary needs too, calibrated as `settings.jump` asks; None where it asks for none."""
    boundaries: str
    """Where segments end, in words."""
    request: dict[str, Any]
    """What else the artifact was made from: `lm`, a size or `given`, and `sample_bytes`."""
    lm_digest: str
    """Digest of the byte LM."""
    lm_training: dict[str, Any]
    """How the byte LM was trained: size, steps, held-out bits per byte."""
    device_probe: str
    """Digest of codes of fixed strings, the same on every machine: an alarm, see `neural.model.device_probe`."""
    codebook: CodebookStatistics
    """The codebook, in numbers."""

    def __post_init__(self) -> None:
        if not 0 <= self.theta_bits < float("inf"):
            raise ValueError(f"theta is {self.theta_bits} bits")
        if (self.jump_bits is None) != (self.settings.jump is None):
            raise ValueError(f"jump is {self.jump_bits} bits where {self.settings.jump} was asked for")
        typed(str, self.request.get("lm"), "lm of request")
        check_training(self.lm_training)

    def digest_with(self, score_digest: str) -> str:
        """The compressor's digest: sha256 over all that boundaries and codes depend on.

        score_digest: of the score table, which counts where it is the sample's. Entropies are the byte LM's, and their
        table saves work.
        """
        settings = self.settings.to_json()
        parts = {
            "code_format": CODE_FORMAT,
            "lm": self.lm_digest,
            "settings": {name: value for name, value in settings.items() if name not in CALIBRATED},
            "theta_bits": self.theta_bits + 0.0,  # A threshold of -0 is one of 0.
            "jump_bits": self.jump_bits,
            "score": score_digest if self.score_quantity == "surprisal" else None,
        }
        return sha256_hex(canonical_json(parts))

    @property
    def score_quantity(self) -> Literal["surprisal", "entropy"]:
        """What the boundary score is."""
        return self.settings.score_quantity

    @property
    def threshold_bits(self) -> float:
        """θ in bits."""
        return self.theta_bits

    @property
    def codes_segments(self) -> bool:
        """Whether codes are functions of segments, so that the model reads each once; else it reads all bytes."""
        return self.settings.context == "segment"

    def summary(self) -> str:
        """The byte LM, θ and the codebook in one line."""
        text = f"byte LM {self._lm_name}"
        quality = self.lm_training.get("held_out_bits_per_byte")
        if quality:
            text += f": {quality:.3f} bits per byte on {self.lm_training['held_out_scored_bytes']:,} held-out bytes"
        text += f"; theta {self.theta_bits:.3f} bits ({self.settings.theta})"
        if self.jump_bits is not None:
            text += f"; jump {self.jump_bits:.3f} bits ({self.settings.jump})"
        if self.codebook.entries:
            share = self.codebook.prefixes_read / max(1, self.codebook.sample_bytes)
            text += f"; codebook {self.codebook.entries:,} segments, the model read {share:.1%} of the sample's bytes"
        return text

    def details(self) -> list[tuple[str, str]]:
        """Every setting, θ, the codebook and the byte LM."""
        rows = [(name.replace("_", " "), str(value)) for name, value in sorted(self.settings.to_json().items())]
        rows += [("theta bits", f"{self.theta_bits:.3f}"), ("boundaries", self.boundaries)]
        if self.jump_bits is not None:
            rows += [("jump bits", f"{self.jump_bits:.3f}")]
        rows += [("codebook segments", f"{self.codebook.entries:,}")]
        rows += [("byte LM", f"{self._lm_name}, {self.lm_digest[:12]}")]
        quality = self.lm_training.get("held_out_bits_per_byte")
        if quality:
            scored = f"{self.lm_training['held_out_scored_bytes']:,}"
            rows.append(("its held-out bits per byte", f"{quality:.3f} on {scored} bytes"))
        return rows

    @property
    def _lm_name(self) -> str:
        return str(self.lm_training.get("size", "given"))

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> NeuralDescription:
        """The inverse of `to_json`; ValueError where the entry is another's, or theta_bits is no number of bits."""
        whole = {"jump_bits": None, **entry}
        whole.pop("device", None)  # In artifacts of before 2026-12-01.
        if isinstance(whole.get("settings"), dict):
            whole["settings"] = {"jump": None, **whole["settings"]}
        return record(cls, whole)

    def to_json(self) -> dict[str, Any]:
        """The manifest's entry; it names a jump only where there is one, as releases that had none wrote it."""
        values = {**CompressorDescription.to_json(self), "settings": self.settings.to_json()}
        if self.jump_bits is None:
            del values["jump_bits"]
        return values
