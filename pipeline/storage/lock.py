"""One run per output directory at a time.

On a file system: a lock of the operating system, which dies with its process. An object store has none, so there the
lock is an object that its owner writes anew every BEAT_SECONDS. Who finds one watches it for some beats; one that stays
as it is belongs to a run that was killed, and is taken over. No clocks of two machines are compared.
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
from pipeline.storage.open import one_line
from schemas.errors import SettingsError

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
        _refuse_living(path, output)
        files.write_bytes(path, f"{owner} 0".encode())
        ours = _owner(path) == owner
    except SettingsError:
        raise
    except Exception as error:
        # Every cloud's client has exceptions of its own.
        raise _unwritable(output, one_line(error)) from error
    if not ours:
        raise _taken(output)
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(path, owner, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        _release(path, owner)


def _release(path: str, owner: str) -> None:
    """Remove our lock. A failure is only logged: the run is over, and whoever comes next takes over what lies still."""
    try:
        if _owner(path) == owner:
            files.remove(path)
    except Exception as error:
        logger.warning("cannot remove the lock %s: %s", path, one_line(error))


def _read(path: str) -> bytes | None:
    """What the lock says; None where there is none."""
    try:
        return files.read_bytes(path) if files.exists(path) else None
    except FileNotFoundError:
        return None


def _owner(path: str) -> str:
    return (_read(path) or b"").decode(errors="replace").rpartition(" ")[0]


def _refuse_living(path: str, output: str) -> None:
    """SettingsError if somebody writes the lock while we look."""
    before = _read(path)
    if before is None:
        return
    logger.info("%s is locked; looking for %g s whether its run is alive", output, WATCHED_BEATS * BEAT_SECONDS)
    limit = time.monotonic() + WATCHED_BEATS * BEAT_SECONDS
    while time.monotonic() < limit:
        time.sleep(BEAT_SECONDS / 4)
        now = _read(path)
        if now is None:
            return
        if now != before:
            raise _taken(output)


def _beat(path: str, owner: str, stop: threading.Event) -> None:
    count = 0
    while not stop.wait(BEAT_SECONDS):
        count += 1
        try:
            if _owner(path) != owner:
                logger.error("another run has taken the lock %s; stop one of the two", path)
                return
            files.write_bytes(path, f"{owner} {count}".encode())
        except Exception as error:
            logger.warning("cannot write the lock %s: %s", path, one_line(error))
