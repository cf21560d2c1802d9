"""The OpenAI completions form, with bytes as tokens: what a request may say, and what an answer looks like.

    {"model": "demo", "prompt": "def fib(n):", "max_tokens": 64, "temperature": 0.5, "seed": 1, "stop": ["\\n\\n"]}

`max_tokens`, `usage` and lists of token ids count bytes. A prompt is text, or the bytes themselves as integers 0 to
255, which need not be UTF-8; or a list of either. In an answer, bytes that are no UTF-8 are U+FFFD in `text`;
`"return_token_ids": true` adds all of them as integers. Whatever would change the answer and is not done here is
refused, never ignored.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

MOST_CHOICES = 64
"""Prompts times `n` of one request, at most."""
_PROMPT = "a prompt is text, a list of integers 0 to 255, which are its bytes, or a list of one kind of these"


class RequestError(Exception):
    """A request that is answered with an error, in OpenAI's form."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code

    def to_json(self) -> dict[str, Any]:
        """The body of the answer."""
        kind = "invalid_request_error" if self.status < 500 and self.status != 429 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


class StreamOptions(BaseModel):
    """How an answer is streamed."""

    model_config = ConfigDict(strict=True, extra="forbid")

    include_usage: bool = False
    """One more event, with the usage."""


class CompletionRequest(BaseModel):
    """A request that is understood; ValidationError for any other."""

    model_config = ConfigDict(strict=True, extra="forbid")

    model: str
    prompt: list[bytes]
    max_tokens: int | None = Field(default=16, ge=0)
    temperature: float | None = Field(default=1.0, ge=0, le=1000)
    top_p: float | None = Field(default=1.0, gt=0, le=1)
    n: int | None = Field(default=1, ge=1)
    seed: int | None = Field(default=0, ge=0, lt=2**63)
    stop: list[bytes] = Field(default=[], max_length=16)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    return_token_ids: bool | None = False
    user: str | None = None
    best_of: Literal[1] | None = None
    echo: Literal[False] | None = None
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None
    logit_bias: None = None
    logprobs: None = None
    suffix: None = None

    @field_validator("prompt", mode="before")
    @classmethod
    def _prompts(cls, value: Any) -> list[bytes]:
        if isinstance(value, str) or (isinstance(value, list) and value and all(type(each) is int for each in value)):
            value = [value]
        if not isinstance(value, list) or not value:
            raise ValueError(_PROMPT)
        return [_bytes_of(each) for each in value]

    @field_validator("stop", mode="before")
    @classmethod
    def _stops(cls, value: Any) -> list[bytes]:
        values = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(each, str) and each for each in values):
            raise ValueError("a stop is text of at least one character, or a list of such texts")
        return [_encoded(each) for each in values]


def _bytes_of(prompt: Any) -> bytes:
    if isinstance(prompt, str):
        return _encoded(prompt)
    if isinstance(prompt, list) and all(type(each) is int and 0 <= each <= 255 for each in prompt):
        return bytes(prompt)
    raise ValueError(_PROMPT)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text holds half of a surrogate pair; give its bytes as integers instead") from None


def read_request(body: bytes) -> CompletionRequest:
    """The request in a body; RequestError, status 400, where there is none."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON ({str(error)[:100]})", code="not_json") from None
    if not isinstance(values, dict):
        raise RequestError(400, "the body is no JSON object; send one with model and prompt", code="not_json")
    try:
        return CompletionRequest.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        message = "it is not known here" if first["type"] == "extra_forbidden" else message
        raise RequestError(400, f"{name[:100]}: {message}", param=name[:100], code="invalid_value") from None


def choice(index: int, text: str, reason: str | None, token_ids: bytes | None) -> dict[str, Any]:
    """One continuation, or the next piece of one."""
    values: dict[str, Any] = {"index": index, "text": text, "logprobs": None, "finish_reason": reason}
    return values if token_ids is None else {**values, "token_ids": list(token_ids)}


def usage(prompt_bytes: int, new_bytes: int) -> dict[str, int]:
    """What a request has used, in bytes."""
    return {
        "prompt_tokens": prompt_bytes,
        "completion_tokens": new_bytes,
        "total_tokens": prompt_bytes + new_bytes,
    }
