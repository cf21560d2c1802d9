"""A thread beside a body: it works while the body runs and is over when the body is, however that ends."""

from __future__ import annotations

import threading

import pytest

from schemas.beside import beside


@pytest.mark.parametrize("error", [None, KeyError, KeyboardInterrupt])
def test_it_works_while_the_body_runs_and_has_returned_after_it(error: type[BaseException] | None) -> None:
    working, over = threading.Event(), threading.Event()

    def work(ended: threading.Event) -> None:
        working.set()
        ended.wait()
        over.set()

    def body() -> None:
        with beside(work):
            assert working.wait(10) and not over.is_set()
            if error:
                raise error

    if error:
        with pytest.raises(error):
            body()
    else:
        body()
    assert over.is_set()


def test_work_that_ends_early_leaves_the_body_alone() -> None:
    with beside(lambda ended: None):
        pass
