"""Progress: what a line of a log says, and that lines come while nothing moves."""

from __future__ import annotations

import logging
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import progress
from schemas.progress import Progress, duration, progress_line


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            progress_line(120, 370, 120, 20.0, "steps", "2.7 bits"),
            "120 of 370 steps (32 %), 6.0 steps/s, 42 s left; 2.7 bits",
        ),
        (progress_line(2, 20_000, 2, 800.0, "steps"), "2 of 20,000 steps (0 %), 7 min each, 93 days left"),
        (progress_line(12.4e6, 33.1e6, 10e6, 2.0, "B"), "12.4 of 33.1 MB (37 %), 5.0 MB/s, 4 s left"),
        (progress_line(12.4e6, None, 12.4e6, 2.0, "B"), "12.4 MB, 6.2 MB/s"),
        (progress_line(0, None, 0, 61.0, ""), "61 s so far"),
        (progress_line(0, 370, 0, 30.0, "steps"), "0 of 370 steps (0 %), 30 s so far"),
    ],
)
def test_a_line_says_how_far_how_fast_and_how_long(line: str, expected: str) -> None:
    assert line == expected


@given(
    st.just(0.0) | st.floats(1e-3, 1e9),
    st.floats(1e-3, 1e9),
    st.floats(1e-3, 1e6),
    st.sampled_from(["B", "steps", ""]),
)
def test_the_time_left_is_what_is_left_over_the_rate(done: float, left: float, seconds: float, unit: str) -> None:
    line = progress_line(done, done + left, done, seconds, unit)
    if done > 0:
        assert line.endswith(f"{duration(left / (done / seconds))} left")
    else:
        assert line.endswith("so far")


@given(st.floats(0, 1e12), st.floats(0, 1e12))
def test_durations_keep_their_order(one: float, two: float) -> None:
    units = {"s": 1, "min": 60, "h": 3600, "days": 86400}

    def seconds(text: str) -> float:
        number, unit = text.replace(",", "").split(" ")
        return float(number) * units[unit]

    low, high = sorted((one, two))
    assert seconds(duration(low)) <= seconds(duration(high))
    assert seconds(duration(low)) == pytest.approx(low, rel=0.3, abs=0.5)


def test_lines_come_while_nothing_moves(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE_SECONDS", 0.02)
    caplog.set_level(logging.INFO)
    with Progress("codebook"):
        time.sleep(0.3)
    assert len(caplog.messages) >= 3
    assert all(re.fullmatch(r"codebook: 0 s so far", message) for message in caplog.messages)


def test_work_that_was_done_before_does_not_count_as_speed(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE_SECONDS", 0.2)
    caplog.set_level(logging.INFO)
    with Progress("byte LM", total=1_000_000, unit="steps") as shown:
        shown.to(999_000)
        shown.to(999_010)
        time.sleep(0.5)
    rate = float(re.search(r"([\d.]+) steps/s", caplog.messages[0]).group(1))  # type: ignore[union-attr]
    assert rate <= 60, "10 steps in 0.2 s or a little less, not a million"


def test_short_work_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Progress("sample", total=3) as shown:
        shown.to(3)
    with Progress("sample", total=3, show=False) as shown:
        shown.to(3)
    assert caplog.messages == []
