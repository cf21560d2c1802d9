"""`make bench`: the figures of docs/benchmarks.md, each beside its yardstick in the same run.

    python -m tests.bench [--dataset data/stdlib] [--corpus DIR] [NAME ...]

Needs the quick start's dataset (`make preprocess`). Every line names what was measured; ratios matter, times do not.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys

NAMES = (
    *("coder", "speed", "throughput", "theta", "codebook", "growth", "inference", "generated", "scaling", "loader"),
    *("kills", "plan", "serving", "launches", "learning", "columns"),
)


def main() -> int:
    """Run the benchmarks named, each in a process of its own; all of them by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help=f"of {', '.join(NAMES)}")
    parser.add_argument("--dataset", default="data/stdlib", help="the quick start's dataset (default: data/stdlib)")
    parser.add_argument(
        "--corpus", default="", help="real text for throughput, growth and scaling (default: the dataset's, repeated)"
    )
    options = parser.parse_args()
    print(f"machine: {platform.machine()}, Python {platform.python_version()}", flush=True)
    status = 0
    for name in options.names or NAMES:
        print(f"\n## {name}", flush=True)
        places = [] if name in ("serving", "launches") else [options.dataset, options.corpus]
        command = [sys.executable, "-m", f"tests.bench.{name}", *places]
        status |= subprocess.run(command, check=False).returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
