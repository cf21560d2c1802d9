"""Text to neural codes and back: what is on disk, what codes with it, what undoes that.

    settings ─┐
    sample ───┴─ build, calibration ──► artifact: byte LM, score table, θ, codebook, description (the manifest's entry)
                                           │
                                        family ──► model (the byte LM on a device), score, codebook
                                                     │
    text ── compressor: score ──► segments ── coder, for what the codebook lacks ──► symbols
                  └── collected, a file for each unit ── coder, once ──► learned: a table that compressors ask first
    symbols ── decoder: the codebook turned round, or the byte LM alone ──► text

`device` says where the byte LM can run.
"""
