"""What a remote store fails to do once is tried again, with growing waits, and then fails by name.

attempt ──► done
   └─ transient (connection, time-out, 408, 425, 429, 5xx) ── wait ──► attempt … ──► UnreachableError
   └─ anything else ──► raised as it is
"""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from schemas.errors import UnreachableError, one_line

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

TRANSIENT_STATUSES = frozenset({408, 425, 429, *range(500, 600)})
"""HTTP statuses that say nothing about the file."""
TRANSIENT_NAMES = frozenset(
    {
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "EndpointConnectionError",
        "HTTPClientError",
        "IncompleteReadError",
        "ReadTimeoutError",
        "RetryError",
        "ServerNotFoundError",
        "TransportError",
    }
)
"""Classes of the cloud clients' own for a connection that failed; their modules are optional here."""
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a store is waited for."""

    waits_s: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
    """Before the second attempt, the third, …"""
    longest_wait_s: float = 60.0
    """A server that asks for more (Retry-After) gets this."""
    timeout_s: float = 60.0
    """For a connection, and for each further part of an answer."""


PATIENCE = Patience()
"""Of this process."""


def patiently(attempt: Callable[[], Result], what: str) -> Result:
    """What `attempt` returns, tried again while it fails by what is transient. `what`: how a person knows the thing.

    UnreachableError after the last attempt. Other errors are raised at once.
    """
    begin = time.monotonic()
    waits = PATIENCE.waits_s
    for wait_s in waits:
        try:
            return attempt()
        except Exception as error:
            if isinstance(error, UnreachableError) or not is_transient(error):
                raise
            wait_s = min(max(wait_s, _asked_wait_s(error)), PATIENCE.longest_wait_s)
            logger.warning("%s: %s; trying again in %g s", what, one_line(error), wait_s)
        time.sleep(wait_s)
    try:
        return attempt()
    except Exception as error:
        if isinstance(error, UnreachableError) or not is_transient(error):
            raise
        raise UnreachableError(
            f"{what} failed {len(waits) + 1} times in {time.monotonic() - begin:.0f} s ({one_line(error)}); "
            "run the same command again when its server answers: finished units are kept"
        ) from error


def is_transient(error: BaseException) -> bool:
    """Whether an error, or one that it was made from, says nothing about the data and may not come again."""
    return isinstance(error, UnreachableError) or any(map(_is_transient, _causes(error)))


def _is_transient(error: BaseException) -> bool:
    status = _status(error)
    if status is not None:
        return status in TRANSIENT_STATUSES
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    return any(cls.__name__ in TRANSIENT_NAMES for cls in type(error).__mro__)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and what Beam keeps of single paths in it."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        details = getattr(one, "exception_details", None)
        inner = [one.__cause__, *(details.values() if isinstance(details, Mapping) else ())]
        waiting += [cause for cause in inner if isinstance(cause, BaseException)]


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error of some client carries."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        response = response.get("ResponseMetadata")
        response = response.get("HTTPStatusCode") if isinstance(response, Mapping) else None
    candidates = (
        getattr(error, "status", None),
        getattr(error, "status_code", None),
        getattr(error, "code", None),
        getattr(response, "status_code", response),
    )
    return next((int(value) for value in candidates if isinstance(value, int) and 100 <= value < 600), None)


def _asked_wait_s(error: BaseException) -> float:
    return float(getattr(error, "retry_after_s", 0.0))


def raise_if_transient(error: BaseException) -> None:
    """Raise again what says nothing about the data: a store that cannot be reached, a disk without room for a copy."""
    if is_transient(error) or (isinstance(error, OSError) and error.errno in NO_ROOM):
        raise error
