"""The image of a worker holds whatever a worker imports: our packages, and the distributions that pip installs in it.

The image itself is not built here (docs/cluster.md says so). What its Dockerfile copies is put into a directory, and
its last check is run there, without this checkout in sight.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline.compressors.names import COMPRESSORS
from tests.rooms import MODULES, ROOT, imported

DOCKERFILE = (ROOT / "pipeline/Dockerfile").read_text("utf-8").replace("\\\n", " ")
IGNORED = (ROOT / "pipeline/Dockerfile.dockerignore").read_text("utf-8").splitlines()
ENTRY = {"pipeline.job.graph", "pipeline.job.preprocess", *COMPRESSORS.values()}
"""What a worker unpickles and calls, what the image's own check runs, and the modules that are found by name."""
ON_THE_LAUNCHER = {"trainer"}
"""Packages that are named but run in a process of their own, before any worker starts."""


OPTIONAL = {"triton"}
"""What torch brings where there is a GPU; without it the byte LM is read by torch alone."""


def instructions(word: str) -> list[str]:
    """What follows an instruction of the Dockerfile, each time."""
    return re.findall(rf"^{word} (.*)$", DOCKERFILE, re.MULTILINE)


@functools.cache
def can_be_imported(module: str) -> bool:
    """Whether all that a module of ours needs at once is there, what is optional included."""
    names = {name.partition(".")[0] for name, at_once in imported(MODULES[module]) if at_once}
    below = [name for name, at_once in imported(MODULES[module]) if at_once and name in MODULES]
    return not any(find_spec(name) is None for name in names & OPTIONAL) and all(map(can_be_imported, below))


def copied() -> set[str]:
    """The files and folders that the Dockerfile copies."""
    return {source for line in instructions("COPY") for source in line.split()[:-1]}


def closure() -> tuple[set[str], set[str]]:
    """(our modules, top-level names of others) that a worker may import, imports inside functions included."""
    ours: set[str] = set()
    others: set[str] = set()
    ahead = sorted(ENTRY)
    while ahead:
        module = ahead.pop()
        if module in ours:
            continue
        ours.add(module)
        package = module.rpartition(".")[0]
        for name, _ in imported(MODULES[module]):
            if name in MODULES:
                ahead.append(name)
            else:
                others.add(name.partition(".")[0])
        if package in MODULES:
            ahead.append(package)
    return ours, others - set(sys.stdlib_module_names)


def installed(names: list[str]) -> set[str]:
    """The distributions that these requirements bring, with those that they require themselves."""
    found: set[str] = set()
    ahead = list(names)
    while ahead:
        name = canonical(ahead.pop())
        if name in found:
            continue
        try:
            wanted = requires(name) or []
        except PackageNotFoundError:
            continue
        found.add(name)
        ahead += [one for one in wanted if "extra ==" not in one]
    return found


def canonical(requirement: str) -> str:
    """`Apache_Beam[gcp]>=2.76` is apache-beam."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; (]", requirement.strip(), maxsplit=1)[0]).lower()


def test_every_package_that_a_worker_imports_is_copied() -> None:
    ours, _ = closure()
    assert len(ours) > 40
    assert {module.partition(".")[0] for module in ours} - ON_THE_LAUNCHER <= copied()
    assert not {module for module in ours if module.partition(".")[0] in ON_THE_LAUNCHER}


def test_every_distribution_that_a_worker_imports_is_installed() -> None:
    _, others = closure()
    assert {"apache_beam", "torch", "numba", "sentencepiece"} <= others
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    there = installed(project["dependencies"])
    missing = {
        name for name in others if not there & {canonical(one) for one in packages_distributions().get(name, [])}
    }
    assert missing <= OPTIONAL, "add them to pyproject.toml's dependencies"


def test_the_versions_are_those_of_the_constraints() -> None:
    constraints = (ROOT / ".ci/constraints.txt").read_text("utf-8")
    (version,) = re.findall(r"^ARG BEAM_VERSION=(.*)$", DOCKERFILE, re.MULTILINE)
    assert f"apache-beam=={version}\n" in constraints


def test_nothing_that_is_copied_is_ignored() -> None:
    for source in copied():
        last = [line for line in IGNORED if fnmatch(source.partition("/")[0], line.lstrip("!"))][-1]
        assert last.startswith("!"), f"{source} is copied, but {last!r} keeps it out of the build"


@pytest.mark.slow
def test_the_images_own_check_runs_on_what_is_copied(tmp_path: Path) -> None:
    work = tmp_path / "opt"
    work.mkdir()
    for source in copied():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, work / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, work)
    (check,) = [line for line in instructions("RUN") if "pipeline preprocess" in line]
    environment = {
        **os.environ, "PYTHONPATH": str(work), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    everything = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    ours = [module for module in sorted(closure()[0]) if not module.endswith("__main__") and can_be_imported(module)]
    imports = shlex.join([sys.executable, "-c", everything, *ours])
    command = f"{check.replace('/tmp/', f'{tmp_path}/')} && {imports}"
    done = subprocess.run(["sh", "-c", command], cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
