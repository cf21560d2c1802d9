"""The keys of an EvaByte config.json that decide what the model computes."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

PAD, BOS, EOS, RAW_OPEN, RAW_CLOSE = 0, 1, 2, 12, 13
RAW_BASE, COMP_BASE = 64, 320
"""Ids: byte b is 64 + b, and 320 is the first of the compressed alphabet."""


class EvaByteConfig(PretrainedConfig):
    """The shape of an EvaByte model. ValueError for a variant of the architecture that this code does not compute."""

    model_type = "evabyte"
    keys_to_ignore_at_inference = ["past_key_values", "cache"]  # noqa: RUF012

    def __init__(
        self,
        vocab_size: int = 320,
        hidden_size: int = 512,
        intermediate_size: int = 1408,
        num_hidden_layers: int = 4,
        num_attention_heads: int = 8,
        num_pred_heads: int = 1,
        window_size: int = 2048,
        chunk_size: int = 8,
        max_position_embeddings: int = 16384,
        rope_theta: float = 100_000.0,
        rms_norm_eps: float = 1e-6,
        use_cache: bool = False,
        only_raw_ids: bool = True,
        open_text: bool = False,
        pad_token_id: int = 0,
        bos_token_id: int = 1,
        eos_token_id: int = 2,
        **kwargs: Any,
    ) -> None:
        """num_pred_heads: head p predicts the id p + 1 positions on. only_raw_ids: generation writes bytes alone.

        open_text: put what is missing of <bos> <raw> before a text of bytes, for programs that leave it out.
        use_cache: what `forward` does when it is not told; `generate` tells it.
        """
        wanted = {"attention_class": "eva", "norm_add_unit_offset": True, "num_chunks": None, "rope_scaling": None}
        for key, value in wanted.items():
            if kwargs.pop(key, value) != value:
                raise ValueError(f"{key} must be {value!r} in config.json; no other EvaByte is computed here")
        kwargs.pop("num_key_value_heads", None)
        kwargs.setdefault("tie_word_embeddings", False)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_pred_heads = num_pred_heads
        self.window_size = window_size
        self.chunk_size = chunk_size
        self.max_position_embeddings = max_position_embeddings
        self.rope_theta = rope_theta
        self.rms_norm_eps = rms_norm_eps
        self.use_cache = use_cache
        self.only_raw_ids = only_raw_ids
        self.open_text = open_text
        self.attention_class = "eva"
        self.norm_add_unit_offset = True
        self.num_chunks = None
        super().__init__(pad_token_id=pad_token_id, bos_token_id=bos_token_id, eos_token_id=eos_token_id, **kwargs)
