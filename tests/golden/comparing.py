"""Compares what is found with a golden file: which values count, and how near a float must be.

`documents` makes what is found; `test_golden` and `make` ask here. This is the one place that says what is masked.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILES = Path(__file__).parent / "files"

# What differs from run to run or from machine to machine, and why, by document and place: its keys and types count.
MASKED = {
    r".*\b(seconds|windows_per_second|characters_per_second|created)": "time",
    r"commands/bench_\w+ benches\..*\.(median|least|most|ratio|figures.*)": "time",
    r"commands/bench_\w+ machine\..*": "of this machine",
    r"commands/promote \w+\.comparison\.p\d\d.*": "time",
    r"commands/sweep trials.*\.(bits|part_bits|steps)": "trained for a time, which is more steps on a faster machine",
    r"commands/sweep (best|run)": "likewise",
    r"commands/train \w+\.longest_copied_run": "of trained weights, whose last bits can flip a character of a sample",
    r".*\bmemorisation\.(copied\..*|longest|text|place)": "likewise",
    r"commands/evaluate \w+\.baselines\.gzip": "by the zlib that is installed",
    r"commands/export .*\.graph has stock ops only": "a number of kinds of ops, which any change of the code changes",
    r"commands/export .*\.has a model card": "the version of charflow",
    r"commands/export .*\.beats guessing": "of trained weights",
    r"model_card \d\.versions\..*": "what is installed",
}

# How near floats must be, relatively or absolutely. Other instruction sets (XLA for SSE4.2, oneDNN off) and another
# number of threads change them by 3e-7 at most, after 60 steps too; a cosine 1 % off changes losses by 2e-3.
FIXED = 1e-5
TRAINED = 1e-4
OF_TRAINED = ("losses", "commands/train", "model_card")


def tolerance(name: str) -> float:
    """How near the floats of a document must be: weights that were trained just now are less sure than fixed ones."""
    return TRAINED if name in OF_TRAINED else FIXED


def masked(name: str, found: Any, folder: str, where: str = "") -> Any:
    """Replaces what is not to be compared by its type, and the folder that all was made in by its name."""
    if isinstance(found, dict):
        return {key: masked(name, value, folder, f"{where}.{key}" if where else key) for key, value in found.items()}
    if isinstance(found, list):
        return [masked(name, value, folder, f"{where}[{index}]") for index, value in enumerate(found)]
    if any(re.fullmatch(pattern, f"{name} {where}") for pattern in MASKED):
        return f"<{type(found).__name__}>"
    return found.replace(folder, "FOLDER") if isinstance(found, str) else found


def differences(golden: Any, found: Any, near: float, where: str = "") -> Iterator[str]:
    """Says where two documents differ: keys, types, texts, integers, and floats that are not near.

    >>> list(differences({"a": [1, 2.0]}, {"a": [1, 2.5]}, near=0.1))
    ['a[1]: 2.0 is now 2.5']
    """
    if isinstance(golden, dict) and isinstance(found, dict):
        for key in golden | found:
            place = f"{where}.{key}" if where else key
            if key not in found or key not in golden:
                yield f"{place}: is {'gone' if key in golden else 'new'}"
            else:
                yield from differences(golden[key], found[key], near, place)
    elif isinstance(golden, list) and isinstance(found, list) and len(golden) == len(found):
        for index, (before, now) in enumerate(zip(golden, found)):
            yield from differences(before, now, near, f"{where}[{index}]")
    elif not _same(golden, found, near):
        yield f"{where}: {golden!r} is now {found!r}"


def _same(golden: Any, found: Any, near: float) -> bool:
    if type(golden) is not type(found):
        return False
    return math.isclose(golden, found, rel_tol=near, abs_tol=near) if isinstance(golden, float) else golden == found


def changed(name: str, found: Any) -> bool:
    """Whether a document is new, or differs from its golden file in what counts."""
    return not (FILES / f"{name}.json").exists() or any(differences(read(name, FILES), found, tolerance(name)))


def write(name: str, found: Any, folder: Path) -> None:
    """Writes a document into a folder."""
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(name: str, folder: Path) -> Any:
    """Reads a document from a folder."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
