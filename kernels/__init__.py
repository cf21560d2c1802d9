"""Arithmetic on arrays: no files, no Beam, no logging. Imports only `schemas`.

    strings without objects   byte_spans: many byte strings and their codes in flat arrays
    a neural code             boundary_score (context_entropy, byte_windows) ──► segmentation ──► segments
                              segments ── prefix_trie ── trie_evaluator, prefix_coding: each prefix read once ──►
                              intervals ── window_coder ──► symbols          code_format: the numbers of all that
    what is known already     codebook, words, on string_table; sorted_strings, on fnv1a, for tables in mapped files
    the model over bytes      byte_model: what codes ask of it   byte_lm_config: its shapes
                              byte_lm: the network that is trained ── exact_quantise ──► exact_lm: what codes
    the same on any machine   exact_lm: exact_products, exact_steps (exact_rows, exact_tables), and by exact_choice
                              in loops for a CPU: exact_fused, exact_loops
                              in Triton for a GPU: exact_triton (exact_triton_kernels, exact_triton_attention,
                              exact_triton_windows)
    training rows             packing: documents and their symbols ──► sequences of ids
    attention of EvaByte      eva
    loops                     compiled: numba for all of the above
    draws and intervals       counter_rng: a draw is a hash of what it decides   bootstrap: how sure a median is

WINDOW_CODER.md has the coder and its proof.
"""
