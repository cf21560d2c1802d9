"""The offline half: a corpus becomes Arrow shards. Imports `schemas` and `kernels`.

    files ── corpus ──► documents ── compressors ──► symbols ── dataset ──► shards, manifest.json
                └─────────────────── job: one run of that, on every Beam runner ───────────┘  │
                                                                                              ▼
                              planning: what a larger run takes   analysis: what the compressors do to text

`storage` opens and writes files wherever they lie, `cli` is what is typed, `timing` counts seconds per stage.
"""
