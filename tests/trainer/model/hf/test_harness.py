"""lm-evaluation-harness on an exported folder scores and writes what the trainer does.

It brings some forty packages, so it is no development dependency, and without it this is skipped; `pip install
lm_eval[hf]` brings it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from schemas.batches import Documents
from schemas.vocabulary import BOS, RAW_BASE, RAW_OPEN
from tests.trainer.models import model_of_one_sentence
from trainer.evaluation.bits_per_byte import score
from trainer.generation.generate import generate
from trainer.model.evabyte import EvaByte
from trainer.model.hf_export import export_model

lm_eval = pytest.importorskip("lm_eval", reason="lm_eval is not installed; it is no development dependency")

POSITIONS = 64
ARGUMENTS = "trust_remote_code=True,add_bos_token=False,open_text=True,dtype=float32"
"""What the README in the folder says."""
SHORT = ["the cat sat on the mat", "a", "naïve — ünïcode\n", "the dog sat on the log. and the cat sat on the mat.\t"]
LONG = ["the cat sat on the mat and the dog sat on the log. " * 5, "0123456789" * 19 + "é"]
QUESTIONS = [
    {"question": "the cat sat on", "choices": [" the mat", " the xyz", " a"], "answer": 0},
    {"question": "", "choices": ["the cat", "zzz"], "answer": 0},
    {
        "question": "the cat sat on the mat and" + " the cat sat on the mat and" * 3,
        "choices": [" the dog", " an elephant"],
        "answer": 1,
    },
]


@pytest.fixture(scope="module")
def model() -> EvaByte:
    return model_of_one_sentence().eval()


@pytest.fixture(scope="module")
def folder(model: EvaByte, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("hf")
    export_model(model, str(directory), mode="merged", positions=POSITIONS)
    return directory


def evaluate(folder: Path, where: Path, documents: list[dict[str, Any]], task: dict[str, Any]) -> dict[str, Any]:
    """What the harness finds on a local task: its results, and what it kept of each document."""
    from lm_eval.tasks import TaskManager

    (where / "data.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    task = {
        "task": "local_task",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(where / "data.jsonl")}},
        "test_split": "test",
        **task,
    }
    (where / "local_task.yaml").write_text(json.dumps(task))
    found = lm_eval.simple_evaluate(
        model="hf",
        model_args=f"pretrained={folder},{ARGUMENTS}",
        tasks=["local_task"],
        task_manager=TaskManager(include_path=str(where), include_defaults=False),
        batch_size=3,
        device="cpu",
        log_samples=True,
    )
    return {
        "results": found["results"]["local_task"],
        "responses": [
            [answer[0] for answer in sample["resps"]]
            for sample in sorted(found["samples"]["local_task"], key=lambda sample: sample["doc_id"])
        ],
    }


@torch.no_grad()
def bits(model: EvaByte, before: bytes, scored: bytes) -> float:
    """−log2 p of `scored` after <bos> <raw> and `before`."""
    ids = torch.tensor([[BOS, RAW_OPEN, *(RAW_BASE + byte for byte in before + scored)]])
    counts = torch.zeros(ids.shape, dtype=torch.bool)
    counts[0, 2 + len(before) :] = True
    return float(model.heads.symbol_nats(model.hidden(ids), ids, counts).double().sum()) / math.log(2)


ROLLING = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "{{text}}",
    "metric_list": [{"metric": "bits_per_byte"}],
}


def test_rolling_bits_per_byte_are_those_of_evaluate_bpb(model: EvaByte, folder: Path, tmp_path: Path) -> None:
    """Documents that fit into a window are cut by neither: the same windows."""
    found = evaluate(folder, tmp_path, [{"text": text} for text in SHORT], ROLLING)["results"]["bits_per_byte,none"]
    raw = [text.encode() for text in SHORT]
    documents = Documents(
        raw=np.frombuffer(b"".join(raw), np.uint8), offsets=np.cumsum([0, *map(len, raw)], dtype=np.int64)
    )
    (*_, scored) = score(model, [documents], sequence_length=POSITIONS)
    assert scored.raw_bytes == sum(map(len, raw))
    assert found == pytest.approx(scored.bits_per_byte, abs=1e-4)


def test_rolling_windows_open_with_the_sentinel(model: EvaByte, folder: Path, tmp_path: Path) -> None:
    """Of longer documents every window scores POSITIONS bytes after one byte of context, the last one after more."""
    found = evaluate(folder, tmp_path, [{"text": text} for text in LONG], ROLLING)["results"]["bits_per_byte,none"]
    total = 0.0
    for text in (text.encode() for text in LONG):
        total += bits(model, b"", text[:POSITIONS])
        for first in range(POSITIONS, len(text), POSITIONS):
            last = min(first + POSITIONS, len(text))
            total += bits(model, text[last - POSITIONS - 1 : first], text[first:last])
    assert found == pytest.approx(total / sum(len(text.encode()) for text in LONG), abs=1e-4)


def test_choices_are_scored_as_continuations(model: EvaByte, folder: Path, tmp_path: Path) -> None:
    task = {
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{answer}}",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc"}],
    }
    found = evaluate(folder, tmp_path, QUESTIONS, task)
    right = []
    for question, answers in zip(QUESTIONS, found["responses"], strict=True):
        nats = []
        for choice, (nat, _) in zip(question["choices"], answers, strict=True):
            after = choice.encode()
            before = question["question"].encode()[-(POSITIONS + 1 - len(after)) :]
            nats.append(-bits(model, before, after) * math.log(2))
            assert float(nat) == pytest.approx(nats[-1], abs=1e-4)
        right.append(nats.index(max(nats)) == question["answer"])
    assert found["results"]["acc,none"] == pytest.approx(sum(right) / len(right))
    assert True in right and False in right


def test_texts_are_written_until_a_stop(model: EvaByte, folder: Path, tmp_path: Path) -> None:
    prompts = ["the cat sat on", "the dog", "x", "the cat sat on the mat and the dog sat on the log. " * 2 + "the"]
    wanted = [
        text.text.decode().split("at")[0]
        for text in generate(model, [prompt.encode()[-(POSITIONS - 20) :] for prompt in prompts], max_bytes=20)
    ]
    task = {
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{target}}",
        "generation_kwargs": {"until": ["at"], "max_gen_toks": 20, "do_sample": False},
        "metric_list": [{"metric": "exact_match"}],
    }
    documents = [{"prompt": prompt, "target": text} for prompt, text in zip(prompts, wanted, strict=True)]
    found = evaluate(folder, tmp_path, documents, task)
    assert [texts[0] for texts in found["responses"]] == wanted
    assert found["results"]["exact_match,none"] == 1
    assert len(set(wanted)) > 1
