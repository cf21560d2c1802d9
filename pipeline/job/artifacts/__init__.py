"""The models of a run, each made only if not given and not there.

    needed: which ones some compressors need
    corpus ── sample ──► byte_lm: trained or given ──► neural: θ, score table, codebook
                  └────► tokenizer: trained or given

All of it is in OUTPUT/compressors, so a later run, or another dataset, can find it there, with the request: the
settings that it was made with. A run that asks for others is refused. `taken` copies another dataset's instead, for
--compressors-of. `artifact` is what they have in common.
"""
