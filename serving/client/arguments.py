"""Checks what a caller passes and lays it out in columns, one value a row.

`calls` and `stream` use it before they send anything. B is the number of rows.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict

Texts: TypeAlias = list[str] | tuple[str, ...]  # Sequence[str] would include str
Ints: TypeAlias = int | Sequence[int] | None
Floats: TypeAlias = float | Sequence[float] | None
Strings: TypeAlias = str | Sequence[str] | None

_SEEDS_END = 2**63
_LARGEST_FLOAT32 = 3.4028234663852886e38


class ArgumentError(ValueError):
    """An argument that no request can be made of; one sentence says which and why."""


class Settings(TypedDict, total=False):
    """How to sample: one value for all prompts or a list with one for each; None takes the model's own default.

    `max_chars` is the most characters to write; `temperature` 0 takes the most likely; `top_k` 0, `top_p` 1 and
    `stop` "" are off; the same `seed` gives the same text, and prompt i of several has `seed` + i.
    """

    max_chars: Ints
    temperature: Floats
    top_k: Ints
    top_p: Floats
    seed: Ints
    stop: Strings


@dataclass(frozen=True)
class Tensor:
    """An input of a request.

    Attributes:
        dtype: DT_STRING, DT_INT32, DT_INT64 or DT_FLOAT.
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
        return [_text(what, given)], True
    if not isinstance(given, (list, tuple)):
        raise ArgumentError(f"Pass a {what} as a str, or several as a list of str, not {type(given).__name__}.")
    rows = [_text(f"{what} {index}", text) for index, text in enumerate(given)]
    if not rows:
        raise ArgumentError(f"There is no {what}: the list is empty.")
    return rows, False


def setting_columns(settings: Mapping[str, Any], n_rows: int) -> dict[str, Tensor]:
    """Checks the settings that are not None and repeats single values; of a single seed row i has seed + i.

    >>> setting_columns({"seed": 7, "top_k": 3, "stop": None}, 2)
    {'seed': Tensor(dtype='DT_INT64', rows=[7, 8]), 'top_k': Tensor(dtype='DT_INT32', rows=[3, 3])}

    Raises:
        ArgumentError: a value is out of range or of the wrong type, or a list has not one value per prompt.
    """
    columns = {}
    for name, value in settings.items():
        if value is None:
            continue
        dtype, check = SETTINGS[name]
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            if len(value) != n_rows:
                raise ArgumentError(f"{name} has {len(value)} values where there are {n_rows} prompts.")
            columns[name] = Tensor(dtype, [check(f"{name} {index}", each) for index, each in enumerate(value)])
        else:
            columns[name] = Tensor(dtype, repeated(name, check(name, value), n_rows))
    return columns


def repeated(name: str, value: Any, n_rows: int) -> list[Any]:
    """Makes a column of one value: the same in each row, but that row i has the seed + i.

    Raises:
        ArgumentError: the last seed does not fit.
    """
    if name != "seed":
        return [value] * n_rows
    if value + n_rows > _SEEDS_END:
        raise ArgumentError(
            f"seed must be at most {_SEEDS_END - n_rows:,} for {n_rows:,} prompts, of which each has the next seed, "
            f"not {value:,}."
        )
    return list(range(value, value + n_rows))


def int_between(lowest: int, highest: int) -> Callable[[str, Any], int]:
    """Makes a check for integers in a range, both ends included."""

    def check(name: str, value: Any) -> int:
        try:
            if isinstance(value, bool):
                raise TypeError
            number = operator.index(value)  # NumPy's integers too
        except TypeError:
            raise ArgumentError(f"{name} must be an integer, not {value!r}.") from None
        if not lowest <= number <= highest:
            raise ArgumentError(f"{name} must be from {lowest} to {highest}, not {number}.")
        return number

    return check


def _number(name: str, value: Any) -> float:
    if isinstance(value, (bool, str, bytes)):
        raise ArgumentError(f"{name} must be a number, not {value!r}.")
    try:
        return float(value)
    except (TypeError, OverflowError):
        raise ArgumentError(f"{name} must be a number, not {value!r}.") from None


def _temperature(name: str, value: Any) -> float:
    number = _number(name, value)
    if not 0 <= number <= _LARGEST_FLOAT32:
        raise ArgumentError(f"{name} must be a finite number of at least 0, not {number:g} (0 is greedy).")
    return number


def _top_p(name: str, value: Any) -> float:
    number = _number(name, value)
    if not 0 < number <= 1:
        raise ArgumentError(f"{name} must be above 0 and at most 1, not {number:g} (1 is off).")
    return number


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ArgumentError(f"{name} must be a str, not {type(value).__name__}.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(f"{name} cannot be written as UTF-8: {error.reason}.") from None
    return value


SETTINGS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "max_chars": ("DT_INT32", int_between(0, 2**31 - 1)),
    "temperature": ("DT_FLOAT", _temperature),
    "top_k": ("DT_INT32", int_between(0, 2**31 - 1)),
    "top_p": ("DT_FLOAT", _top_p),
    "seed": ("DT_INT64", int_between(-(2**63), 2**63 - 1)),
    "stop": ("DT_STRING", _text),
}
