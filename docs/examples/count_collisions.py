"""Count with pandas which codes of a shard name more than one string.

python -m docs.examples.count_collisions data/stdlib/shard-00000-of-00004.arrow
"""

import sys

import pandas as pd

from schemas import paired_view
from schemas.shards import open_shard


def main(shard: str, compressor: str = "neural") -> None:
    """Print how many codes collide, and the ten that name the most strings."""
    segments = paired_view(open_shard(shard).read_all(), compressor).to_pandas()
    segments["code"] = segments["symbols"].map(lambda symbols: tuple(symbols.tolist()))
    strings = segments.groupby("code")["raw"].agg(pd.Series.nunique).sort_values(ascending=False, kind="stable")
    colliding = strings[strings > 1]
    print(f"{len(segments):,} segments, {len(strings):,} codes, {len(colliding):,} of them name more than one string")
    for code, count in colliding.head(10).items():
        examples = segments.loc[segments["code"] == code, "raw"].drop_duplicates().head(3).tolist()
        print(f"{code}: {count} strings, such as {examples}")


if __name__ == "__main__":
    main(*sys.argv[1:])
