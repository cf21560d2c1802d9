"""Any bytes go in and come back, texts open with <bos> <raw> unless told, and names of special ids are text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import vocabulary
from tests.trainer.model.hf.exported import opened_export, tokenizer_of
from tests.trainer.models import small_model
from trainer.model.hf import tokenization_evabyte
from trainer.model.hf.tokenization_evabyte import EvaByteTokenizer

OPENING = [vocabulary.BOS, vocabulary.RAW_OPEN]


def ids_of(text: bytes) -> list[int]:
    return [vocabulary.RAW_BASE + byte for byte in text]


@given(st.binary(max_size=60))
def test_any_bytes_come_back(text: bytes) -> None:
    tokenizer = EvaByteTokenizer()
    ids = tokenizer(text.decode("utf-8", "surrogateescape"))["input_ids"]
    assert ids == [*OPENING, *ids_of(text)] == tokenizer.bytes_to_ids(text)
    assert tokenizer.ids_to_bytes(ids) == text
    assert tokenizer.decode(ids, skip_special_tokens=True) == text.decode("utf-8", "replace")


@given(st.lists(st.sampled_from(["<raw>", "</raw>", "<bos>", "<pad>", "<eos>", "<comp_3>", " ", "é", "\n", "a"])))
def test_names_of_special_ids_are_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    tokenizer = EvaByteTokenizer(vocabulary=500)
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids_of(text.encode())


def test_names_become_ids_where_one_asks() -> None:
    tokenizer = EvaByteTokenizer(split_special_tokens=False, open_text=False)
    assert tokenizer("<bos><comp>a</comp>")["input_ids"] == [1, 14, 64 + 97, 15]
    assert tokenizer.convert_tokens_to_ids(["<raw>", "</raw>", "<pad>", "<eos>", "a"]) == [12, 13, 0, 2, 161]


@pytest.mark.parametrize("name", ["open_text", "add_bos_token"])
def test_the_folder_knows_its_options(tmp_path: Path, name: str) -> None:
    opened_export(small_model(vocabulary=500), tmp_path / "a", positions=777)
    tokenizer = tokenizer_of(tmp_path / "a")
    assert (len(tokenizer), tokenizer.vocab_size, tokenizer.model_max_length) == (500, 500, 777)
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert sorted(tokenizer.get_vocab().values()) == list(range(500))
    plain = tokenizer_of(tmp_path / "a", **{name: False})
    assert plain("ab")["input_ids"] == ids_of(b"ab")
    plain.save_pretrained(tmp_path / "b")
    again = tokenizer_of(tmp_path / "b")
    assert again("ab")["input_ids"] == ids_of(b"ab") and len(again) == 500


def test_batches_are_padded_on_the_left() -> None:
    found = EvaByteTokenizer()(["a", "abc"], padding=True)
    assert found["input_ids"] == [[0, 0, *OPENING, *ids_of(b"a")], [*OPENING, *ids_of(b"abc")]]
    assert found["attention_mask"] == [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]
    masks = EvaByteTokenizer()("ab", return_special_tokens_mask=True)["special_tokens_mask"]
    assert masks == [1, 1, 0, 0]


def test_ids_of_every_kind_are_shown() -> None:
    tokenizer = EvaByteTokenizer(vocabulary=400)
    ids = [1, 12, *ids_of("é".encode()), 64 + 255, 321, 40, 13, 2]
    assert tokenizer.decode(ids) == "<bos><raw>é\ufffd<comp_1><reserved_40></raw><eos>"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "é\ufffd"
    assert tokenizer.batch_decode([ids, [1]], skip_special_tokens=True) == ["é\ufffd", ""]


@pytest.mark.parametrize("name", ["RAW_BASE", "COMP_BASE"])
def test_ids_are_the_trainers(name: str) -> None:
    assert getattr(tokenization_evabyte, name) == getattr(vocabulary, name)
    names = {name: i for i, name in (tokenization_evabyte.NAMES | tokenization_evabyte.SENTINELS).items()}
    assert [names[f"<{name.lower()}>"] for name in ("PAD", "BOS", "EOS", "UNK", "SEP")] == [0, 1, 2, 3, 4]
    assert [names[name] for name in ("<raw>", "</raw>", "<comp>", "</comp>")] == [
        vocabulary.RAW_OPEN, vocabulary.RAW_CLOSE, vocabulary.COMP_OPEN, vocabulary.COMP_CLOSE
    ]  # fmt: skip
