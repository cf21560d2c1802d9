"""Edits: exactly so many characters, a function of seed, name, kind and share alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis.edits import KINDS, edited
from schemas.errors import SettingsError

texts = st.text(alphabet=st.sampled_from("ab \né😀"), max_size=60)
shares = st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0])


def is_subsequence(short: str, long: str) -> bool:
    rest = iter(long)
    return all(character in rest for character in short)


@given(text=texts, share=shares, seed=st.integers(0, 5))
def test_exactly_so_many_characters_change(text: str, share: float, seed: int) -> None:
    count = round(share * len(text))
    deleted, inserted, replaced = (edited(text, kind=kind, share=share, seed=seed, name="t") for kind in KINDS)
    assert len(deleted) == len(text) - count
    assert is_subsequence(deleted, text)
    assert len(inserted) == len(text) + count
    assert is_subsequence(text, inserted)
    assert len(replaced) == len(text)
    assert sum(a != b for a, b in zip(text, replaced, strict=True)) == count


def test_an_edit_is_a_function_of_its_arguments() -> None:
    text = "some text that is long enough to differ " * 3
    base = {"kind": "delete", "share": 0.1, "seed": 0, "name": "a"}
    first = edited(text, **base)  # type: ignore[arg-type]
    assert first == edited(text, **base)  # type: ignore[arg-type]
    for change in ({"seed": 1}, {"name": "b"}, {"share": 0.2}, {"kind": "insert"}):
        assert edited(text, **{**base, **change}) != first  # type: ignore[arg-type]


def test_an_edited_text_is_a_promise_across_versions() -> None:
    assert edited("proxy compression", kind="delete", share=0.2, seed=0, name="golden") == GOLDEN["delete"]
    assert edited("proxy compression", kind="insert", share=0.2, seed=0, name="golden") == GOLDEN["insert"]
    assert edited("proxy compression", kind="substitute", share=0.2, seed=0, name="golden") == GOLDEN["substitute"]


GOLDEN = {"delete": "prox cpression", "insert": "proxy ckomOpresOsion", "substitute": "+r^xy co pression"}


@pytest.mark.parametrize(("kind", "share", "message"), [("swap", 0.1, "delete, insert"), ("delete", 1.5, "0 to 1")])
def test_what_is_no_edit_is_refused(kind: str, share: float, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        edited("text", kind=kind, share=share, seed=0, name="t")
