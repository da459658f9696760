"""Every setting and argument there is, found in the code itself: what it may not be is refused in one sentence.

A setting that is added is tested from then on; one that has no bounds fails here.
"""

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

import charflow.export
import charflow.model
import charflow.pipeline
from charflow.pipeline.bounds import Bounds
from charflow.pipeline.errors import UserError
from charflow.pipeline.settings import taken

PACKAGES = (charflow.pipeline, charflow.model, charflow.export)
NEEDED: dict[str, dict[str, Any]] = {"TrainingConfig": {"steps": 1}}  # without which there can be no such settings
ENDS = {"int32": 2**31, "int64": 2**63, "float32": 1e39, "float64": 10**400}  # the first number that does not fit
WRONG_TYPES = (None, "7", b"7", [7], {"a": 7}, object(), True, np.bool_(True))


# charflow itself calls these, with numbers of its own.
INTERNAL = re.compile(r"CorpusCache\.|PreparedCorpus\.(check_shard|path|shards_of)|RunDir\.(figures_of|forget_)")


def settings_classes() -> list[type]:
    """Dataclasses that check themselves."""
    found = {}
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for name, kind in vars(importlib.import_module(module.name)).items():
                own = inspect.isclass(kind) and kind.__module__ == module.name and dataclasses.is_dataclass(kind)
                if own and "check(self)" in inspect.getsource(kind):
                    found[name] = kind
    return list(found.values())


def is_protocol(kind: type) -> bool:
    """Whether a class only says what others have: charflow calls that."""
    return getattr(kind, "_is_protocol", False)


def public_functions() -> Iterator[tuple[str, Any]]:
    """Functions and methods of the public names; what a dataclass makes of itself is not among them."""
    for package in PACKAGES:
        for name in package.__all__:
            value = getattr(package, name)
            if inspect.isfunction(value):
                yield name, value
            elif inspect.isclass(value) and not issubclass(value, Exception) and not is_protocol(value):
                for attribute, member in vars(value).items():
                    function = getattr(member, "__func__", member)
                    ours = attribute == "__init__" if attribute.startswith("_") else True
                    made = attribute == "__init__" and dataclasses.is_dataclass(value)
                    if inspect.isfunction(function) and ours and not made:
                        yield f"{name}.{attribute}", function


def split(hint: Any) -> tuple[Any, Bounds | None]:
    """The bare type of a hint, without None, and its bounds."""
    bounds = None
    if get_origin(hint) is Annotated:
        bounds = next((note for note in get_args(hint) if isinstance(note, Bounds)), None)
        hint = get_args(hint)[0]
    members = [each for each in get_args(hint) if each is not NoneType]
    if NoneType in get_args(hint) and len(members) == 1:
        hint, inner = split(members[0])
        bounds = bounds or inner
    return hint, bounds


FIELDS = [
    pytest.param(kind, name, hint, id=f"{kind.__name__}.{name}")
    for kind in settings_classes()
    for name, hint in get_type_hints(kind, include_extras=True).items()
]
ARGUMENTS = [
    pytest.param(function, parameter, id=f"{name}({parameter.name})")
    for name, function in public_functions()
    if not INTERNAL.match(name)
    for parameter in inspect.signature(function).parameters.values()
    for bare in (split(parameter.annotation)[0],)
    if bare in (int, float, bool, str) or get_origin(bare) is Literal
]


def wrong_values(hint: Any) -> Iterator[Any]:
    bare, bounds = split(hint)
    bounds = bounds or Bounds()
    if bare in (int, float):
        yield from (value for value in WRONG_TYPES if value is not None or NoneType not in get_args(hint))
        yield from (10**5000, -(10**5000))
        end = ENDS[bounds.dtype or f"{bare.__name__}32"]
        yield from (end, -end - 1)
        for bound, step in ((bounds.at_least, -1), (bounds.above, 0), (bounds.at_most, 1), (bounds.below, 0)):
            if bound is not None:
                yield bare(bound) + step
    if bare is int:
        yield from (7.0, float("nan"), np.float64(7))
    elif bare is float:
        yield from (float("nan"), float("inf"), float("-inf"), np.float32("nan"))
    elif bare is bool:
        yield from (None, 1, "true", 0.0)
    elif bare is str:
        yield from (None, 7, b"a", ["a"], "\ud83c")
    elif get_origin(bare) is Literal:
        yield from (None, 7, "no such thing", b"a")
    elif get_origin(bare) is tuple:
        yield from (None, 7, b"a", ["a", 7], {"a": 1}, np.zeros((2, 2)))
    elif dataclasses.is_dataclass(bare):
        yield from (None, 7, {}, "a")


def assert_one_sentence(message: str, name: str) -> None:
    assert re.search(rf"\b{name} (must be|cannot be) ", message), message
    assert message.endswith(".")
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.parametrize(("kind", "name", "hint"), FIELDS)
def test_setting_refuses_what_it_may_not_be(kind: type, name: str, hint: Any) -> None:
    needed = {key: value for key, value in NEEDED.get(kind.__name__, {}).items() if key != name}
    values = list(wrong_values(hint))
    assert values
    for value in values:
        with pytest.raises(UserError) as refused:
            kind(**needed, **{name: value})
        assert_one_sentence(str(refused.value), name)


@pytest.mark.parametrize(("kind", "name", "hint"), FIELDS)
def test_setting_takes_the_numbers_of_numpy(kind: type, name: str, hint: Any) -> None:
    bare, _ = split(hint)
    if bare not in (int, float, bool):
        return
    default = getattr(kind(**NEEDED.get(kind.__name__, {})), name)
    number = {int: np.int64, float: np.float64, bool: np.bool_}[bare](default)
    for given in (number, np.asarray(number)):
        found = getattr(kind(**{**NEEDED.get(kind.__name__, {}), name: given}), name)
        assert (type(found), found) == (bare, default)


def test_settings_classes_are_found() -> None:
    names = {kind.__name__ for kind in settings_classes()}
    assert names >= {"CorpusSettings", "CsvFormat", "NetworkConfig", "TrainingConfig", "SamplingSettings", "Limits"}


@pytest.mark.parametrize(("function", "parameter"), ARGUMENTS)
def test_argument_refuses_what_it_may_not_be(function: Any, parameter: inspect.Parameter) -> None:
    assert hasattr(function, "__wrapped__"), "the arguments of a public function are checked"
    bare, bounds = split(parameter.annotation)
    assert bounds or bare not in (int, float), "a number has bounds"
    for value in wrong_values(parameter.annotation):
        if bare is str and value == "\ud83c":
            continue  # some texts may hold it
        with pytest.raises(UserError) as refused:
            taken(parameter.name, value, parameter.annotation)
        assert_one_sentence(str(refused.value), parameter.name)
