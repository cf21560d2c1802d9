"""What tests and a solution tell each other: plain values arrive as they are, and nothing that arrives runs code."""

from __future__ import annotations

import collections
import contextlib
import datetime
import decimal
import enum
import fractions
import os
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluation.code.candidate.remote import _copy_back
from trainer.evaluation.code.candidate.values import Remote, Values

keys = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
clocks = (st.datetimes() | st.times()).map(lambda value: value.replace(fold=0))
plain = st.recursive(
    keys | st.complex_numbers(allow_nan=False) | st.fractions() | st.decimals(allow_nan=False) | clocks
    | st.timedeltas() | st.dates() | st.builds(range, st.integers(-99, 99), st.integers(-99, 99)),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(keys, inner) | st.sets(keys)
    | st.frozensets(keys) | st.lists(inner).map(collections.deque),
    max_leaves=12,
)  # fmt: skip

trees = st.recursive(st.integers(0, 3), lambda inner: st.lists(inner) | st.dictionaries(st.integers(0, 3), inner))


def refuse(*_: object) -> Any:
    raise AssertionError("nothing here asks the other side")


def crossed(value: object) -> Any:
    return Values(refuse).decode(Values(refuse).encode(value))


def told(value: Any) -> Any:
    """All of a value that can be told, types included; sets have no order."""
    if isinstance(value, dict):
        return [type(value), *[(told(key), told(one)) for key, one in value.items()]]
    if isinstance(value, list | tuple | collections.deque):
        return [type(value), *map(told, value)]
    return type(value), sorted(map(repr, value)) if isinstance(value, set | frozenset) else repr(value)


@given(plain)
def test_plain_values_arrive_as_they_are(value: object) -> None:
    there = crossed(value)
    assert there == value and told(there) == told(value)


@given(st.lists(st.integers(-9, 9), min_size=1), st.sampled_from(["i8", "<f4", ">u2", "c16", "?", "U3", "S2"]))
def test_arrays_arrive_as_they_are(numbers: list[int], dtype: str) -> None:
    array = np.array([numbers, numbers]).astype(dtype)
    there = crossed(array)
    assert there.dtype == array.dtype and np.array_equal(there, array)
    assert crossed(array[0, 0]) == array[0, 0] and type(crossed(array[0, 0])) is type(array[0, 0])
    there[0] = there[1]


def test_instances_of_derived_classes_arrive_as_the_plain_value() -> None:
    class All(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    class Colour(enum.IntEnum):
        RED = 3

    pair = collections.namedtuple("pair", "a b")(1, 2)
    for value, expected in (
        (All(2), 2), (Colour.RED, 3), (pair, (1, 2)), (type("Text", (str,), {})("x"), "x"),
        (type("Zero", (float,), {})(-0.0), -0.0), (type("Many", (dict,), {})(a=1), {"a": 1}),
        (collections.defaultdict(list, {1: [2]}), {1: [2]}),
    ):  # fmt: skip
        there = crossed(value)
        assert there == expected and type(there) is type(expected) and repr(there) == repr(expected)
    assert crossed(All(2)) != 3
    assert crossed(collections.Counter("aab"))["z"] == 0
    assert list(crossed({1: 2}.keys())) == [1] and list(crossed({1: 2}.values())) == [2]
    assert crossed([int, str, None.__class__]) == [int, str, type(None)]


class Here:
    """An object of a class of its own."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("value", [Here(), len, Here, iter([1]), lambda: 1, os, type, object(), (x for x in "a")])
def test_all_else_stays_where_it_is_and_comes_home_as_itself(value: object) -> None:
    here, there = Values(refuse), Values(refuse)
    first, second = there.decode(here.encode([value, value]))
    assert type(first) is Remote and first is second and first != 1 and first != Remote(refuse, 0)
    assert here.decode(there.encode({"back": (first,)}))["back"][0] is value


@pytest.mark.parametrize(
    "value",
    [os.system, eval, Here(), pickle.Unpickler, contextlib.suppress, collections.OrderedDict, fractions.Fraction],
)
def test_other_pickles_are_refused(value: object) -> None:
    with pytest.raises(pickle.UnpicklingError, match="is not a value"):
        Values(refuse).decode(pickle.dumps(value))


@pytest.mark.parametrize(
    "parts",
    [("system", "true"), ("yours", 0), ("yours", -1), ("type", "object"), ("array", "O", (1,), b"12345678", False),
     ("array", "i4,O", (1,), b"", False), ("theirs", "x")],
)  # fmt: skip
def test_kinds_that_do_not_exist_are_errors(parts: tuple[Any, ...]) -> None:
    with pytest.raises((KeyError, IndexError, TypeError, pickle.UnpicklingError)):
        Values(refuse).rebuild(*parts)


def test_a_remote_thing_cannot_be_given_a_state() -> None:
    here = Values(refuse)
    data = here.encode(len)
    assert data.endswith(b".")
    forged = data[:-1] + b"N}\x8c\x04_askK\x01s\x86b."
    with pytest.raises(pickle.UnpicklingError, match="no state"):
        Values(refuse).decode(forged)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_error(data: bytes) -> None:
    with contextlib.suppress(Exception):
        Values(refuse).decode(data)
    with contextlib.suppress(Exception):
        Values(refuse).decode(b"\x80\x05" + data + b".")


@given(plain, st.data())
def test_any_damage_is_a_value_or_an_error(value: object, data: st.DataObject) -> None:
    whole = bytearray(Values(refuse).encode([value, len]))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Exception):
        Values(refuse).decode(bytes(whole))


@given(trees, trees)
def test_changes_of_an_argument_are_done_to_the_argument(old: Any, new: Any) -> None:
    before = [old]
    _copy_back(before, crossed([new]))
    assert before == [new]
    if type(old) is type(new) and isinstance(old, list | dict):
        assert before[0] is old


def test_clocks_with_a_zone_or_a_fold_stay_where_they_are() -> None:
    assert type(crossed(datetime.datetime.now(datetime.UTC))) is Remote
    assert type(crossed(datetime.time(1, fold=1))) is Remote
    assert crossed(decimal.Decimal("NaN")).is_nan()
