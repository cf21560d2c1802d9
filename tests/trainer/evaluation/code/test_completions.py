"""Samples: prompts untouched, stops on bytes, honest about bytes that are no text, and independent of batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SettingsError
from schemas.vocabulary import BOS, RAW_OPEN
from tests.trainer.evaluation.code.files import HUMANEVAL, REAL, needs_real, write_files
from tests.trainer.evaluation.trained import knows_one
from tests.trainer.models import small_model
from trainer.evaluation.code.completions import (
    STOPS,
    Completion,
    SampleSettings,
    complete,
    cut,
    identity,
    plan,
    sample_seed,
)
from trainer.evaluation.code.problems import ProblemSet, load_problems
from trainer.generation.generate import generate
from trainer.generation.opening import opening
from trainer.generation.settings import Sampling

GREEDY = SampleSettings(sampling=Sampling(), max_new_bytes=24, context=2048)
SAMPLED = replace(GREEDY, samples=3, sampling=Sampling(temperature=0.9, top_p=0.95), seed=5)
IDS = (BOS, RAW_OPEN)


@pytest.fixture
def problems(tmp_path: Path) -> ProblemSet:
    """Eight prompts of two problems, five of them different."""
    whole = load_problems(str(write_files(tmp_path / "data")), "recode")
    return replace(whole, problems=(*whole.problems[:4], *whole.problems[5:7], *whole.problems[10:]))


def completions(problems: ProblemSet, settings: SampleSettings, stops: tuple[bytes, ...] = ()) -> list[Completion]:
    """Of every sample."""
    requests, owners = plan(problems, settings)
    found = [one for batch in complete(small_model(), requests, settings, stops=stops, ids=IDS) for one in batch]
    return [found[owner] for owner in owners]


@pytest.mark.parametrize("settings", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_the_batch_size_changes_nothing(problems: ProblemSet, settings: SampleSettings) -> None:
    stops = (b"e", b"\n")
    whole = completions(problems, settings, stops)
    assert len(whole) == settings.samples * len(problems.problems)
    for batch_size in (1, 5):
        assert completions(problems, replace(settings, batch_size=batch_size), stops) == whole


def test_other_problems_and_samples_change_nothing(problems: ProblemSet) -> None:
    whole = completions(problems, SAMPLED)
    few = replace(problems, problems=problems.problems[3:5])
    assert completions(few, SAMPLED) == whole[9:15]
    assert completions(few, replace(SAMPLED, samples=2)) == [*whole[9:11], *whole[12:14]]
    assert completions(few, replace(SAMPLED, seed=6)) != whole[9:15]


def test_all_samples_have_seeds_of_their_own() -> None:
    keys = [("HumanEval/1", ""), ("HumanEval/11", ""), ("HumanEval/1", "1"), ("HumanEval/1", "format/x/1")]
    seeds = {sample_seed(seed, key, sample) for seed in (0, 1, 11) for key in keys for sample in range(12)}
    assert len(seeds) == 3 * len(keys) * 12
    assert all(0 <= seed < 1 << 63 for seed in seeds)
    assert sample_seed(0, ("HumanEval/0", ""), 0) == 2416758141921555134


def test_equal_prompts_are_continued_once_when_greedy(problems: ProblemSet) -> None:
    requests, owners = plan(problems, GREEDY)
    prompts = [problem.prompt.encode() for problem in problems.problems]
    assert [requests[owner].prompt for owner in owners] == prompts
    assert len(requests) == len(set(prompts)) < len(prompts)
    assert len(plan(problems, SAMPLED)[0]) == 3 * len(prompts)


def test_a_first_short_budget_changes_nothing(problems: ProblemSet) -> None:
    """Samples are what one call of `generate` with all the bytes gives, cut at its stop."""
    stops = (b"a", b"tt")
    for settings in (GREEDY, SAMPLED):
        requests, _ = plan(problems, settings)
        made = generate(
            small_model(),
            [request.prompt for request in requests],
            max_bytes=24,
            sampling=settings.sampling,
            seeds=[request.seed for request in requests],
        )
        wanted = [cut(one.text, stops, ended=one.ended) for one in made]
        batches = complete(small_model(), requests, settings, stops=stops, ids=IDS)
        assert [one for batch in batches for one in batch] == wanted
        assert len({one.stop for one in wanted}) > 1


def test_a_model_that_knows_a_solution_writes_it_and_ends(problems: ProblemSet) -> None:
    (found,) = next(complete(knows_one(), plan(problems, GREEDY)[0][:1], GREEDY, stops=STOPS["recode"], ids=IDS))
    solution = HUMANEVAL[0]["canonical_solution"]
    assert found == Completion(completion=solution, stop="end", new_bytes=len(solution), invalid_utf8=0)


@given(st.binary(max_size=30), st.lists(st.binary(min_size=1, max_size=3), max_size=4), st.booleans())
def test_the_cut_is_before_the_first_stop(text: bytes, stops: list[bytes], ended: bool) -> None:
    ends = [end for end in range(len(text)) if any(text.startswith(stop, end) for stop in stops)]
    found = cut(text, stops, ended=ended)
    kept = text[: ends[0]] if ends else text
    assert (found.new_bytes, found.completion) == (len(kept), kept.decode(errors="replace"))
    assert found.stop == ("stop_string" if ends else "end" if ended else "length")


@pytest.mark.parametrize(
    ("text", "invalid"),
    [(b"", 0), (b"abc", 0), ("größer\n".encode(), 0), ("\ufffd".encode(), 0), (b"\xff", 1), (b"a\xc3", 1),
     (b"\xe2\x82", 2), (b"\xed\xa0\x80", 3), ("é".encode()[:1] + b"x\x80", 2)],
)  # fmt: skip
def test_bytes_that_are_no_text_are_counted(text: bytes, invalid: int) -> None:
    found = cut(text, (), ended=False)
    assert found.invalid_utf8 == invalid
    assert ("\ufffd" in found.completion) == (invalid > 0 or text == "\ufffd".encode())
    found.completion.encode()


@needs_real
@pytest.mark.parametrize("task", ["humaneval", "mbpp"])
def test_no_stop_cuts_a_canonical_solution(task: str) -> None:
    for problem in load_problems(str(REAL), task).problems:
        text = problem.canonical.encode()
        assert cut(text, STOPS[task], ended=True).new_bytes == len(text), problem.task_id


def test_a_prompt_must_fit_its_context(problems: ProblemSet) -> None:
    prompt = problems.problems[0].prompt.encode()
    exact = replace(GREEDY, context=len(prompt) + 24 + 2)
    first = replace(problems, problems=problems.problems[:1])
    assert plan(first, exact)[0][0].prompt == prompt
    with pytest.raises(SettingsError, match="HumanEval/0 nominal_full has a prompt of 23 bytes; .*--truncate-left"):
        plan(first, replace(exact, context=exact.context - 1))
    cut_off = plan(first, replace(exact, context=exact.context - 1, truncate_left=True))[0][0]
    assert (cut_off.prompt, cut_off.truncated_bytes) == (prompt[1:], 1)
    with pytest.raises(SettingsError, match="passes the context of 26 symbols"):
        plan(first, replace(exact, context=26, truncate_left=True))


def test_settings_that_cannot_be_are_refused() -> None:
    for changes in ({"samples": 0}, {"max_new_bytes": 0}, {"batch_size": 0}):
        with pytest.raises(SettingsError, match="must be 1 or more"):
            replace(GREEDY, **changes)
    with pytest.raises(SettingsError, match="2 samples at temperature 0 would all be the same"):
        replace(GREEDY, samples=2)
    with pytest.raises(SettingsError, match=r"--top-p is 1\.5; give a number above 0 and at most 1"):
        Sampling(temperature=1, top_p=1.5)


def test_the_opening_is_what_the_model_was_trained_with() -> None:
    assert opening("pair-warmup") == opening("raw-only") == opening("") == (BOS, RAW_OPEN)
    assert opening("none") == (BOS,)
    with pytest.raises(SettingsError, match="mode comp-only and never saw raw bytes"):
        opening("comp-only")


def test_the_identity_changes_with_all_that_matters(problems: ProblemSet) -> None:
    model = small_model()
    same = identity(model, problems, GREEDY)
    assert same == identity(small_model(), problems, GREEDY)
    others = [
        identity(small_model(seed=1), problems, GREEDY),
        identity(model, replace(problems, problems=problems.problems[1:]), GREEDY),
        identity(model, problems, replace(GREEDY, seed=1)),
        identity(model, problems, replace(GREEDY, batch_size=2)),
    ]
    assert same not in others
