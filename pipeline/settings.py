"""What a setting may be, said once, in its type: `units: Count` in a dataclass, or among a function's arguments.

The lowest room of all: `check` goes through a settings dataclass, `checked` through the arguments of a call, and both
refuse with a `SettingError` before anything is computed. A type is `int`, `float`, `bool`, `str`, a `Literal`, a list
of texts, a path or one of charflow's own classes; `Annotated` adds `Bounds`. Numbers of NumPy are taken like Python's
and become these; a truth value is no number.
"""

import functools
import inspect
import math
import operator
import os
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from numbers import Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from charflow.pipeline.bounds import Bounds, shown
from charflow.pipeline.errors import SettingError

P = ParamSpec("P")
R = TypeVar("R")


class _Other(Exception):  # noqa: N818  # it is no error
    """The value is of another type."""


@dataclass(frozen=True)
class _Kind:
    """A type that a setting may have.

    Attributes:
        wanted: what it is called in a sentence.
        take: is given the setting's name and a value; gives the value as the type has it, or raises `_Other`.
    """

    wanted: str
    take: Callable[[str, Any], Any]


def check(settings: Any) -> None:
    """Checks every field of a settings dataclass by its type; call it first in `__post_init__`.

    >>> @dataclass(frozen=True)
    ... class Recipe:
    ...     eggs: Count = 3
    ...     def __post_init__(self) -> None:
    ...         check(self)
    >>> Recipe(eggs=0)
    Traceback (most recent call last):
    charflow.pipeline.errors.SettingError: eggs must be at least 1, not 0.

    Raises:
        SettingError: the first field that is of another type, or out of bounds.
    """
    kind: Any = type(settings)
    hints = _hints(kind)
    for field in fields(settings):
        value = taken(field.name, getattr(settings, field.name), hints[field.name], Bounds())
        object.__setattr__(settings, field.name, value)


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function whose arguments are checked by their types when it is called.

    Raises:
        SettingError: of the call, for the first argument that is of another type, or out of bounds.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # Python's own sentence about a call that cannot be
        for name, value in given.arguments.items():
            given.arguments[name] = taken(name, value, signature.parameters[name].annotation)
        return function(*given.args, **given.kwargs)

    return call


def taken(name: str, value: Any, hint: Any, bounds: Bounds | None = None) -> Any:
    """Checks one value by a type, and gives it as that type has it: Python's numbers, tuples of texts.

    Args:
        name: of the setting.
        value: what was given.
        hint: the type.
        bounds: of a number whose type names none; None leaves it to whoever is handed the number.

    >>> taken("units", 3.0, Count)
    Traceback (most recent call last):
    charflow.pipeline.errors.SettingError: units must be a whole number, not 3.

    Raises:
        SettingError: it is of another type, or out of bounds.
    """
    kinds = _kinds(hint, bounds)
    if not kinds:
        return value
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()  # a number of NumPy
    for kind in kinds:
        try:
            return kind.take(name, value)
        except _Other:
            continue
    wanted = [kind.wanted for kind in kinds if kind.wanted != "None"]
    raise _wrong_type(name, wanted[-1] if wanted[0] in wanted[-1] else " or ".join(wanted), value)


@functools.cache
def _hints(settings: Any) -> dict[str, Any]:
    return get_type_hints(settings, include_extras=True)


def _kinds(hint: Any, bounds: Bounds | None) -> list[_Kind]:
    """Lists the types of a hint; none where a value can be anything that is not ours to check."""
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        if own := [note for note in notes if isinstance(note, _Kind)]:
            return own
        bounds = next((note for note in notes if isinstance(note, Bounds)), bounds)
        choices = next((note for note in notes if get_origin(note) is Literal), hint)  # Typer reads a str
        hint = Union[choices, None] if type(None) in get_args(hint) else choices  # noqa: UP007  # choices is a value
    if get_origin(hint) in (Union, UnionType):
        found = [_kinds(each, bounds) for each in get_args(hint)]
        return [kind for kinds in found for kind in kinds] if all(found) else []
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        return [_Kind(_either(choices), functools.partial(_one_of, choices))]
    if get_origin(hint) in (tuple, list, Sequence) and get_args(hint)[0] is str:
        return [_Kind("a text or a list of texts", _texts)]
    if hint in (int, float):
        take = _whole if hint is int else _number
        return [_Kind("a whole number" if hint is int else "a number", functools.partial(take, bounds))]
    plain = {
        bool: _Kind("true or false", _truth),
        str: _Kind("a text", _text),
        NoneType: _Kind("None", _none),
        Path: _Kind("a path", _path),
    }
    if hint in plain:
        return [plain[hint]]
    if isinstance(hint, type) and hint.__module__.startswith("charflow.") and not getattr(hint, "_is_protocol", False):
        return [_Kind(f"a {hint.__name__}", functools.partial(_instance, hint))]
    return []


def _whole(bounds: Bounds | None, name: str, value: Any) -> int:
    if isinstance(value, bool):
        raise _Other
    try:
        number = operator.index(value)
    except TypeError:
        raise _Other from None
    if bounds:
        bounds.check(name, number)
    return number


def _number(bounds: Bounds | None, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise _Other
    try:
        number = float(value)
    except OverflowError:  # of a whole number
        number = math.inf if operator.gt(value, 0) else -math.inf
    if bounds:
        bounds.check(name, number)
    return number


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Other
    return value


def _any_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _Other
    return str(value)


def _text(name: str, value: Any) -> str:
    text = _any_text(name, value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SettingError(f"{{{name}}} cannot be written as UTF-8: {{found}}.", found=shown(text)) from None
    return text


def _texts(name: str, value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else _listed(value)  # a lone text is one, not its letters
    if values is None or not all(isinstance(each, str) for each in values):
        raise _Other
    return tuple(_text(name, each) for each in values)


def _none(name: str, value: Any) -> None:
    if value is not None:
        raise _Other


def _path(name: str, value: Any) -> Path:
    return Path(_path_text(name, value))


def _paths(name: str, value: Any) -> list[Any]:
    paths = [value] if isinstance(value, str | os.PathLike) else _listed(value)
    if paths is None:
        raise _Other
    # A file that was found already knows more than its path.
    return [path if type(path).__module__.startswith("charflow.") else _path_text(name, path) for path in paths]


def _path_text(name: str, value: Any) -> str:
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str):  # bytes name no path that TensorFlow could open
        raise _Other
    if "\0" in path:
        raise SettingError(f"{{{name}}} must be a path, which has no NUL character, not {{found}}.", found=shown(path))
    return path


def _one_of(choices: tuple[str, ...], name: str, value: Any) -> str:
    if value not in choices if isinstance(value, str) else True:
        raise _Other
    return str(value)


def _instance(kind: type, name: str, value: Any) -> Any:
    if not isinstance(value, kind):
        raise _Other
    return value


def _listed(value: Any) -> list[Any] | None:
    """The members of a list, a tuple, a set or a column; None where it is something else."""
    if getattr(value, "ndim", None) == 1 and hasattr(value, "tolist"):
        return list(value.tolist())  # of NumPy or pandas
    return list(value) if isinstance(value, list | tuple | AbstractSet | Iterator) else None


def _either(choices: tuple[str, ...]) -> str:
    named = [choice or "empty" for choice in choices]
    return f"{', '.join(named[:-1])} or {named[-1]}" if len(named) > 1 else named[0]


def _wrong_type(name: str, wanted: str, value: object) -> SettingError:
    found = repr(value) if isinstance(value, float) else shown(value)  # 3.0 is not 3 here
    return SettingError(f"{{{name}}} must be {{wanted}}, not {{found}}.", wanted=wanted, found=found)


# The types that settings of several rooms share.
Count: TypeAlias = Annotated[int, Bounds(at_least=1)]
Natural: TypeAlias = Annotated[int, Bounds(at_least=0)]
Total: TypeAlias = Annotated[int, Bounds(at_least=0, dtype="int64")]  # characters, steps, bytes
Seed: TypeAlias = Annotated[int, Bounds(dtype="int64")]
Targets: TypeAlias = Literal["next", "all"]  # of a window: the character after it, or the one after each position
AnyText: TypeAlias = Annotated[str, _Kind("a text", _any_text)]  # lone surrogates too
Texts: TypeAlias = Annotated[str | Sequence[str], _Kind("a text or a list of texts", _texts)]  # given as a tuple
Paths: TypeAlias = Annotated[
    str | os.PathLike[str] | Sequence[str | os.PathLike[str]], _Kind("a path or a list of paths", _paths)
]
