"""What a sample costs in the sandbox, beside an older checkout's in the same run.

    git worktree add ../before 0e63370
    python -m tests.bench.sandbox ../before [DIRECTORY WITH HUMANEVAL AND MBPP FILES]

Both run the same samples in turns: a trivial one, and the canonical solutions with their base tests. CPU seconds are
those of all processes of a sample; they bear other work on the machine better than wall time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRIVIAL = ("def one():\n    return 1\n", "assert one() == 1\n", "one")
SIDE = """
import inspect, json, resource, sys, time
from trainer.evaluation.code.sandbox import Sandbox
boxes = [Sandbox(namespaces=True), Sandbox(namespaces=False)]
new = "entry_point" in inspect.signature(Sandbox.run).parameters
for line in sys.stdin:
    number, solution, test, name = json.loads(line)
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    words = {"entry_point": name} if new else {}
    outcome = boxes[number].run(solution, test, limit_seconds=120, **words)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps([outcome.passed, wall, cpu]), flush=True)
"""


class Side:
    """A checkout, which runs what it is given."""

    def __init__(self, checkout: str) -> None:
        environment = {**os.environ, "PYTHONPATH": checkout}
        self._process = subprocess.Popen(
            [sys.executable, "-c", SIDE], cwd=checkout, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.times: dict[str, list[tuple[float, float]]] = {}
        self.failed: list[str] = []

    def run(self, group: str, kind: int, sample: tuple[str, str, str]) -> None:
        """One sample, counted in a group."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([kind, *sample]) + "\n")
        self._process.stdin.flush()
        passed, wall, cpu = json.loads(self._process.stdout.readline())
        self.times.setdefault(group, []).append((wall, cpu))
        if not passed:
            self.failed.append(f"{group} {sample[2]}")


def groups(data: str) -> dict[str, tuple[int, list[tuple[str, str, str]]]]:
    """Name to the kind of sandbox and the samples."""
    found = {"trivial, namespace": (0, [TRIVIAL] * 40), "trivial, rlimits": (1, [TRIVIAL] * 40)}
    if data:
        from trainer.evaluation.code.problems import BASE, load_problems

        for task in ("humaneval", "mbpp"):
            problems = load_problems(data, task).problems
            samples = [(one.prompt + one.canonical, one.tests[BASE], one.entry_point) for one in problems]
            found[f"{task} base, namespace"] = (0, samples)
    return found


def main() -> int:
    """Print medians and means of both sides."""
    before, data = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    sides = {"before": Side(os.path.abspath(before)), "now": Side(str(ROOT))}
    for group, (kind, samples) in groups(data).items():
        for sample in samples:
            for side in sides.values():
                side.run(group, kind, sample)
        for name, side in sides.items():
            wall, cpu = ([1000 * pair[place] for pair in side.times[group]] for place in (0, 1))
            print(
                f"{group}, {len(wall)} runs, {name}, median and mean ms: wall {statistics.median(wall):.0f} "
                f"{statistics.mean(wall):.0f}, CPU {statistics.median(cpu):.1f} {statistics.mean(cpu):.1f}",
                flush=True,
            )
    for name, side in sides.items():
        print(f"{name}: failed {side.failed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
