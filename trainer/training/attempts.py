"""One store for all attempts of a job: what the ranks of one attempt write there must not be read in another.

torchrun keeps its store while it starts ranks again, and groups write addresses under the same names each time. Nothing
that a rank is told names the attempt: the number of restarts is each node's own, for a node that meets others who start
again has not failed itself. So the ranks agree on a name:

    every rank   writes a new number of its own, and says yes to each offer that has it
    rank 0       offers a new name with the numbers that it finds, again whenever one of them changes
    the name     is that of the offer to which all said yes: one who is gone says nothing
"""

from __future__ import annotations

import json
import time
import uuid
from datetime import timedelta

from torch.distributed import PrefixStore, Store

from schemas.errors import TrainingError

PAUSE_SECONDS = 0.05
_OFFER = "attempt/offer"


def store_of_attempt(store: Store, rank: int, size: int, *, timeout: timedelta) -> Store:
    """The part of a store that the `size` ranks of this attempt share with no other attempt.

    TrainingError where some are not there in time.
    """
    own, deadline = uuid.uuid4().hex, time.monotonic() + timeout.total_seconds()
    store.set(_number(rank), own)
    offered: dict[int, str] = {}
    accepted = ""
    while time.monotonic() < deadline:
        if rank == 0:
            offered = _offer(store, size, offered)
        name, numbers = json.loads(store.get(_OFFER)) if store.check([_OFFER]) else ("", [])
        if own in numbers and name != accepted:
            accepted = name
            store.add(_ayes(accepted), 1)
        if accepted and store.add(_ayes(accepted), 0) == size:
            return PrefixStore(f"attempt {accepted}", store)
        time.sleep(PAUSE_SECONDS)
    raise TrainingError(
        f"rank {rank} waited {timeout} for the others of {size} ranks; look at the nodes' logs for those that did not "
        "start, and start torchrun again on all nodes"
    )


def _offer(store: Store, size: int, offered: dict[int, str]) -> dict[int, str]:
    """Offer a name for the numbers that are there, if they are complete and not those that were offered last."""
    if not store.check([_number(rank) for rank in range(size)]):
        return offered
    found = {rank: store.get(_number(rank)).decode() for rank in range(size)}
    if found != offered:
        store.set(_OFFER, json.dumps([uuid.uuid4().hex, list(found.values())]))
    return found


def _number(rank: int) -> str:
    return f"attempt/rank {rank}"


def _ayes(name: str) -> str:
    return f"attempt/{name}"
