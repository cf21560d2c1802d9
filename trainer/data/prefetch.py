"""An iterator run ahead in a background thread, by a fixed number of items."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
POLL_SECONDS = 0.2


class Prefetcher(Generic[Item]):
    """Gives the items of `source` in their order. An exception of the source is raised where its item would come.

    At most `depth` items wait in the queue and one more is in the making. `close` ends the thread.
    """

    def __init__(self, source: Iterator[Item], depth: int) -> None:
        assert depth >= 1, depth
        self._source = source
        self._queue: queue.Queue[Item | BaseException] = queue.Queue(depth)
        self._stop = threading.Event()
        self._ended: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="loader", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if self._ended is not None:
            raise self._ended
        item = self._queue.get()
        if isinstance(item, BaseException):
            self._ended = item
            raise item
        return item

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._stop.set()
        self._thread.join()
        self._ended = StopIteration()

    def _run(self) -> None:
        try:
            for item in self._source:
                if not self._put(item):
                    return
            self._put(StopIteration())
        except BaseException as error:
            self._put(error)

    def _put(self, item: Item | BaseException) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False
