"""The tokenizer encoding: SentencePiece ids, one segment per token, exact for every byte string.

    sample   ── training ──► one lossless `.model` file
    document ── kernels.words ──► words ── codebook ──► known ──────────────────────────────► ids
                                             └► unknown ── SentencePiece ── bytes equal? ──► ids, or those of its bytes
    ids      ── piece_table ──► bytes

compressor   does both directions
family       the registry's entry: from a `.model` file to the compressor, or to its description
"""
