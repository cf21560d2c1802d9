"""Text to symbols and back: one interface, a registry, and a file or folder for each compressor.

    name ── names, registry ──► family ──► Compressor, or its description without loading a model
    documents ── Compressor ──► Encoding: symbols, and where segments (and windows) end ──► documents again
                     └── codebook_cache: what was coded before, in bounded memory

    neural/        segments of likely bytes, coded by the byte LM
    tokenizer/     SentencePiece, by words
    token_bytes/   the tokenizer's tokens as bytes of a fixed number
    gzip           one member per document

`base` is the interface. To add one: a file or folder with a `CompressorFamily` named FAMILY, and a line in names.
"""
