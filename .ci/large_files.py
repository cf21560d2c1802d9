"""Fail where a file named on the command line is larger than 256 KiB: weights, corpora and logs stay outside."""

import os
import sys

LIMIT_BYTES = 256 << 10

large = [path for path in sys.argv[1:] if os.path.getsize(path) > LIMIT_BYTES]
for path in large:
    print(f"{path} has {os.path.getsize(path):,} bytes; the limit is {LIMIT_BYTES:,}: keep data outside the repository")
sys.exit(bool(large))
