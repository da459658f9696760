"""Checks what a caller passes and lays it out in columns, one value a row.

`calls` and `stream` check the settings of the protocol before they send anything, and a model's own, such as top-k, by
the data types that its metadata names. B is the number of rows.
"""

import math
import operator
import reprlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

Texts: TypeAlias = list[str] | tuple[str, ...]  # Sequence[str] would include str
Ints: TypeAlias = int | Sequence[int] | None
Floats: TypeAlias = float | Sequence[float] | None
Strings: TypeAlias = str | Sequence[str] | None

_SEEDS_END = 2**63
_SMALLEST_FLOAT32, _LARGEST_FLOAT32 = 2.0**-126, 3.4028234663852886e38
_LARGEST_FLOAT64 = sys.float_info.max
_LONGEST_TIME = 10**9  # seconds


class ArgumentError(ValueError):
    """An argument that no request can be made of, of whatever type it is; one sentence says which and why.

    Args:
        message: the sentence.
        name: of the argument that the sentence begins with, if it does.
    """

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self._name = name

    def told(self, spell: Callable[[str], str]) -> str:
        """The sentence with the argument's name as `spell` writes it."""
        return spell(self._name) + str(self).removeprefix(self._name) if self._name else str(self)


@dataclass(frozen=True)
class Tensor:
    """An input of a request.

    Attributes:
        dtype: a key of CHECKS.
        rows: B values, or B lists of equal length.
    """

    dtype: str
    rows: list[Any]

    def cut(self, begin: int, end: int) -> "Tensor":
        """Keeps the rows from `begin` to before `end`."""
        return Tensor(self.dtype, self.rows[begin:end])


def texts_of(given: str | Texts, what: str) -> tuple[list[str], bool]:
    """Returns the texts, and whether one str was given rather than a list.

    >>> texts_of("how do i ", "prompt")
    (['how do i '], True)

    Raises:
        ArgumentError: there is none, or one is not a str.
    """
    if isinstance(given, str):
        return [text(what, given)], True
    given = _listed(given)
    if not isinstance(given, (list, tuple)):
        raise ArgumentError(f"Pass a {what} as a str, or several as a list of str, not {type(given).__name__}.")
    rows = [text(f"{what} {index}", each) for index, each in enumerate(given)]
    if not rows:
        raise ArgumentError(f"There is no {what}: the list is empty.")
    return rows, False


def setting_columns(settings: Mapping[str, Any], n_rows: int) -> dict[str, Tensor]:
    """Checks the settings of the protocol that are not None and repeats single values; row i has seed + i of a seed.

    >>> setting_columns({"seed": 7, "max_chars": 3, "stop": None}, 2)
    {'seed': Tensor(dtype='DT_INT64', rows=[7, 8]), 'max_chars': Tensor(dtype='DT_INT32', rows=[3, 3])}

    Raises:
        ArgumentError: a value is out of range or of the wrong type, or a list has not one value per prompt.
    """
    given = {name: value for name, value in settings.items() if name in SETTINGS and value is not None}
    return {name: _column(name, value, *SETTINGS[name], n_rows) for name, value in given.items()}


def sampler_columns(settings: Mapping[str, Any], dtypes: Mapping[str, str], n_rows: int) -> dict[str, Tensor]:
    """Checks the other settings that are not None, those that a model has of its own.

    Args:
        settings: by name, those of the protocol among them.
        dtypes: of all settings that the served model has.
        n_rows: B.

    >>> sampler_columns({"seed": 7, "top_k": 3}, {"seed": "DT_INT64", "top_k": "DT_INT32"}, 2)
    {'top_k': Tensor(dtype='DT_INT32', rows=[3, 3])}

    Raises:
        ArgumentError: the model has no such setting, a value does not fit its type, or a list has not one per prompt.
    """
    columns = {}
    for name, value in settings.items():
        if name in SETTINGS or value is None:
            continue
        if name not in dtypes:
            has = ", ".join(sorted(dtypes)) or "none"
            raise ArgumentError(f"{name} is no setting of the served model. Its settings are: {has}.", name)
        if dtypes[name] not in CHECKS:
            raise ArgumentError(f"{name} is a {dtypes[name]}, which this client does not send.", name)
        columns[name] = _column(name, value, dtypes[name], CHECKS[dtypes[name]], n_rows)
    return columns


def _column(name: str, value: Any, dtype: str, check: Callable[[str, Any], Any], n_rows: int) -> Tensor:
    value = _listed(value)
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        return Tensor(dtype, repeated(name, check(name, value), n_rows))
    if len(value) != n_rows:
        raise ArgumentError(f"{name} has {len(value)} values where there are {n_rows} prompts.")
    return Tensor(dtype, [check(f"{name} {index}", each) for index, each in enumerate(value)])


def repeated(name: str, value: Any, n_rows: int) -> list[Any]:
    """Makes a column of one value: the same in each row, but that row i has the seed + i.

    Raises:
        ArgumentError: the last seed does not fit.
    """
    if name != "seed":
        return [value] * n_rows
    if value + n_rows > _SEEDS_END:
        rule = f"at most {_SEEDS_END - n_rows:,} for {n_rows:,} prompts, of which each has the next seed"
        raise wrong("seed", rule, value)
    return list(range(value, value + n_rows))


def _listed(value: Any) -> Any:
    """The members of a column of NumPy or pandas; anything else as it is."""
    return value.tolist() if getattr(value, "ndim", None) == 1 else value


def wrong(name: str, rule: str, value: Any, note: str = "") -> ArgumentError:
    """Makes the error of an argument, with what was found, however large it is."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**21:
        found = f"a number of {int(value.bit_length() * math.log10(2)) + 1:,} digits"
    elif isinstance(value, (bool, int, float, str, bytes)) or value is None:
        found = f"{value:,}" if type(value) is int else reprlib.repr(value)
    else:
        found = f"of type {type(value).__name__}"
    return ArgumentError(f"{name} must be {rule}, not {found}{note}.", name)


def int_between(lowest: int, highest: int) -> Callable[[str, Any], int]:
    """Makes a check for integers in a range, both ends included."""

    def check(name: str, value: Any) -> int:
        try:
            if isinstance(value, bool):
                raise TypeError
            number = operator.index(value)  # NumPy's integers too
        except TypeError:
            raise wrong(name, "a whole number", value) from None
        if not lowest <= number <= highest:
            raise wrong(name, f"at least {lowest:,} and at most {highest:,}", number)
        return number

    return check


def seconds(name: str, value: Any) -> float:
    """Checks a time, which sockets take no longer than some hundred years."""
    number = _number(name, value)
    if not 0 < number <= _LONGEST_TIME:
        raise wrong(name, f"a number of seconds above 0 and at most {_LONGEST_TIME:,}", value)
    return number


def text(name: str, value: Any) -> str:
    """Checks a text."""
    if not isinstance(value, str):
        raise wrong(name, "a text", value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(f"{name} cannot be written as UTF-8: {error.reason}.", name) from None
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise wrong(name, "a number", value)
    try:
        return float(value)
    except OverflowError:  # of a whole number
        return math.inf if operator.gt(value, 0) else -math.inf


def _as_float32(number: float) -> float:
    """What the device makes of a number that is too small."""
    return 0.0 if abs(number) < _SMALLEST_FLOAT32 else number


def _truth(name: str, value: Any) -> bool:
    if not isinstance(getattr(value, "item", lambda: value)(), bool):  # NumPy's too
        raise wrong(name, "true or false", value)
    return bool(value)


def _float32(name: str, value: Any) -> float:
    return _as_float32(_float_between(_LARGEST_FLOAT32, name, value))


def _float64(name: str, value: Any) -> float:
    return _float_between(_LARGEST_FLOAT64, name, value)


def _float_between(largest: float, name: str, value: Any) -> float:
    number = _number(name, value)
    if not -largest <= number <= largest:
        raise wrong(name, f"at least {-largest:g} and at most {largest:g}", value)
    return number


def _temperature(name: str, value: Any) -> float:
    number = _as_float32(_number(name, value))
    if not 0 <= number <= _LARGEST_FLOAT32:
        raise wrong(name, f"at least 0 and at most {_LARGEST_FLOAT32:g}", value, " (0 is greedy)")
    return number


_INT64 = int_between(-(2**63), 2**63 - 1)
CHECKS: dict[str, Callable[[str, Any], Any]] = {  # of settings that are known by their data type alone
    "DT_INT32": int_between(-(2**31), 2**31 - 1),
    "DT_INT64": _INT64,
    "DT_FLOAT": _float32,
    "DT_DOUBLE": _float64,
    "DT_STRING": text,
    "DT_BOOL": _truth,
}
SETTINGS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {  # of the protocol
    "max_chars": ("DT_INT32", int_between(0, 2**31 - 1)),
    "temperature": ("DT_FLOAT", _temperature),
    "seed": ("DT_INT64", _INT64),
    "stop": ("DT_STRING", text),
}
