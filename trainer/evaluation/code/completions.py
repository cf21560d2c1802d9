"""Samples: a model's continuations of the problems' prompts.

    prompt bytes ──generate──► bytes ──first stop string──► completion

The prompt is untouched. Only the 256 bytes and the two ends can be generated. Stop strings are sought in the new bytes
alone and cut off, and whatever is not UTF-8 becomes U+FFFD and is counted. A sample's draws depend on the seed, its
problem and its number, so neither batches nor other samples change it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from schemas.errors import SettingsError
from trainer.evaluation.code.problems import Problem, ProblemSet
from trainer.generation.generate import generate
from trainer.generation.settings import Sampling
from trainer.model.evabyte import EvaByte

STOPS = {
    "humaneval": (b"\nclass", b"\ndef", b"\n#", b"\n@", b"\nprint", b"\nif", b"\n```"),
    "recode": (b"\nclass", b"\ndef", b"\n#", b"\n@", b"\nprint", b"\nif", b"\n```"),
    "mbpp": (b"\nclass", b"\n@", b"\nprint", b"\nif", b"\n```", b"\nassert", b'\n"""'),
}
"""What no solution holds at the start of a line, but what models like to go on with. None cuts a canonical solution."""
STOP_STRING, END, LENGTH = "stop_string", "end", "length"
FIRST_SHARE = 4
"""Most samples stop early: a batch is first given a quarter of the bytes, and those that did not stop start again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleSettings:
    """How samples are drawn."""

    samples: int = 1
    """Samples of each prompt."""
    sampling: Sampling
    max_new_bytes: int = 2048
    seed: int = 0
    context: int = 16_384
    """Symbols that the model was trained to see; prompt and new bytes must fit."""
    truncate_left: bool = False
    """Let a prompt that is too long lose its beginning; the sentinel stays."""
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.samples < 1 or self.max_new_bytes < 1 or self.batch_size < 1:
            raise SettingsError(
                f"--samples {self.samples}, --max-new-bytes {self.max_new_bytes} and --batch-size {self.batch_size} "
                "must be 1 or more"
            )
        if self.samples > 1 and not self.sampling.temperature:
            raise SettingsError(
                f"{self.samples} samples at temperature 0 would all be the same; give --temperature or --samples 1"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One continuation to make."""

    prompt: bytes
    """The prompt's bytes, without their beginning where they are too long."""
    seed: int
    truncated_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """A continuation of a prompt, cut at its stop."""

    completion: str
    stop: str
    """`stop_string`, `end` (the model closed the text) or `length`."""
    new_bytes: int
    invalid_utf8: int
    """Number of new bytes that are not UTF-8."""


def plan(problems: ProblemSet, settings: SampleSettings) -> tuple[list[Request], list[int]]:
    """The distinct continuations to make, and for each sample, problem by problem, which of them is its own.

    At temperature 0 equal prompts share one: of ReCode's 14,760 prompts 11,190 differ.
    """
    requests: dict[Request, int] = {}
    owners = []
    for problem in problems.problems:
        for sample in range(settings.samples):
            request = _request(problem, sample, settings)
            owners.append(requests.setdefault(request, len(requests)))
    return list(requests), owners


def _request(problem: Problem, sample: int, settings: SampleSettings) -> Request:
    prompt = problem.prompt.encode()
    room = settings.context - settings.max_new_bytes - 2
    cut = max(0, len(prompt) - room)
    if cut and (not settings.truncate_left or room < 1):
        raise SettingsError(
            f"{' '.join(problem.key).strip()} has a prompt of {len(prompt):,} bytes; with {settings.max_new_bytes:,} "
            f"new ones and 2 sentinels it passes the context of {settings.context:,} symbols; give a smaller "
            "--max-new-bytes, or --truncate-left to cut off the beginning of such prompts"
        )
    seed = sample_seed(settings.seed, problem.key, sample) if settings.sampling.temperature else 0
    return Request(prompt=prompt[cut:], seed=seed, truncated_bytes=cut)


def sample_seed(seed: int, key: tuple[str, str], sample: int) -> int:
    """63 bits of a hash of all that names a sample, so that no other sample matters."""
    digest = hashlib.sha256(json.dumps([seed, *key, sample]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def complete(
    model: EvaByte, requests: Sequence[Request], settings: SampleSettings, *, stops: Sequence[bytes], ids: Sequence[int]
) -> Iterator[list[Completion]]:
    """Make the continuations batch by batch; `ids` come before each prompt."""
    for first in range(0, len(requests), settings.batch_size):
        yield _batch(model, requests[first : first + settings.batch_size], settings, stops, ids)


def _batch(
    model: EvaByte, requests: Sequence[Request], settings: SampleSettings, stops: Sequence[bytes], ids: Sequence[int]
) -> list[Completion]:
    most = settings.max_new_bytes
    done: dict[int, Completion] = {}
    for budget in sorted({-(-most // FIRST_SHARE), most}):
        open_ = [i for i in range(len(requests)) if i not in done]
        made = generate(
            model,
            [requests[i].prompt for i in open_],
            max_bytes=budget,
            sampling=settings.sampling,
            seeds=[requests[i].seed for i in open_],
            batch_size=settings.batch_size,
            opening=ids,
        )
        for i, generation in zip(open_, made, strict=True):
            completion = cut(generation.text, stops, ended=generation.ended)
            if completion.stop != LENGTH or budget == most:
                done[i] = completion
    return [done[i] for i in range(len(requests))]


def cut(text: bytes, stops: Sequence[bytes], *, ended: bool) -> Completion:
    """Cut new bytes before the first stop string and decode them."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    kept = text[: min(places)] if places else text
    decoded = kept.decode(errors="surrogateescape")
    return Completion(
        completion=kept.decode(errors="replace"),
        stop=STOP_STRING if places else END if ended else LENGTH,
        new_bytes=len(kept),
        invalid_utf8=sum("\udc80" <= character <= "\udcff" for character in decoded),
    )


def identity(model: EvaByte, problems: ProblemSet, settings: SampleSettings) -> dict[str, Any]:
    """All that the completions depend on, as JSON: samples that were begun go on only where this is equal."""
    prompts = json.dumps([[*problem.key, problem.prompt] for problem in problems.problems])
    return {
        "settings": asdict(settings),
        "task": problems.task,
        "prompts": hashlib.sha256(prompts.encode()).hexdigest()[:16],
        "weights": fingerprint(model),
    }


def fingerprint(model: EvaByte) -> str:
    """16 hex digits that change with the weights: a hash of every tensor's name, shape and sum."""
    with torch.inference_mode():
        parts = [
            [name, list(weight.shape), float(weight.double().sum()).hex()] for name, weight in model.named_parameters()
        ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
