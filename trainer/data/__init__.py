"""From shards to batches: an endless stream that depends on the dataset and the seed, not on the number of ranks.

    manifest.json, shards ── dataset ──► record batches as flat arrays     shard_reader, shard_cache (remote shards)
    rows of all shards    ── row_ranges ──► for each epoch, which lane reads which range
    a lane's open ranges  ── slots ──► documents waiting in each
    a draw per document   ── blocks ──► some hundred documents, end to end     literals: single bytes as themselves
    block and mixing      ── lanes, kernels.packing ──► sequences of ids
    several datasets      ── blend ──► which of them a sequence comes from
    lanes of a rank       ── loader, prefetch ──► PackedBatch per step     loader_state: what a checkpoint keeps

`mixing` says which encoding a document is shown in at which step, `settings` where remote shards are kept,
`held_out_sample` which of the documents that are never read here a run is measured on.
"""
