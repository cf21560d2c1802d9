"""Raw bytes in, raw bytes out, with no compressor: how a trained model continues a text.

    prompt ── generate ──► opening, <bos> <raw>, and bytes ── batch: texts side by side, which come and go
    batch ── kv_cache: keys, values and summaries read so far ──► hidden states
    hidden states ── heads ──► logits of the next byte and guesses of those after it
    logits ── sampling: a hash of seed and position decides ──► bytes, until </raw>, <eos> or max_bytes

`settings` says what the command line can ask for.
"""
