"""A real server in a thread of this process, and what speaks to it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from schemas.vocabulary import BOS, RAW_OPEN
from trainer.model.evabyte import EvaByte
from trainer.serving.app import make_app
from trainer.serving.engine import Engine
from trainer.serving.server import bind
from trainer.serving.settings import ServeSettings


@dataclass
class Server:
    """What a test asks and looks at."""

    port: int
    engine: Engine

    def ask(
        self, body: Any, *, path: str = "/v1/completions", method: str = "POST", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the answer to a body, bytes as they are and anything else as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        values = json.loads(answer.read())
        connection.close()
        return answer.status, values

    def idle(self) -> bool:
        """Whether every row is free before long."""
        for _ in range(600):
            if not self.engine.in_flight:
                return True
            time.sleep(0.05)
        return False


@contextmanager
def served(model: EvaByte, **changes: Any) -> Iterator[Server]:
    """A server of a model on a free port; it ends with everything that it began."""
    settings = ServeSettings(**{"name": "small", "port": 0, "max_prompt_bytes": 200, "max_bytes": 200, **changes})
    capacity = settings.max_prompt_bytes + settings.max_bytes
    engine = Engine(model, rows=settings.rows, waiting=settings.waiting, capacity=capacity, opening=(BOS, RAW_OPEN))
    with bind(settings) as bound:
        server = uvicorn.Server(uvicorn.Config(make_app(engine, settings), log_level="error", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield Server(bound.getsockname()[1], engine)
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive() and not engine._thread.is_alive(), "nothing is left running"
