"""Bytes a second of the server with many clients at once, beside plain `generate` in the same process and run.

    python -m tests.bench.serving [MODEL]

MODEL: a run; where there is none, random weights of the size `micro`. Fifty prompts, 128 bytes each, sampled at 0.7:
`generate` one by one, in batches of 16, and the server with 16 rows and fifty clients of plain HTTP, whole answers and
streams. The texts must be equal.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.trainer.models import build_model
from tests.trainer.serving.servers import Server, served
from trainer.generation.generate import generate
from trainer.generation.settings import Sampling
from trainer.model.evabyte import EvaByte
from trainer.training.load_model import load_model
from trainer.training.sizes import sized_config

CLIENTS, BYTES = 50, 128
SAMPLING = Sampling(temperature=0.7)
PROMPTS = [f"def function_{number}(x, y):\n    ".encode() * (1 + number % 4) for number in range(CLIENTS)]


def main() -> None:
    """Print one line for each way."""
    path = sys.argv[1] if len(sys.argv) > 1 else "runs/demo"
    known = os.path.isdir(os.path.join(path, "checkpoints"))
    model = load_model(path)[0] if known else build_model(sized_config("micro", vocabulary=4416, raw_heads=1), seed=0)
    print(f"{path if known else 'random weights, micro'}: {CLIENTS} texts of at most {BYTES} bytes")
    rates = {}
    texts, rates["one by one"] = timed(lambda: plain(model, 1))
    for name, others in (("batches of 16", timed(lambda: plain(model, 16))), *served_ways(model)):
        rates[name] = others[1]
        assert others[0] == texts, f"{name}: other texts"
    size = sum(map(len, texts))
    for name, (seconds, cpu_seconds) in rates.items():
        ratio = rates["batches of 16"][1] / cpu_seconds
        print(
            f"  {name:24} {size / seconds:8,.0f} bytes/s, {size / cpu_seconds:8,.0f} bytes per CPU-second"
            f"   {ratio:.2f} of batches of 16"
        )


def timed(work: Callable[[], list[bytes]]) -> tuple[list[bytes], tuple[float, float]]:
    """The texts, and what they took: seconds, and CPU-seconds of this process."""
    begin, cpu = time.perf_counter(), time.process_time()
    texts = work()
    return texts, (time.perf_counter() - begin, time.process_time() - cpu)


def plain(model: EvaByte, batch_size: int) -> list[bytes]:
    """What `generate` makes of all prompts, each with its own seed."""
    results = generate(model, PROMPTS, max_bytes=BYTES, sampling=SAMPLING, batch_size=batch_size)
    return [result.text for result in results]


def served_ways(model: EvaByte) -> list[tuple[str, tuple[list[bytes], tuple[float, float]]]]:
    """The server, whole answers and streams; the clients' own work is in its CPU-seconds."""
    found = []
    with served(model, rows=16, max_prompt_bytes=256, max_bytes=BYTES) as server, ThreadPoolExecutor(CLIENTS) as pool:
        for stream in (False, True):
            name = f"server, {CLIENTS} clients, {'streams' if stream else 'whole'}"
            ways = [(server, number, stream) for number in range(CLIENTS)]
            found.append((name, timed(partial(_all, pool, ways))))
    return found


def _all(pool: ThreadPoolExecutor, ways: list[tuple[Server, int, bool]]) -> list[bytes]:
    return list(pool.map(ask, ways))


def ask(way: tuple[Server, int, bool]) -> bytes:
    """One client's text."""
    server, number, stream = way
    body = {"model": "small", "prompt": PROMPTS[number].decode(), "max_tokens": BYTES, "seed": number}
    body |= {"temperature": SAMPLING.temperature, "stream": stream, "return_token_ids": True}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    data = connection.getresponse().read()
    connection.close()
    lines = data.splitlines() if stream else [b"data: " + data]
    pieces = [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]
    return bytes(id for piece in pieces for id in piece["choices"][0]["token_ids"])


if __name__ == "__main__":
    main()
