"""SIGKILLs at seeded moments: the same command, given until it ends, ends in the undisturbed run's bytes.

A moment is a share of the undisturbed run's time, or shortly after something has appeared: the n-th commit record, the
first shard with its final name, the manifest, an artifact. The child is the whole run, launcher and workers; some kills
are of a launcher or a worker of a Beam job service alone (tests/soak/cluster.py).
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.pipeline.runs import content
from tests.soak.child import Child
from tests.soak.cluster import cluster_kill
from tests.soak.laws import BrokenLawError, Case, check_finished, check_unfinished, law
from tests.soak.runs import LIMIT_SECONDS, UNITS, Subject, make_models, make_subject, write_corpus

NAMES = ("tokenizer-1", "tokenizer-2", "tokenizer-1", "tokenizer-2", "neural-2")
"""What is killed, and how many workers it has; the neural run takes longer and has a smaller share."""
MAX_KILLS_PER_OUTPUT = 4
KILLS_PER_CLUSTER = 10
"""One kill of so many is of a part of a cluster; it takes ten times as long as the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """When a run is killed."""

    words: str
    come: Callable[[Path, float], bool]
    """Of the output directory and the seconds since the start."""
    pause_seconds: float


class Subjects:
    """Runs that train a tokenizer, with one and two workers, and that build codebook and table; made when asked for."""

    def __init__(self, scratch: Path) -> None:
        self._scratch, self._made = scratch, dict[str, Subject]()
        self._models = make_models(scratch / "models")
        self._corpus = write_corpus(scratch / "corpus")

    def named(self, name: str) -> Subject:
        """One of NAMES."""
        if name not in self._made:
            options = ["--compressors", "gzip,tokenizer", "--tokenizer-vocabulary", "330"]
            if name.startswith("neural"):
                options = ["--compressors", "neural,gzip", *self._models.neural_options]
                options += ["--sample-bytes", "2000", "--learn-once"]
            options += ["--workers", name[-1]]
            self._made[name] = make_subject(name, self._corpus, self._scratch, options)
        return self._made[name]


def draw_moment(rng: random.Random, subject: Subject) -> Moment:
    """Any moment of the run, half of them near the places where files get their names."""
    pause_seconds = rng.choice((0.0, 0.001, 0.003, 0.01)) * rng.random()
    kind = rng.randrange(8)
    if kind >= 4:
        moment_seconds = rng.random() * subject.seconds
        return Moment(
            words=f"{moment_seconds:.2f} s", come=lambda _, seconds: seconds >= moment_seconds, pause_seconds=0
        )
    wanted = rng.randrange(1, UNITS + 1)
    patterns = ("_work/done/unit-*.json", "shard-*", "manifest.json*", "compressors/**/*.*")
    pattern = patterns[kind]
    number = {0: wanted, 1: wanted, 2: 1, 3: rng.randrange(1, 4)}[kind]
    return Moment(
        words=f"{number} of {pattern}",
        come=lambda output, _: len(list(output.glob(pattern))) >= number,
        pause_seconds=pause_seconds,
    )


def kill_at(child: Child, output: Path, moment: Moment) -> bool:
    """Kill it at its moment; False if it had ended before."""
    begin = time.monotonic()
    while child.running():
        seconds = time.monotonic() - begin
        if moment.come(output, seconds) or seconds > LIMIT_SECONDS:
            time.sleep(moment.pause_seconds)
            return child.kill()
        time.sleep(0.0005)
    return False


def kills(scratch: Path, *, count: int, seed: int, limit_seconds: float) -> Iterator[Case]:
    """Kills until there have been `count`."""
    limit = time.monotonic() + limit_seconds
    subjects = Subjects(scratch)
    done = outputs = 0
    while done < count and time.monotonic() < limit:
        rng = random.Random(f"{seed}:{outputs}")
        subject = subjects.named(rng.choice(NAMES))
        output, log = scratch / f"out-{outputs}", scratch / f"log-{outputs}"
        outputs += 1
        try:
            if done % KILLS_PER_CLUSTER == KILLS_PER_CLUSTER - 1:
                output.mkdir()
                done += 1
                yield Case(f"kill {done}: {cluster_kill(rng, subjects.named(NAMES[0]), output)}", True, 1)
                shutil.rmtree(output)
                continue
            for _ in range(min(rng.randint(1, MAX_KILLS_PER_OUTPUT), count - done)):
                moment = draw_moment(rng, subject)
                child = subject.start(output, log)
                if not kill_at(child, output, moment):
                    outcome = child.wait(limit_seconds=LIMIT_SECONDS)
                    law(outcome.status == 0, f"exit {outcome.status}: {outcome.last_line}")
                    break
                done += 1
                state = check_unfinished(output, subject.final)
                yield Case(f"kill {done}: {subject.name} at {moment.words}: {state}", True, 1)
            subject.finish(output, log)
            check_finished(output)
            law(content(output) == subject.final, "the final bytes differ from the undisturbed run's")
            shutil.rmtree(output)
        except (BrokenLawError, AssertionError) as error:
            yield Case(f"FAILED {subject.name} after kill {done} ({output}): {error}", False, 0)
