"""What an exported folder carries beside the weights: EvaByte for transformers, in plain PyTorch.

    text ── tokenization_evabyte ──► <bos> <raw> bytes ── modeling_evabyte ──► logits, hidden states
                       cache_evabyte: keys, values and summaries read so far ──┘      │
    configuration_evabyte: the keys of config.json                decoding_evabyte: several bytes a forward

`trainer.model.hf_export` copies these files as they are, so they import PyTorch, transformers and each other, and none
of our packages. transformers names a file by its place in the folder, hence the relative imports.
"""
