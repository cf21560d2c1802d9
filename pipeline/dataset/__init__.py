"""A directory of shards is written, verified, decoded, shown.

    documents and encodings ── shard_writer ── spill: batches wait for the dictionaries ──► one Arrow file, sha256
    manifest, shards ──┬─ verify ──► every document decodes from every encoding, or the first that does not
                       ├─ decode ──► the corpus again, file by file
                       └─ show   ──► the head of a view, as lines for a terminal

What a shard holds is said in `schemas.shards`.
"""
