"""The program runs from a checkout: a wheel holds no code, so no package named `kernels` lands beside the index's."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import kernels

ROOT = Path(__file__).parent.parent
OURS = ("schemas", "kernels", "pipeline", "trainer")


@pytest.mark.slow
def test_a_wheel_installs_dependencies_and_no_code(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in OURS:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "out", "."]
    done = subprocess.run([sys.executable, *build], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = (tmp_path / "out").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert names and all(name.partition("/")[0].endswith(".dist-info") for name in names), names
    (metadata,) = [name for name in names if name.endswith("/METADATA")]
    assert b"Requires-Dist: numba" in zipfile.ZipFile(wheel).read(metadata)


def test_no_installed_distribution_claims_our_names() -> None:
    """Neither ours, nor the index's `kernels`, which transformers would then import and find this checkout instead."""
    claimed = importlib.metadata.packages_distributions()
    assert {name: claimed[name] for name in OURS if name in claimed} == {}


def test_kernels_has_no_version() -> None:
    """transformers takes a package `kernels` of unknown version for absent; a number could pass for the index's."""
    assert not hasattr(kernels, "__version__")
