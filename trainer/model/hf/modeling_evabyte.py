"""EvaByte for transformers in plain PyTorch: the same numbers on a CPU and on a GPU, no kernels to install.

Attention is exact inside an aligned window of W positions and sees every chunk of C positions of earlier windows as one
summary. Positions count the symbols of a row that attention_mask means, so padding on either side changes nothing.

A forward without a cache is one pass over all positions and has gradients. One with a cache reads a window at a time
and has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.generation.logits_process import LogitsProcessor, LogitsProcessorList
from transformers.modeling_outputs import CausalLMOutputWithPast

from .cache_evabyte import EvaByteCache, summarise
from .configuration_evabyte import BOS, PAD, RAW_BASE, RAW_OPEN, EvaByteConfig
from .decoding_evabyte import MultiByteDecoding, raw_continuations

CACHE = "cache" if "cache" in {field.name for field in fields(CausalLMOutputWithPast)} else "past_key_values"
"""What this release of transformers calls the past."""

Attend = Callable[[int, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""Attention of (layer, q, k, v, mu, phi)."""


class EvaByteRMSNorm(nn.Module):
    """x / rms(x) · (1 + weight), computed in fp32 and returned in the dtype of x."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.size, self.eps = size, eps
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., size] normalized."""
        return F.rms_norm(x.float(), (self.size,), 1 + self.weight.float(), self.eps).to(x.dtype)


class EvaByteAttention(nn.Module):
    """Queries, keys and values; who sees whom is the caller's."""

    def __init__(self, config: EvaByteConfig) -> None:
        super().__init__()
        self.heads, size = config.num_attention_heads, config.hidden_size
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(size, size, bias=False) for _ in range(4))
        self.adaptive_mu_k = nn.Parameter(torch.zeros(1, self.heads, 1, 1, size // self.heads))
        self.adaptive_phi = nn.Parameter(torch.zeros(1, self.heads, 1, 1, size // self.heads))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, layer: int, attend: Attend) -> Tensor:
        """x [batch, T, size] after attention."""
        q, k, v = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = attend(layer, _rotate(q, cos, sin), _rotate(k, cos, sin), v, self.adaptive_mu_k, self.adaptive_phi)
        return self.o_proj(attended.transpose(1, 2).flatten(2))


class EvaByteMLP(nn.Module):
    """SwiGLU."""

    def __init__(self, config: EvaByteConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., size]."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class EvaByteLayer(nn.Module):
    """Attention and SwiGLU, each after a norm and added to the residual stream."""

    def __init__(self, config: EvaByteConfig) -> None:
        super().__init__()
        self.input_layernorm = EvaByteRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = EvaByteAttention(config)
        self.post_attention_layernorm = EvaByteRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = EvaByteMLP(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, layer: int, attend: Attend) -> Tensor:
        """The residual stream [batch, T, size] after this layer."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, layer, attend)
        return x + self.mlp(self.post_attention_layernorm(x))


class EvaBytePreTrainedModel(PreTrainedModel):
    """How transformers makes, fills and splits these models."""

    config_class = EvaByteConfig
    base_model_prefix = "model"
    _no_split_modules = ["EvaByteLayer"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_cache_class = True

    def _init_weights(self, module: nn.Module) -> None:
        """Fresh weights: embedding σ = 1, linears 0.02, μ and φ head size^−½, gains 0."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, EvaByteRMSNorm):
            nn.init.zeros_(module.weight)
        elif isinstance(module, EvaByteAttention):
            for parameter in (module.adaptive_mu_k, module.adaptive_phi):
                nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)


class EvaByteModel(EvaBytePreTrainedModel):
    """Embedding, layers and the last norm."""

    def __init__(self, config: EvaByteConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(EvaByteLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = EvaByteRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_init()

    def forward(self, x: Tensor, *, every: bool = False) -> list[Tensor]:
        """Hidden states of embeddings x [batch, T, size], which begin at position 0: one pass.

        every: the residual stream before each layer too.
        """
        places = torch.arange(x.shape[1], device=x.device).unsqueeze(0)
        return self._through(x, places, self._attend_windows, every)

    def step(self, x: Tensor, counts: Tensor, cache: EvaByteCache, *, every: bool = False) -> list[Tensor]:
        """Hidden states of the next symbols x [batch, n, size], of which counts [batch] are meant; see EvaByteCache."""
        return self._through(x, cache.begin(counts, x.shape[1]), cache.attend, every)

    @torch.no_grad()
    def read(self, x: Tensor, counts: Tensor, cache: EvaByteCache, *, every: bool = False) -> list[Tensor]:
        """As `step`, and remembered, for any number of symbols."""
        rows = torch.arange(len(x), device=x.device).unsqueeze(1)
        done = torch.zeros_like(counts)
        states: list[Tensor] = []
        while True:
            take = torch.minimum(cache.room(), counts - done)
            columns = torch.arange(max(1, int(take.max())), device=x.device)
            at = (done.unsqueeze(1) + columns).clamp_max(x.shape[1] - 1)
            found = self.step(x[rows, at], take, cache, every=every)
            cache.keep(take)
            states = states or [torch.zeros_like(x) for _ in found]
            row, column = (columns < take.unsqueeze(1)).nonzero(as_tuple=True)
            for state, part in zip(states, found, strict=True):
                state[row, at[row, column]] = part[row, column]
            done = done + take
            if not bool((done < counts).any()):
                return states

    def _through(self, x: Tensor, places: Tensor, attend: Attend, every: bool) -> list[Tensor]:
        half = self.config.hidden_size // self.config.num_attention_heads // 2
        frequency = self.config.rope_theta ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
        angle = (places.float().unsqueeze(-1) * frequency).unsqueeze(1)
        cos, sin = angle.cos(), angle.sin()
        states = []
        for layer, block in enumerate(self.layers):
            if every:
                states.append(x)
            x = block(x, cos, sin, layer, attend)
        return [*states, self.norm(x)]

    def _attend_windows(self, _: int, q: Tensor, k: Tensor, v: Tensor, mu: Tensor, phi: Tensor) -> Tensor:
        """Attention of whole texts, a window at a time."""
        window, chunk = self.config.window_size, self.config.chunk_size
        far = max(0, (q.shape[2] - 1) // window * window)
        far_k, far_v = summarise(k[:, :, :far], v[:, :, :far], mu, phi, chunk)
        outputs = []
        for first in range(0, q.shape[2], window):
            here, chunks = slice(first, first + window), first // chunk
            near_q = q[:, :, here]
            keys = torch.cat((far_k[:, :, :chunks], k[:, :, here]), 2)
            values = torch.cat((far_v[:, :, :chunks], v[:, :, here]), 2)
            mask = torch.ones(near_q.shape[2], keys.shape[2], dtype=torch.bool, device=q.device).tril(chunks)
            outputs.append(F.scaled_dot_product_attention(near_q, keys, values, attn_mask=mask))
        return torch.cat(outputs, 2)


class OnlyRawIds(LogitsProcessor):
    """Leaves the 256 bytes and the two ends, </raw> and <eos>: compressed symbols are of no use to a reader."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """scores [batch, ids] with −∞ elsewhere."""
        ids = torch.arange(scores.shape[-1], device=scores.device)
        return scores.masked_fill(~raw_continuations(ids), float("-inf"))


class EvaByteForCausalLM(EvaBytePreTrainedModel, MultiByteDecoding, GenerationMixin):
    """EvaByte with its heads; `logits` are those of the first one, of the next symbol."""

    def __init__(self, config: EvaByteConfig) -> None:
        super().__init__(config)
        self.model = EvaByteModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.num_pred_heads * config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: EvaByteCache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        return_all_pred_logits: bool = False,
        logits_to_keep: int = 0,
        cache: EvaByteCache | None = None,
    ) -> Any:
        """Logits of ids int64 [batch, T] or of embeddings; ValueError for what this architecture does not have.

        attention_mask: [batch, T] or [batch, past and T]; 0 for padding, on either side, where the logits are those of
        the symbol before. past_key_values or cache: the past, an EvaByteCache. labels: as input_ids, −100 where there
        is none; the loss is the mean of the next symbol's nats. return_all_pred_logits: [batch, T, heads, ids].
        logits_to_keep: only those of the last columns; 0 for all.
        """
        if output_attentions:
            raise ValueError("EvaByte keeps no attention weights; leave output_attentions out")
        past = past_key_values if cache is None else cache
        use_cache = self.config.use_cache if use_cache is None else use_cache
        if use_cache or past is not None:
            past = self._cache(past, input_ids if inputs_embeds is None else inputs_embeds)
        every = bool(self.config.output_hidden_states if output_hidden_states is None else output_hidden_states)
        states = self._states(input_ids, inputs_embeds, attention_mask, past, every)
        kept = states[-1][:, -logits_to_keep:]
        heads, size = self.config.num_pred_heads, self.config.vocab_size
        weight = self.lm_head.weight if return_all_pred_logits else self.lm_head.weight[:size]
        logits = F.linear(kept, weight).float()
        loss = None
        if labels is not None:
            nexts = logits[..., :size][:, :-1].flatten(0, 1)
            loss = F.cross_entropy(nexts, labels[:, -kept.shape[1] :][:, 1:].flatten().to(logits.device))
        output = CausalLMOutputWithPast(
            loss=cast(Any, loss),
            logits=cast(Any, logits.unflatten(-1, (heads, size)) if return_all_pred_logits else logits),
            hidden_states=cast(Any, tuple(states) if every else None),
            **{CACHE: past if use_cache else None},
        )
        return output if return_dict is None or return_dict else output.to_tuple()

    def prepare_inputs_for_generation(self, input_ids: Tensor, **kwargs: Any) -> dict[str, Any]:
        """What `generate` gives to `forward`: the columns that the cache has not read."""
        past = kwargs.get("cache") if kwargs.get("past_key_values") is None else kwargs["past_key_values"]
        read = 0 if past is None else past.get_seq_length()
        given = {"attention_mask": kwargs.get("attention_mask"), "use_cache": kwargs.get("use_cache"), CACHE: past}
        if kwargs.get("inputs_embeds") is not None and not read:
            return {**given, "inputs_embeds": kwargs["inputs_embeds"], "logits_to_keep": 1}
        columns = input_ids.shape[1] if kwargs.get("attention_mask") is None else kwargs["attention_mask"].shape[1]
        return {**given, "input_ids": input_ids[:, max(0, read - columns + input_ids.shape[1]) :], "logits_to_keep": 1}

    @torch.no_grad()
    def generate(
        self, inputs: Tensor | None = None, generation_config: Any = None, logits_processor: Any = None, **kwargs: Any
    ) -> Any:
        """As every model's `generate`; it writes bytes alone unless config.only_raw_ids is false."""
        for name in ("assistant_model", "prompt_lookup_num_tokens"):
            if kwargs.get(name) is not None:
                raise ValueError(f"{name} needs a cache that forgets; multi_byte_generate speculates by the own heads")
        processors = LogitsProcessorList([OnlyRawIds()] if self.config.only_raw_ids else [])
        processors.extend(logits_processor or [])
        return super().generate(inputs, generation_config, processors, **kwargs)

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        """No: `forward` makes its own kind of cache."""
        return False

    def get_input_embeddings(self) -> nn.Module:
        """The embedding."""
        return self.model.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the embedding."""
        self.model.embed_tokens = value

    def _cache(self, past: Any, like: Tensor | None) -> EvaByteCache:
        """`past`, or a new cache where there is none or another kind that is empty."""
        assert like is not None, "give input_ids or inputs_embeds"
        if isinstance(past, EvaByteCache):
            if past.rows != len(like):
                raise ValueError(f"the cache holds {past.rows} rows, the input {len(like)}")
            return past
        if past is not None and past.get_seq_length():
            raise ValueError(
                f"the past is a {type(past).__name__}; give the EvaByteCache that an earlier call returned"
            )
        config = self.config
        return EvaByteCache(
            layers=config.num_hidden_layers,
            window=config.window_size,
            chunk=config.chunk_size,
            rows=len(like),
            device=like.device,
        )

    def _states(
        self, ids: Tensor | None, x: Tensor | None, mask: Tensor | None, cache: EvaByteCache | None, every: bool
    ) -> list[Tensor]:
        """The last hidden states [batch, T, size] of all columns; `every`: and those before each layer."""
        if (ids is None) == (x is None):
            raise ValueError("give either input_ids or inputs_embeds")
        given = cast(Tensor, ids if x is None else x)
        meant = torch.ones(given.shape[:2], dtype=torch.bool, device=given.device)
        if mask is not None:
            if mask.dim() != 2 or mask.shape[1] < given.shape[1]:
                raise ValueError(f"attention_mask has the shape {list(mask.shape)}; give [batch, columns] of 0 and 1")
            meant = mask[:, -given.shape[1] :].bool()
        # The meant symbols to the left, in their order: then padding comes after them, where nothing sees it.
        order = (~meant).to(torch.int8).argsort(dim=1, stable=True)
        rows = torch.arange(len(given), device=given.device).unsqueeze(1)
        given, counts = given[rows, order], meant.sum(1)
        column = (meant.cumsum(1) - 1).clamp_min(0)
        if x is None and self.config.open_text and (cache is None or not cache.columns):
            given, counts, shift = opened(given, counts)
            column = shift[rows, column]
        embeddings = self.model.embed_tokens(given) if x is None else given
        if cache is None:
            states = self.model(embeddings, every=every)
        else:
            states = self.model.read(embeddings, counts, cache, every=every)
            cache.columns += meant.shape[1]
        return [state[rows, column] for state in states]


def opened(ids: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """ids [batch, T], of which counts [batch] are meant, with what was missing of <bos> <raw> before a text of bytes.

    Returns ids [batch, T + 2], counts, and the new column of each old one, [batch, T]. A text that opens otherwise, as
    with <bos> <comp>, stays as it is.
    """
    first = ids[:, 0]
    second = ids[:, min(1, ids.shape[1] - 1)]
    is_byte, only_raw = (first >= RAW_BASE) & (counts > 0), first == RAW_OPEN
    only_bos = (first == BOS) & ((counts == 1) | (second == PAD) | (second >= RAW_BASE))
    missing = 2 * is_byte.long() + only_bos.long() + only_raw.long()
    columns = torch.arange(ids.shape[1], device=ids.device)
    shift = columns + missing.unsqueeze(1)
    longer = ids.new_zeros(len(ids), ids.shape[1] + 2)
    longer = longer.scatter(1, shift, ids)
    longer[:, 0] = torch.where(missing > 0, BOS, longer[:, 0])
    longer[:, 1] = torch.where(is_byte | only_bos, RAW_OPEN, longer[:, 1])
    return longer, counts + missing, shift


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions of x [batch, heads, T, head size], halves paired, in fp32."""
    left, right = x.float().chunk(2, -1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), -1).to(x.dtype)
