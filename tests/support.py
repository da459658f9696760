"""What the tests of several rooms share."""

import fcntl
import inspect
import json
import os
import shutil
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charflow.model.decoding.samplers import SAMPLERS
from charflow.model.decoding.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
THOROUGH = bool(os.environ.get("CHARFLOW_THOROUGH"))  # take the time for what the suite otherwise does in a short way
XLA_CACHE = (  # a second of each process that trains a network like one before; the code is the same
    f"--tf_xla_persistent_cache_directory={ROOT / '.pytest_cache' / 'xla'} --tf_xla_persistent_cache_device_types=CPU"
)
USUAL = {sampler.name: sampler.usual for sampler in SAMPLERS}  # every sampler at work


@dataclass(frozen=True)
class Outcome:
    """What a command did: exit status, standard output, standard error."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of this session, which is one for all its workers; what lies there is not to be changed."""
    base = factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Makes a folder for all workers of this session: the first one makes it, the others wait for it.

    Args:
        name: of the folder, beside which a lock and a mark lie.
        make: fills the folder, which is empty.
    """
    folder = shared_folder(factory) / name
    done = folder.with_name(f"{name}.done")
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that could not finish it
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def whole_settings(rows: int = 1, **given: Any) -> dict[str, np.ndarray]:
    """Every setting that a signature takes, an array [rows] of its dtype each: REST callers must name them all.

    What is given is a value for all rows, or a list of one for each. What is not has its default, but that each
    sampler has its usual value in every row after the first.
    """
    first = {setting.name: [setting.default] for setting in SETTINGS}
    values = {name: value + [USUAL.get(name, value[0])] * (rows - 1) for name, value in first.items()} | given
    return {
        setting.name: np.broadcast_to(
            np.array(values[setting.name], object if setting.dtype == "string" else setting.dtype), [rows]
        ).copy()
        for setting in SETTINGS
    }


@cache
def uses(function: Callable[..., Any], names: frozenset[str]) -> bool:
    """Whether a function names one of these things, or something of the tests that does, through any number of them.

    Args:
        function: a test, or a fixture's function.
        names: of modules, classes and functions, in full.
    """
    return not _used(function, set()).isdisjoint(names)


def _used(function: Any, seen: set[int]) -> set[str]:
    """Full names of what a function, or a class by its methods, names in its module, and of what that names in turn."""
    if id(function) in seen:
        return set()
    seen.add(id(function))
    found: set[str] = set()
    for member in vars(function).values() if isinstance(function, type) else [function]:
        member = inspect.unwrap(getattr(member, "__func__", member))
        if isinstance(member, types.FunctionType):
            for thing in (member.__globals__[name] for name in _names(member.__code__) if name in member.__globals__):
                module, name = getattr(thing, "__module__", ""), getattr(thing, "__qualname__", "")
                found.add(thing.__name__ if inspect.ismodule(thing) else f"{module}.{name}")
                found |= _used(thing, seen) if str(module).startswith("tests.") else set()
    return found


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
