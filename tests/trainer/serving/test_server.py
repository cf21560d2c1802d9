"""A real server and real clients: answers are those of `generate`, nobody is lost, and every mistake is one error."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
import torch

from schemas.vocabulary import EOS, RAW_CLOSE
from tests.trainer.models import model_of_one_sentence, small_model
from tests.trainer.serving.servers import Server, served
from trainer.generation.generate import generate
from trainer.generation.settings import Sampling
from trainer.model.evabyte import EvaByte

SENTENCE = "the cat sat on the mat"


@pytest.fixture(scope="module")
def model() -> EvaByte:
    return model_of_one_sentence()


@pytest.fixture(scope="module")
def endless() -> EvaByte:
    """Never closes a text that it continues greedily: the logits of the ends are 0."""
    model = small_model()
    with torch.no_grad():
        model.heads.symbol.weight[[EOS, RAW_CLOSE]] = 0
    assert not generate(model, [b"x"], max_bytes=500)[0].ended
    return model


@pytest.fixture(scope="module")
def server(model: EvaByte) -> Iterator[Server]:
    with served(model, rows=8) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0, timeout=120
    ) as found:
        yield found


def wanted(model: EvaByte, prompt: bytes, *, seed: int = 0, max_bytes: int = 24, temperature: float = 1.0) -> bytes:
    """What plain generation says."""
    sampling = Sampling(temperature=temperature)
    (result,) = generate(model, [prompt], max_bytes=max_bytes, sampling=sampling, seeds=[seed])
    return result.text


def test_openais_client_gets_what_generate_says(client: openai.OpenAI, model: EvaByte) -> None:
    assert [each.id for each in client.models.list()] == ["small"]
    answer = client.completions.create(model="small", prompt=SENTENCE, max_tokens=24, temperature=0)
    text = wanted(model, SENTENCE.encode(), temperature=0)
    assert answer.choices[0].text == text.decode("utf-8", "replace")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(SENTENCE), len(text))
    assert answer.choices[0].finish_reason == ("length" if len(text) == 24 else "stop")


def test_choices_and_prompts_have_seeds_of_their_own(client: openai.OpenAI, model: EvaByte) -> None:
    answer = client.completions.create(model="small", prompt=["the ", "dog"], n=2, seed=5, max_tokens=24)
    texts = [wanted(model, prompt, seed=seed) for prompt in (b"the ", b"dog") for seed in (5, 6)]
    assert [each.text for each in answer.choices] == [text.decode("utf-8", "replace") for text in texts]
    assert [each.index for each in answer.choices] == [0, 1, 2, 3]


def test_a_stream_is_the_answer_in_whole_characters(client: openai.OpenAI, model: EvaByte) -> None:
    """A hot sample is mostly no UTF-8 at all, and its pieces join to what the whole decodes to."""
    asked: dict[str, Any] = {"model": "small", "prompt": "the", "max_tokens": 60, "temperature": 3, "seed": 2}
    pieces = list(
        client.completions.create(
            **asked, stream=True, stream_options={"include_usage": True}, extra_body={"return_token_ids": True}
        )
    )
    text = wanted(model, b"the", seed=2, max_bytes=60, temperature=3)
    assert "".join(piece.choices[0].text for piece in pieces if piece.choices) == text.decode("utf-8", "replace")
    ids = [id for piece in pieces if piece.choices for id in piece.choices[0].token_ids]  # type: ignore[attr-defined]
    assert bytes(ids) == text
    assert b"\xff" in text or any(byte >= 128 for byte in text), "the sample has bytes that are no ASCII"
    assert len(pieces) > 5 and pieces[-1].usage is not None and pieces[-1].usage.completion_tokens == len(text)


def test_a_prompt_of_any_bytes_is_a_list_of_them(client: openai.OpenAI, model: EvaByte) -> None:
    prompt = b"caf\xe9 the"
    answer = client.completions.create(
        model="small", prompt=list(prompt), max_tokens=16, seed=3, extra_body={"return_token_ids": True}
    )
    assert bytes(answer.choices[0].token_ids) == wanted(model, prompt, seed=3, max_bytes=16)  # type: ignore[attr-defined]


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_ends_the_text_before_it(client: openai.OpenAI, model: EvaByte, stream: bool) -> None:
    text = wanted(model, SENTENCE.encode(), max_bytes=100, temperature=0).decode("utf-8", "replace")
    stop = text[7:10]
    asked: dict[str, Any] = {"model": "small", "prompt": SENTENCE, "max_tokens": 100, "temperature": 0}
    answer = client.completions.create(**asked, stop=["\0", stop], stream=stream)
    choices = [piece.choices[0] for piece in answer] if stream else [answer.choices[0]]
    assert "".join(each.text for each in choices) == text[: text.index(stop)]
    assert choices[-1].finish_reason == "stop"


def test_fifty_clients_at_once_get_what_each_asked_for(server: Server, model: EvaByte) -> None:
    """Eight rows, prompts of many lengths, streamed and not, greedy and sampled."""

    def ask(number: int) -> bytes:
        with openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="x", max_retries=0) as own:
            asked: dict[str, Any] = {"model": "small", "prompt": SENTENCE * (number % 5) + "the ", "seed": number}
            asked |= {"max_tokens": 10 + number, "temperature": number % 3 / 2}
            answer = own.completions.create(**asked, stream=number % 2 == 1, extra_body={"return_token_ids": True})
            choices = [piece.choices[0] for piece in answer] if number % 2 else [answer.choices[0]]
            return bytes(id for each in choices for id in each.token_ids)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(50)))
    for number, answer in enumerate(answers):
        prompt = (SENTENCE * (number % 5) + "the ").encode()
        assert answer == wanted(model, prompt, seed=number, max_bytes=10 + number, temperature=number % 3 / 2), number
    assert server.idle()


GOOD = {"model": "small", "prompt": "the", "max_tokens": 4}


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "the body is not JSON"),
        (b"[" * 100_000, 400, "the body is not JSON"),
        (b"[1]", 400, "the body is no JSON object; send one with model and prompt"),
        (b"x" * 1001, 413, "the body has more than 1000 bytes"),
        ({}, 400, "model: Field required"),
        ({**GOOD, "model": "gpt-9"}, 404, "there is no model 'gpt-9', only 'small'"),
        ({**GOOD, "prompt": "x" * 201}, 400, "a prompt has 201 bytes, at most 200 are allowed"),
        ({**GOOD, "prompt": 5}, 400, "prompt: a prompt is text, a list of integers 0 to 255"),
        ({**GOOD, "prompt": [256]}, 400, "prompt: a prompt is text, a list of integers 0 to 255"),
        ({**GOOD, "prompt": []}, 400, "prompt: a prompt is text"),
        ({**GOOD, "prompt": "\ud800"}, 400, "prompt: the text holds half of a surrogate pair"),
        ({**GOOD, "max_tokens": 201}, 400, "max_tokens is 201, which are bytes; at most 200 are allowed"),
        ({**GOOD, "max_tokens": -1}, 400, "max_tokens: Input should be greater than or equal to 0"),
        ({**GOOD, "max_tokens": "4"}, 400, "max_tokens: Input should be a valid integer"),
        ({**GOOD, "temperature": float("nan")}, 400, "temperature: Input should be "),
        ({**GOOD, "n": 65}, 400, "prompts times n is 65, at most 64 are allowed"),
        ({**GOOD, "stop": [""]}, 400, "stop: a stop is text of at least one character"),
        ({**GOOD, "seed": -1}, 400, "seed: Input should be greater"),
        ({**GOOD, "logprobs": 3}, 400, "logprobs: Input should be None"),
        ({**GOOD, "echo": True}, 400, "echo: Input should be False"),
        ({**GOOD, "colour": "red"}, 400, "colour: it is not known here"),
    ],
)
def test_a_mistake_is_one_error(model: EvaByte, server: Server, body: Any, status: int, message: str) -> None:
    if isinstance(body, bytes) and len(body) in (1001, 100_000):
        with served(model, rows=1, max_body_bytes=1000 if len(body) == 1001 else 1 << 20) as other:
            answer = other.ask(body)
    else:
        answer = server.ask(body)
    assert answer[0] == status, answer
    assert answer[1]["error"]["message"].startswith(message)
    assert set(answer[1]) == {"error"} and "\n" not in answer[1]["error"]["message"]


def test_other_types_paths_and_methods_are_named(server: Server) -> None:
    status, answer = server.ask(GOOD, **{"Content-Type": "text/plain"})
    assert (status, answer["error"]["code"]) == (415, "not_json")
    assert server.ask(b"", path="/v1/chat/completions")[0] == 404
    status, answer = server.ask(b"", method="GET")
    assert status == 405 and "POST /v1/completions" in answer["error"]["message"]
    assert server.ask(b"", path="/health", method="GET") == (200, {"ok": True, "in_flight": 0})


def test_openais_client_raises_its_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="there is no model 'other'"):
        client.completions.create(model="other", prompt="x")
    with pytest.raises(openai.BadRequestError, match="which are bytes"):
        client.completions.create(model="small", prompt="x", max_tokens=10**6)


def post(server: Server, body: dict[str, Any]) -> socket.socket:
    """A connection that has sent a request and read nothing."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    data = json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    connection.sendall(head.encode() + b"\r\n\r\n" + data)
    return connection


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_frees_its_rows(endless: EvaByte, stream: bool) -> None:
    with served(endless, rows=2, waiting=50, max_bytes=100_000, max_prompt_bytes=10) as server:
        body = {"model": "small", "prompt": "x", "max_tokens": 100_000, "n": 8, "temperature": 0, "stream": stream}
        connection = post(server, body)
        if stream:
            assert connection.recv(10)
        while server.engine.in_flight < 8:
            time.sleep(0.01)
        connection.close()
        begin = time.monotonic()
        assert server.idle() and time.monotonic() - begin < 20, "long before 100,000 bytes are made"
        assert server.ask({**GOOD, "seed": 4})[1]["choices"][0]["text"] == wanted(
            endless, b"the", seed=4, max_bytes=4
        ).decode("utf-8", "replace")


def test_too_many_wait_and_too_long_takes_no_one_else_down(endless: EvaByte) -> None:
    with served(endless, rows=1, waiting=2, max_bytes=100_000, max_prompt_bytes=10, request_seconds=2) as server:
        body = {"model": "small", "prompt": "x", "max_tokens": 100_000, "temperature": 0}
        with ThreadPoolExecutor(1) as pool:
            long = pool.submit(server.ask, body)
            while not server.engine.in_flight:
                pass
            status, answer = server.ask({**GOOD, "n": 4})
            assert (status, answer["error"]["code"]) == (429, "busy")
            status, answer = long.result()
        assert (status, answer["error"]["code"]) == (504, "timeout")
        assert server.ask(GOOD)[0] == 200
