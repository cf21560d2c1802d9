"""Every file that commands read, tampered with: each of them ends in a result or in one line that names what it read.

    scene ── copy, a file ── tamper ──► each command that reads it ──► exit 0, or 1 or 2 and one `error:` line

No traceback, no crash, no hang, and no more memory than a child of the soak may hold.
"""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from tests.soak.child import Child
from tests.soak.laws import BrokenLawError, Case, law
from tests.soak.runs import LIMIT_SECONDS
from tests.soak.scene import TARGETS, Target, make_scene, run
from tests.soak.tampered import tamper

PER_CHILD = 10
COMMAND_SECONDS = 60
MAX_CHILD_BYTES = 3 << 30


class HungError(Exception):
    """A command has not come to an end."""


def files(scratch: Path, *, count: int, seed: int, limit_seconds: float, only: str = "") -> Iterator[Case]:
    """`count` changes, the targets whose path has `only` in it in turn, some to a child."""
    limit = time.monotonic() + limit_seconds
    targets = [target for target in TARGETS if only in target.path]
    law(bool(targets), f"no target has {only!r} in its path")
    (scratch / "scene").mkdir()
    making = Child(lambda: bool(make_scene(scratch / "scene")) - 1, scratch / "making").wait(limit_seconds=600)
    law(making.status == 0, f"the scene could not be made: {making.stderr[-600:]}")
    for first in range(0, count, PER_CHILD):
        if time.monotonic() > limit:
            break
        numbers = range(first, min(first + PER_CHILD, count))
        place = scratch / f"files-{first}"
        place.mkdir()
        outcome = Child(lambda: _try(scratch / "scene", place, targets, numbers, seed), place / "log").wait(  # noqa: B023
            limit_seconds=LIMIT_SECONDS
        )
        try:
            law(
                outcome.status == 0, f"status {outcome.status} after {outcome.stdout[-500:]!r}: {outcome.stderr[-600:]}"
            )
            law(outcome.peak_bytes < MAX_CHILD_BYTES, f"{outcome.peak_bytes} bytes of memory")
            refused = outcome.stdout.count("refused")
            yield Case(f"files {first} to {numbers[-1]}: {refused} commands refused", True, len(numbers))
            shutil.rmtree(place)
        except BrokenLawError as error:
            yield Case(f"FAILED files from {first} ({place}): {error}", False, len(numbers))


def _try(scene: Path, place: Path, targets: Sequence[Target], numbers: range, seed: int) -> int:
    for number in numbers:
        try_one(scene, place / "copy", targets[number % len(targets)], random.Random(f"{seed}:{number}"))
    return 0


def try_one(scene: Path, place: Path, target: Target, rng: random.Random) -> None:
    """Change one file of a copy of the scene; BrokenLawError where a command does not end as it should."""
    seed = rng.random()
    for command in target.commands:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(scene, place, symlinks=True)
        path = sorted(place.glob(target.path))[0]
        # The same change for every command.
        words, changed = tamper(path.read_bytes(), target.kind, random.Random(seed))
        path.unlink()
        path.mkdir() if changed is None else path.write_bytes(changed)
        print(f"{target.path}, {words}, {command.split()[0]}:", end=" ", flush=True)
        print(_outcome(place, command, f"{target.path}, {words}, {command}"), flush=True)


def _outcome(place: Path, command: str, case: str) -> str:
    """What became of a command, by the law."""
    errors, shown = io.StringIO(), io.TextIOWrapper(io.BytesIO())
    before = signal.signal(signal.SIGALRM, _hung)
    signal.alarm(COMMAND_SECONDS)
    try:
        with contextlib.chdir(place), contextlib.redirect_stderr(errors), contextlib.redirect_stdout(shown):
            status = run(command)
    except Exception as error:
        raise BrokenLawError(f"{case}: {type(error).__name__}: {error}") from error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    said = [line for line in errors.getvalue().splitlines() if line.startswith("error: ")]
    law(status in (0, 1, 2), f"{case}: exit {status}")
    law(len(said) == (status != 0), f"{case}: exit {status} and {said}")
    law("Traceback" not in errors.getvalue(), f"{case}: a traceback")
    law(not status or _names(said[0], place), f"{case}: it names no file: {said}")
    if not status and command.startswith("decode"):
        law(_content(place / "back") == _content(place / "decoded"), f"{case}: other texts were decoded")
    return "read" if status == 0 else f"refused: {said[0]}"


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _names(line: str, place: Path) -> bool:
    """Whether an error names a file of the scene or a directory of it, or what else tells where to look."""
    paths = list(place.rglob("*"))
    names = {path.name for path in paths if "." in path.name or "-" in path.name}
    folders = {str(path.relative_to(place)) for path in paths if path.is_dir()}
    # A problem that its own solution does not solve, a path that was written into settings, weights of nan.
    others = {"HumanEval/", "/etc/passwd", "the loss o"}
    return any(name in line for name in names | others) or any(folder in line.split() for folder in folders)


def _hung(number: int, frame: FrameType | None) -> None:
    raise HungError(f"nothing after {COMMAND_SECONDS} s")
