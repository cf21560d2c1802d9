"""The model's ids, and the only place that knows them.

    0 pad   1 bos   2 eos   3 unk   4 sep        as EvaByte's tokenizer has them
    12 <raw>   13 </raw>   14 <comp>   15 </comp>
    64 + b     raw byte b, 0 ≤ b ≤ 255
    320 + s    symbol s of the compressed alphabet

The other ids below 64 are reserved. These ids equal those of the published EvaByte checkpoints, so
that weights can move both ways.
"""

PAD, BOS, EOS, UNK, SEP = 0, 1, 2, 3, 4
RAW_OPEN, RAW_CLOSE, COMP_OPEN, COMP_CLOSE = 12, 13, 14, 15
RAW_BASE = 64
COMP_BASE = RAW_BASE + 256

BYTE_ALPHABET_SIZE = 1 << 8

SPECIAL_SPAN, RAW_SPAN, COMP_SPAN = 0, 1, 2
"""What a position of a training sequence holds: an id below 64, a raw byte, a compressed symbol."""
SPAN_KINDS = ("special", "raw", "comp")
"""The names of those three, in their order."""


def vocabulary_size(alphabet_size: int = 0) -> int:
    """Number of model ids for a compressed alphabet of `alphabet_size` symbols (0: bytes only)."""
    if alphabet_size < 0:
        raise ValueError(f"alphabet size {alphabet_size} is negative")
    return COMP_BASE + alphabet_size
