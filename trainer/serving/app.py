"""The routes: /v1/completions, /v1/models, /health; every error is one JSON object.

A request becomes a job for each of its prompts and choices. While they are continued, what the client does is watched:
one that hangs up has its jobs cancelled, streamed or not.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from trainer.generation.settings import Sampling
from trainer.serving.engine import BusyError, Engine, Job, Reason
from trainer.serving.protocol import MOST_CHOICES, CompletionRequest, RequestError, choice, read_request, usage
from trainer.serving.settings import ServeSettings
from trainer.serving.stops import Characters, StopFinder

BODY_SECONDS = 30.0
"""Time that a client has for sending a request's body."""
Event = tuple[int, bytes, Reason | None]
"""Of one choice: its index, the next bytes, and with the last ones why they are the last."""


def make_app(engine: Engine, settings: ServeSettings) -> Starlette:
    """The application; it starts the engine and closes it."""
    service = _Service(engine, settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        engine.start()
        yield
        await asyncio.to_thread(engine.close)

    return Starlette(
        routes=[
            Route("/v1/completions", service.completions, methods=["POST"]),
            Route("/v1/models", service.models),
            Route("/health", service.health),
        ],
        exception_handlers={RequestError: _say, HTTPException: _say_http, ClientDisconnect: _say_nothing},
        lifespan=lifespan,
    )


async def _say(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return JSONResponse(error.to_json(), error.status)


async def _say_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path[:100]}: {error.detail}; there are POST /v1/completions, /v1/models"
    return JSONResponse(RequestError(error.status_code, message).to_json(), error.status_code, error.headers)


async def _say_nothing(_: Request, error: Exception) -> Response:
    return Response(status_code=499)


class _Service:
    """What the routes do."""

    def __init__(self, engine: Engine, settings: ServeSettings) -> None:
        self.engine, self.settings = engine, settings
        self._started, self._numbers = int(time.time()), itertools.count()

    async def models(self, _: Request) -> Response:
        """The one model that there is."""
        model = {"id": self.settings.name, "object": "model", "created": self._started, "owned_by": "local"}
        return JSONResponse({"object": "list", "data": [model]})

    async def health(self, _: Request) -> Response:
        """Whether requests are answered, and how many are."""
        status = 503 if self.engine.failed else 200
        return JSONResponse({"ok": status == 200, "in_flight": self.engine.in_flight}, status)

    async def completions(self, request: Request) -> Response:
        """Continue the prompts of a request."""
        asked = read_request(await _body(request, self.settings.max_body_bytes))
        self._check(asked)
        events: asyncio.Queue[Event] = asyncio.Queue()
        jobs = self._jobs(asked, events)
        try:
            self.engine.submit(jobs)
        except BusyError:
            if self.engine.failed:
                raise RequestError(503, "the model has failed; start the server again") from None
            raise RequestError(
                429, f"{self.settings.waiting} continuations wait already; ask again later", code="busy"
            ) from None
        answer = _Answer(self.engine, asked, jobs, events, f"cmpl-{next(self._numbers)}")
        if asked.stream:
            return _EventStream(answer)
        return await answer.whole(request)

    def _check(self, asked: CompletionRequest) -> None:
        """RequestError for what this server does not allow."""
        limits = self.settings
        if asked.model != limits.name:
            raise RequestError(
                404, f"there is no model {asked.model[:100]!r}, only {limits.name!r}", param="model", code="no_model"
            )
        longest = max(map(len, asked.prompt))
        if longest > limits.max_prompt_bytes:
            raise RequestError(
                400, f"a prompt has {longest} bytes, at most {limits.max_prompt_bytes} are allowed", param="prompt",
                code="too_long",
            )  # fmt: skip
        if (asked.max_tokens or 0) > limits.max_bytes:
            raise RequestError(
                400, f"max_tokens is {asked.max_tokens}, which are bytes; at most {limits.max_bytes} are allowed",
                param="max_tokens", code="too_long",
            )  # fmt: skip
        choices = len(asked.prompt) * (asked.n or 1)
        if choices > MOST_CHOICES:
            raise RequestError(400, f"prompts times n is {choices}, at most {MOST_CHOICES} are allowed", param="n")

    def _jobs(self, asked: CompletionRequest, events: asyncio.Queue[Event]) -> list[Job]:
        """A job for each prompt and choice; choice i of every prompt has the seed + i."""
        loop = asyncio.get_running_loop()
        temperature = 1.0 if asked.temperature is None else asked.temperature
        sampling = Sampling(temperature=temperature, top_p=1.0 if asked.top_p is None else asked.top_p)
        indices: dict[int, int] = {}

        def tell(job: Job, new: bytes, reason: Reason | None) -> None:
            loop.call_soon_threadsafe(events.put_nowait, (indices[id(job)], new, reason))

        jobs = [
            Job(
                prompt=prompt,
                max_bytes=16 if asked.max_tokens is None else asked.max_tokens,
                sampling=sampling,
                seed=(asked.seed or 0) + number,
                deadline=time.monotonic() + self.settings.request_seconds,
                on_bytes=tell,
                stops=StopFinder(asked.stop),
            )
            for prompt in asked.prompt
            for number in range(asked.n or 1)
        ]
        indices.update((id(job), index) for index, job in enumerate(jobs))
        return jobs


class _Answer:
    """What the jobs of one request come to."""

    def __init__(
        self, engine: Engine, asked: CompletionRequest, jobs: list[Job], events: asyncio.Queue[Event], name: str
    ) -> None:
        self.engine, self.asked, self.jobs, self.events = engine, asked, jobs, events
        self._base = {"id": name, "object": "text_completion", "created": int(time.time()), "model": asked.model}
        self._new_bytes = 0

    async def whole(self, request: Request) -> Response:
        """All continuations in one object."""
        texts = [b""] * len(self.jobs)
        reasons: list[Reason | None] = [None] * len(self.jobs)
        async with aclosing(self.until_done(request.receive)) as events:
            async for index, new, reason in events:
                texts[index] += new
                reasons[index] = reason
        ids = texts if self.asked.return_token_ids else [None] * len(texts)
        choices = [
            choice(index, text.decode("utf-8", "replace"), reasons[index], ids[index])
            for index, text in enumerate(texts)
        ]
        return JSONResponse({**self._base, "choices": choices, "usage": self._usage()})

    async def pieces(self, receive: Receive) -> AsyncGenerator[dict[str, Any], None]:
        """The continuations as they grow, whole characters at a time."""
        characters = [Characters() for _ in self.jobs]
        async with aclosing(self.until_done(receive)) as events:
            async for index, new, reason in events:
                text = characters[index].feed(new, last=reason is not None)
                if text or reason or self.asked.return_token_ids:
                    ids = new if self.asked.return_token_ids else None
                    yield {**self._base, "choices": [choice(index, text, reason, ids)]}
        if self.asked.stream_options and self.asked.stream_options.include_usage:
            yield {**self._base, "choices": [], "usage": self._usage()}

    async def until_done(self, receive: Receive) -> AsyncGenerator[Event, None]:
        """The events of all jobs; however this ends, none of them goes on.

        ClientDisconnect where the client hangs up, RequestError for jobs that are given up.
        """
        left = len(self.jobs)
        gone = asyncio.ensure_future(_hung_up(receive))
        try:
            while left:
                event = asyncio.ensure_future(self.events.get())
                await asyncio.wait((event, gone), return_when=asyncio.FIRST_COMPLETED)
                if not event.done():
                    event.cancel()
                    raise ClientDisconnect
                index, new, reason = event.result()
                if reason == "timeout":
                    raise RequestError(504, "the request took longer than this server allows", code="timeout")
                if reason == "error":
                    raise RequestError(500, "the server's model failed", code="failed")
                self._new_bytes += len(new)
                left -= reason is not None
                yield index, new, reason
        finally:
            gone.cancel()
            self.engine.cancel(self.jobs)

    def _usage(self) -> dict[str, int]:
        return usage(sum(map(len, self.asked.prompt)), self._new_bytes)


class _EventStream(Response):
    """The pieces of an answer as server-sent events; an error is the last of them."""

    def __init__(self, answer: _Answer) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; nothing more where the client hangs up."""

        async def say(what: str, *, more: bool = True) -> None:
            message: Message = {"type": "http.response.body", "body": f"data: {what}\n\n".encode(), "more_body": more}
            await send(message)

        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with aclosing(self.answer.pieces(receive)) as pieces:
                async for piece in pieces:
                    await say(json.dumps(piece, ensure_ascii=False))
            await say("[DONE]", more=False)
        except RequestError as error:
            await say(json.dumps(error.to_json()), more=False)
        except (ClientDisconnect, OSError):
            pass
        finally:
            self.answer.engine.cancel(self.answer.jobs)


async def _hung_up(receive: Receive) -> None:
    """Return once the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request, limit: int) -> bytes:
    """The body of a request; RequestError where it is too large, too slow, or said not to be JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # A page in a browser may send other types to this machine without being asked.
        raise RequestError(415, f"the content type is {kind[:100]!r}; send application/json", code="not_json")
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > limit:
                    raise RequestError(413, f"the body has more than {limit} bytes", code="too_large")
    except TimeoutError:
        raise RequestError(408, f"the body did not come within {BODY_SECONDS:g} seconds", code="timeout") from None
    return body
