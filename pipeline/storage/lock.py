"""One run per output directory at a time.

On a file system: a lock of the operating system, which dies with its process. A store has none, so there the lock is an
object that its owner writes anew every BEAT_SECONDS. Who finds one watches it for some beats; one that stays as it is
belongs to a run that was killed, and is taken over. No clocks of two machines are compared. Each writing is on
condition of what was there before, so of two runs that want the lock one gets it, and an owner that lost it knows.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.storage import files
from schemas import stores
from schemas.beside import beside
from schemas.errors import SettingsError, one_line
from schemas.stores import StoredObject

logger = logging.getLogger(__name__)

LOCK_NAME = ".lock"
BEAT_SECONDS = 10.0
WATCHED_BEATS = 3
"""An object that is not written within so many beats has lost its owner."""


@contextmanager
def hold(output: str) -> Iterator[None]:
    """Hold the lock of an output directory. SettingsError where another run holds it, or nothing can be written."""
    if files.is_local(output):
        with _hold_local(output):
            yield
    else:
        with _hold_remote(files.join(output, LOCK_NAME), output):
            yield


def _taken(output: str) -> SettingsError:
    return SettingsError(f"another run is writing to {output}; wait for it, or choose another --output")


def _unwritable(output: str, words: str | None) -> SettingsError:
    return SettingsError(f"cannot write to {output} ({words}); choose another --output")


@contextmanager
def _hold_local(output: str) -> Iterator[None]:
    try:
        file = open(os.path.join(output, LOCK_NAME), "ab")  # noqa: SIM115 - the next statement closes it
    except OSError as error:
        raise _unwritable(output, error.strerror) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise _taken(output) from None
        yield


@contextmanager
def _hold_remote(path: str, output: str) -> Iterator[None]:
    owner = f"{socket.gethostname()} {os.getpid()} {time.monotonic_ns()}"
    try:
        first = f"{owner} 0".encode()
        written = stores.write_instead(path, first, of=None)
        written = written or stores.write_instead(path, first, of=_dead(path, output))
    except SettingsError:
        raise
    except OSError as error:
        raise _unwritable(output, error.strerror or one_line(error)) from error
    # A request that was repeated because its answer got lost is refused by its own first attempt; and a store that
    # knows no conditions has let both of two runs write.
    if _owner(path) != owner:
        raise _taken(output)
    lock = _Lock(path, owner, written)
    try:
        with beside(lock.beat):
            yield
    finally:
        lock.release()


class _Lock:
    """The lock while it is held."""

    def __init__(self, path: str, owner: str, written: StoredObject | None) -> None:
        self._path, self._owner = path, owner
        self._written = written or stores.look(path)

    def beat(self, ended: threading.Event) -> None:
        """Write the lock anew until the run has ended or another one has taken it."""
        count = 0
        while not ended.wait(BEAT_SECONDS):
            count += 1
            try:
                written = stores.write_instead(self._path, f"{self._owner} {count}".encode(), of=self._written)
                if written is None and _owner(self._path) != self._owner:
                    logger.error("another run has taken the lock %s; stop one of the two", self._path)
                    return
                self._written = written or stores.look(self._path)
            except Exception as error:
                logger.warning("cannot write the lock %s: %s", self._path, one_line(error))

    def release(self) -> None:
        """Remove our lock. A failure is only logged: the run is over, and who comes next takes over what lies still."""
        try:
            if _owner(self._path) == self._owner:
                stores.remove([self._path])
        except Exception as error:
            logger.warning("cannot remove the lock %s: %s", self._path, one_line(error))


def _owner(path: str) -> str:
    try:
        return stores.read(path).decode(errors="replace").rpartition(" ")[0]
    except FileNotFoundError:
        return ""


def _dead(path: str, output: str) -> StoredObject | None:
    """The lock that a killed run has left, if there is one. SettingsError if somebody writes it while we look."""
    before = stores.look(path)
    if before is None:
        return None
    logger.info("%s is locked; looking for %g s whether its run is alive", output, WATCHED_BEATS * BEAT_SECONDS)
    limit = time.monotonic() + WATCHED_BEATS * BEAT_SECONDS
    while time.monotonic() < limit:
        time.sleep(BEAT_SECONDS / 4)
        now = stores.look(path)
        if now is None:
            return None
        if now != before:
            raise _taken(output)
    return before
