"""A byte LM's training whose output is a store goes on after an end that nobody was told of."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.job import kept_checkpoints as kept
from schemas import stores


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a checkpoint is kept; it is looked for often."""
    monkeypatch.setattr(kept, "LOOK_SECONDS", 0.01)
    (tmp_path / "store").mkdir()
    return f"file://{tmp_path}/store/lm-tiny.tar"


def write_checkpoint(lm: Path, step: int) -> dict[str, bytes]:
    """A checkpoint as the trainer leaves one: whole under its name, the earlier ones gone."""
    content = {"shard-00001.safetensors": bytes([step]) * 100_000, "state.json": b"{}"}
    temporary = lm / "checkpoints" / f"step-{step:08d}.tmp"
    temporary.mkdir(parents=True)
    for name, data in content.items():
        (temporary / name).write_bytes(data)
    whole = temporary.with_suffix("")
    temporary.rename(whole)
    for other in whole.parent.iterdir():
        if other != whole:
            shutil.rmtree(other)
    return content


def checkpoints(lm: Path) -> dict[str, dict[str, bytes]]:
    """What lies in a byte LM's folder of checkpoints."""
    folders = sorted((lm / "checkpoints").iterdir())
    return {each.name: {file.name: file.read_bytes() for file in each.iterdir()} for each in folders}


def wait_until(is_so: Callable[[], bool]) -> None:
    """AssertionError if it is not so within ten seconds."""
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_next_run_has_the_last_checkpoint_until_the_byte_lm_is_there(url: str, tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"copy-{number}" / "lm-tiny" for number in range(3))
    with pytest.raises(KeyboardInterrupt), kept.kept_checkpoints(url, first):
        assert checkpoints(first) == {}
        write_checkpoint(first, 1)
        wait_until(lambda: stores.look(url) is not None)
        last = write_checkpoint(first, 2)
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), kept.kept_checkpoints(url, second):
        assert checkpoints(second) == {"step-00000002": last}
        (second / "checkpoints" / "step-00000003.tmp").mkdir()
        raise KeyboardInterrupt
    with kept.kept_checkpoints(url, third):
        assert checkpoints(third) == {"step-00000002": last}
        write_checkpoint(third, 3)
        (third / kept.CONFIG_NAME).write_bytes(b"{}")
    assert stores.look(url) is None
    with kept.kept_checkpoints(url, third):
        write_checkpoint(third, 4)
    assert stores.look(url) is None, "a byte LM that is there is not trained"


def test_a_damaged_checkpoint_is_passed_over(url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stores.write(url, b"no archive")
    with kept.kept_checkpoints(url, tmp_path / "lm-tiny"):
        assert checkpoints(tmp_path / "lm-tiny") == {}
    assert [record.getMessage() for record in caplog.records if "is damaged" in record.getMessage()]


def test_a_checkpoint_that_went_while_it_was_packed_is_not_sent(url: str, tmp_path: Path) -> None:
    lm = tmp_path / "lm-tiny"
    write_checkpoint(lm, 1)
    gone = lm / "checkpoints" / "step-00000000"
    assert not kept._send(url, gone)
    assert stores.look(url) is None
    assert kept._send(url, lm / "checkpoints" / "step-00000001")


def test_a_store_that_takes_nothing_ends_no_training(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise stores.StoreError("507 InsufficientStorage", 507)

    monkeypatch.setattr(stores, "write", refuse)
    with kept.kept_checkpoints(url, tmp_path / "lm-tiny"):
        write_checkpoint(tmp_path / "lm-tiny", 1)
    assert [record.getMessage() for record in caplog.records if "507 InsufficientStorage" in record.getMessage()]
