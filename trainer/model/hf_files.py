"""What an exported folder holds beside its weights: code, configuration, tokenizer, defaults of generation, a README.

hf/*_evabyte.py ──► copied          config.json ──► names them in auto_map, so nothing is fetched from a hub
tokenizer_config.json, generation_config.json, README.md
"""

from __future__ import annotations

import os
from typing import Any

from schemas.files import canonical_json, replace_file
from schemas.vocabulary import BOS, COMP_BASE, EOS, PAD, RAW_CLOSE
from trainer.model.config import EvaByteConfig
from trainer.model.settings import ExportMode

CODE = ("cache", "configuration", "decoding", "modeling", "tokenization")
"""Files of `trainer.model.hf`, each with `_evabyte.py`."""
TRIED = ("4.47.1", "4.57.6", "5.24.0")
"""Releases of transformers with which an exported folder was tried; the first is that of the published code."""

CONSTANTS: dict[str, Any] = {
    "architectures": ["EvaByteForCausalLM"],
    "model_type": "evabyte",
    "auto_map": {
        "AutoConfig": "configuration_evabyte.EvaByteConfig",
        "AutoModelForCausalLM": "modeling_evabyte.EvaByteForCausalLM",
    },
    "attention_class": "eva",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "num_chunks": None,
    "hidden_act": "silu",
    "norm_add_unit_offset": True,
    "rope_scaling": None,
    "pad_token_id": PAD,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "tie_word_embeddings": False,
    "fp32_ln": True,
    "fp32_logits": True,
    "fp32_skip_add": False,
    "mixedp_attn": True,
    "only_raw_ids": True,
    "open_text": False,
    "return_dict": True,
    "transformers_version": TRIED[0],
    "use_cache": False,
}
"""Keys of config.json that are the same for every model."""


def write_files(
    directory: str, config: EvaByteConfig, shape: dict[str, Any], *, mode: ExportMode, dtype: str, positions: int
) -> None:
    """Write everything but the weights, config.json last.

    config: the model's, as it is in the folder. shape: the keys of config.json that say it. positions: the longest
    sequence that the model was trained on.
    """
    here = os.path.join(os.path.dirname(__file__), "hf")
    for name in CODE:
        with open(os.path.join(here, f"{name}_evabyte.py"), "rb") as file:
            replace_file(os.path.join(directory, f"{name}_evabyte.py"), file.read())
    tokenizer = {
        "auto_map": {"AutoTokenizer": ["tokenization_evabyte.EvaByteTokenizer", None]},
        "model_max_length": positions,
        "open_text": True,
        "tokenizer_class": "EvaByteTokenizer",
        "vocabulary": config.vocabulary,
    }
    generation = {
        "bos_token_id": BOS,
        "eos_token_id": [EOS, RAW_CLOSE],
        "pad_token_id": PAD,
        "do_sample": False,
        "max_new_tokens": 256,
        "transformers_version": TRIED[0],
        "use_cache": True,
    }
    whole = {**CONSTANTS, **shape, "max_position_embeddings": positions, "max_seq_length": positions}
    replace_file(os.path.join(directory, "tokenizer_config.json"), canonical_json(tokenizer))
    replace_file(os.path.join(directory, "generation_config.json"), canonical_json(generation))
    replace_file(os.path.join(directory, "README.md"), _readme(config, mode, dtype, positions).encode())
    replace_file(os.path.join(directory, "config.json"), canonical_json({**whole, "torch_dtype": dtype}))


def _readme(config: EvaByteConfig, mode: ExportMode, dtype: str, positions: int) -> str:
    heads = config.symbol_heads
    if mode == "merged":
        vocabulary = f"It is cut to the {COMP_BASE} ids of raw bytes."
    elif config.vocabulary > COMP_BASE:
        vocabulary = (
            f"Beside the {COMP_BASE} ids of raw bytes there are {config.vocabulary - COMP_BASE:,} compressed symbols, "
            "which\n`generate` does not write unless `config.only_raw_ids` is false."
        )
    else:
        vocabulary = f"The {COMP_BASE} ids of raw bytes."
    return f"""# An EvaByte model over raw bytes

{config.parameters:,} parameters, {dtype}, trained on sequences of {positions:,} symbols. The folder is self-contained:
plain PyTorch code, CPU or GPU, nothing is downloaded. Tried with transformers {", ".join(TRIED)}.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".", trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(".", trust_remote_code=True, torch_dtype="auto")
ids = tokenizer("def fib(n):", return_tensors="pt")
print(tokenizer.decode(model.generate(**ids, max_new_tokens=100)[0], skip_special_tokens=True))
```

**Prompt form.** `<bos><raw>` and the bytes of the text: ids 1, 12, then 64 + byte. The tokenizer writes both;
`open_text=False` (or `add_special_tokens=False` for one call) leaves them out. Texts end with `</raw>` (13) or
`<eos>` (2), and generation stops at either. Names of special ids inside a text are text. `tokenizer.ids_to_bytes(ids)`
gives the exact bytes, `decode` a string with U+FFFD for what is not UTF-8.

**Vocabulary.** {vocabulary}

**Heads.** {heads} prediction head{"s" if heads > 1 else ""}: head p predicts the byte p + 1 positions on.
`model.multi_byte_generate(**ids, max_new_tokens=100)` lets the later heads guess and the first one check, so its text
is that of greedy `generate` with fewer forward passes; any number of heads does. `return_all_pred_logits=True` gives
the logits of all heads.

**Batches** are padded on the left (`padding=True`) or on the right, with their `attention_mask`; padding changes no
logits. Beam search and sampling work; assisted decoding, caches of other kinds and attention weights do not.

**lm-evaluation-harness.** Its rolling log-likelihood would score `<bos><raw>` itself. Let the model open texts instead:

    lm_eval --model hf --model_args pretrained=.,trust_remote_code=True,add_bos_token=False,open_text=True --tasks …
"""
