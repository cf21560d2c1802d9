"""What the tests and a solution tell each other: Python values as bytes, and names for what has no bytes.

Pickle's format without pickle's danger: reading knows the plain types and one name, `rebuild`, with a fixed list of
kinds, none of which runs code that came with the data. Plain types, those of the standard library that tests compare
(Counter, Fraction, datetime and so on) and NumPy's arrays come across as what they are, an instance of a class derived
from a plain type as the plain value. All else (functions, iterators, objects of the solution's own classes) stays where
it is, and a `Remote` stands for it.
"""

from __future__ import annotations

import io
import pickle
import re
import sys
from collections.abc import Callable, Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TYPES: dict[str, type] = {
    "bool": bool, "int": int, "float": float, "complex": complex, "str": str, "bytes": bytes, "bytearray": bytearray,
    "list": list, "tuple": tuple, "dict": dict, "set": set, "frozenset": frozenset, "NoneType": type(None),
}  # fmt: skip
_PLAIN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__int__),
    (float, float.__float__),
    (complex, complex.__complex__),
    (str, str.__str__),
    (bytes, lambda value: bytes(memoryview(value))),
    (bytearray, lambda value: bytearray(memoryview(value))),
    (tuple, lambda value: tuple(tuple.__iter__(value))),
    (list, lambda value: list(list.__iter__(value))),
    (dict, lambda value: dict(dict.items(value))),
    (set, lambda value: set(set.__iter__(value))),
    (frozenset, lambda value: frozenset(frozenset.__iter__(value))),
)
_DTYPE = re.compile(r"[<>|=][?bBiufcSUmM]\d*(\[\d*[a-zA-Z]+\])?")


class Remote:
    """Something that lives on the other side. Its operations are done there and their results come back.

    Two of them are equal only where they stand for the same thing, whatever the other side says.
    """

    __slots__ = ("_ask", "_number")

    def __init__(self, ask: Callable[..., Any], number: int) -> None:
        self._ask, self._number = ask, number

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a remote thing has no state")

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call what this stands for; the arguments that it changes are changed here too."""
        return self._ask("call", self, arguments, options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._ask("attribute", self, name)

    def __iter__(self) -> Iterator[Any]:
        return self._ask("iter", self)

    def __next__(self) -> Any:
        return self._ask("next", self)

    def __len__(self) -> int:
        return self._ask("len", self)

    def __getitem__(self, key: Any) -> Any:
        return self._ask("item", self, key)

    def __contains__(self, value: Any) -> bool:
        return bool(self._ask("contains", self, value))

    def __bool__(self) -> bool:
        return bool(self._ask("bool", self))

    def __str__(self) -> str:
        return str(self._ask("str", self))

    __repr__ = __str__


class Values:
    """One side's encoder and decoder, and what of its own it has named to the other side."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        """ask: has an operation done by the other side; what a Remote calls."""
        self._ask = ask
        self._named: list[Any] = []
        self._number_of: dict[int, int] = {}
        self._remotes: dict[int, Remote] = {}

    def encode(self, value: object) -> bytes:
        """The value as bytes; PicklingError or RecursionError where that cannot be."""
        target = io.BytesIO()
        _Encoder(target, self).dump(value)
        return target.getvalue()

    def decode(self, data: bytes) -> Any:
        """The value of bytes that nobody has vouched for; UnpicklingError, or another error, where they are none."""
        return _Decoder(io.BytesIO(data), self).load()

    def name(self, value: object) -> tuple[str, int]:
        """A name for a value that stays here."""
        if isinstance(value, Remote):
            return "yours", value._number
        number = self._number_of.get(id(value))
        if number is None:
            number = self._number_of[id(value)] = len(self._named)
            self._named.append(value)
        return "theirs", number

    def rebuild(self, kind: str, *parts: Any) -> Any:
        """The value of a kind, from its parts."""
        if kind == "yours":
            return self._named[range(len(self._named))[parts[0]]]
        if kind == "theirs":
            number = int.__index__(parts[0])
            if number not in self._remotes:
                self._remotes[number] = Remote(self._ask, number)
            return self._remotes[number]
        return _KINDS[kind](*parts)


def rebuild(kind: str, *parts: Any) -> Any:
    """Stands in the bytes for `Values.rebuild` of the side that reads them."""
    raise AssertionError("only its name is used")


class _Encoder(pickle.Pickler):
    def __init__(self, target: io.BytesIO, values: Values) -> None:
        super().__init__(target, protocol=5)
        self._values = values

    def reducer_override(self, value: Any) -> Any:
        """Called for all but the plain types themselves."""
        if value is rebuild:
            return NotImplemented
        parts = _numpy_parts(value) or _parts(value) or _plain_parts(value) or self._values.name(value)
        return rebuild, parts


class _Decoder(pickle.Unpickler):
    def __init__(self, source: io.BytesIO, values: Values) -> None:
        super().__init__(source)
        self._values = values

    def find_class(self, module: str, name: str) -> Any:
        if name != "rebuild":
            raise pickle.UnpicklingError(f"{module}.{name} is not a value")
        return self._values.rebuild


def _plain_parts(value: Any) -> tuple[Any, ...] | None:
    """Of an instance of a class that is derived from a plain type."""
    for base, plain in _PLAIN:
        if isinstance(value, base) and not isinstance(value, type):
            return "plain", plain(value)
    return None


def _parts(value: Any) -> tuple[Any, ...] | None:
    """Of a value of the standard library. Modules that nobody has imported have no values."""
    kind = type(value)
    if kind is type:
        return ("type", value.__name__) if value in _TYPES.values() else None
    name = f"{kind.__module__}.{kind.__qualname__}"
    return _PARTS[name](value) if name in _PARTS else None


_PARTS: dict[str, Callable[[Any], tuple[Any, ...] | None]] = {
    "builtins.complex": lambda value: ("complex", value.real, value.imag),
    "builtins.range": lambda value: ("range", value.start, value.stop, value.step),
    "builtins.ellipsis": lambda value: ("ellipsis",),
    "builtins.dict_keys": lambda value: ("keys", list(value)),
    "builtins.dict_values": lambda value: ("values", list(value)),
    "builtins.dict_items": lambda value: ("items", list(value)),
    "collections.Counter": lambda value: ("Counter", dict(dict.items(value))),
    "collections.OrderedDict": lambda value: ("OrderedDict", list(value.items())),
    "collections.deque": lambda value: ("deque", list(value), value.maxlen),
    "fractions.Fraction": lambda value: ("Fraction", value.numerator, value.denominator),
    "decimal.Decimal": lambda value: ("Decimal", str(value)),
    "datetime.date": lambda value: ("date", value.year, value.month, value.day),
    "datetime.time": lambda value: _clock(value, "time"),
    "datetime.datetime": lambda value: _clock(value, "datetime"),
    "datetime.timedelta": lambda value: ("timedelta", value.days, value.seconds, value.microseconds),
}


def _clock(value: Any, kind: str) -> tuple[Any, ...] | None:
    return (kind, value.isoformat()) if value.tzinfo is None and not value.fold else None


def _numpy_parts(value: Any) -> tuple[Any, ...] | None:
    np = sys.modules.get("numpy")
    if np is None or not isinstance(value, np.ndarray | np.generic):
        return None
    if not _DTYPE.fullmatch(value.dtype.str):
        return ("plain", value.tolist()) if value.dtype.kind == "O" else None
    return "array", value.dtype.str, value.shape, value.tobytes(), isinstance(value, np.generic)


def _array(dtype: str, shape: tuple[int, ...], data: bytes, scalar: bool) -> Any:
    import numpy as np

    if not _DTYPE.fullmatch(dtype):
        raise pickle.UnpicklingError(f"no array has the type {dtype!r}")
    array = np.frombuffer(data, np.dtype(dtype)).reshape(shape).copy()
    return array[()] if scalar else array


def _of(module: str, name: str, *, method: str = "") -> Callable[..., Any]:
    """A class of the standard library, imported when there is a value of it."""

    def build(*parts: Any) -> Any:
        kind = getattr(__import__(module), name)
        return getattr(kind, method)(*parts) if method else kind(*parts)

    return build


_KINDS: dict[str, Callable[..., Any]] = {
    "plain": lambda value: value,
    "type": lambda name: _TYPES[name],
    "complex": complex,
    "range": range,
    "ellipsis": lambda: ...,
    "keys": lambda items: dict.fromkeys(items).keys(),
    "values": lambda items: dict(enumerate(items)).values(),
    "items": lambda items: dict(items).items(),
    "Counter": _of("collections", "Counter"),
    "OrderedDict": _of("collections", "OrderedDict"),
    "deque": _of("collections", "deque"),
    "Fraction": _of("fractions", "Fraction"),
    "Decimal": _of("decimal", "Decimal"),
    "date": _of("datetime", "date"),
    "time": _of("datetime", "time", method="fromisoformat"),
    "datetime": _of("datetime", "datetime", method="fromisoformat"),
    "timedelta": _of("datetime", "timedelta"),
    "array": _array,
}
