"""Stages add up to the time that passed, and what is attributed to another is taken from the one it lies in."""

from __future__ import annotations

import threading
import time

import pytest

from pipeline.timing import Clock, attribute_time_to


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be moved by hand."""
    moment = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: moment[0])
    return moment


def test_attributed_time_is_not_counted_twice(now: list[float]) -> None:
    clock = Clock()
    with clock.stage("neural"):
        now[0] += 1
        with attribute_time_to("byte_lm"):
            now[0] += 10
        now[0] += 2
        with attribute_time_to("byte_lm"):
            now[0] += 20
    with clock.stage("write"):
        now[0] += 5
    assert clock.seconds == {"neural": 3, "byte_lm": 30, "write": 5}
    assert sum(clock.seconds.values()) == now[0] - 100


def test_without_a_running_stage_nothing_is_counted(now: list[float]) -> None:
    clock = Clock()
    with attribute_time_to("byte_lm"):
        now[0] += 1
    with clock.stage("neural"):
        now[0] += 1
    with attribute_time_to("byte_lm"):
        now[0] += 1
    assert clock.seconds == {"neural": 1}


def test_clocks_of_other_threads_are_left_alone(now: list[float]) -> None:
    clock = Clock()

    def other() -> None:
        with attribute_time_to("byte_lm"):
            pass

    with clock.stage("neural"):
        now[0] += 1
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert clock.seconds == {"neural": 1}


def test_attributed_time_counts_when_it_fails_too(now: list[float]) -> None:
    clock = Clock()
    with pytest.raises(RuntimeError), clock.stage("neural"), attribute_time_to("byte_lm"):
        now[0] += 4
        raise RuntimeError
    assert clock.seconds == {"neural": 0, "byte_lm": 4}


def test_attributed_time_inside_attributed_time(now: list[float]) -> None:
    clock = Clock()
    with clock.stage("neural"), attribute_time_to("byte_lm"):
        now[0] += 1
        with attribute_time_to("read"):
            now[0] += 10
        now[0] += 2
    assert clock.seconds == {"neural": 0, "byte_lm": 3, "read": 10}


def test_items_are_timed_one_by_one(now: list[float]) -> None:
    clock = Clock()

    def items() -> object:
        for n in range(3):
            now[0] += 1
            yield n

    for _ in clock.each("read", items()):  # type: ignore[arg-type]
        now[0] += 100
    assert clock.seconds == {"read": 3}
