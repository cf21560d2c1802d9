"""How long a server asks to wait, in seconds or until a date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pipeline.storage.web import DAY_S, WebError, WebSource
from tests.pipeline.web_server import Fault, Site, serve


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("", 0),
        ("7", 7),
        ("9" * 400, DAY_S),
        ("-7", 0),
        ("soon", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", DAY_S),
        ("Wed, 99 Oct 2099 07:28:00 GMT", 0),
        (timedelta(seconds=90), 90),
    ],
)
def test_a_server_asks_to_wait(words: str | timedelta, seconds: float) -> None:
    if isinstance(words, timedelta):
        words = format_datetime(datetime.now(UTC) + words, usegmt=True)
    site = Site(files={}, fault=lambda number, path: Fault(status=503, retry_after=str(words)))
    with serve(site) as base, pytest.raises(WebError) as caught:
        WebSource(f"{base}/a").open_at(0)
    # Dates have whole seconds.
    assert caught.value.retry_after_s == pytest.approx(seconds, abs=2 if seconds == 90 else 0)
