"""What users and programs see of charflow is what the golden files say: a net under changes that are to change nothing.

Where a change is meant, `python -m tests.golden.make` writes the files anew.
"""

import sys
from pathlib import Path

import pytest

from tests import forked
from tests.golden import comparing

NAMES = sorted(str(path.relative_to(comparing.FILES).with_suffix("")) for path in comparing.FILES.rglob("*.json"))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documents as they are today, made in a process of their own, as the golden files were."""
    folder = tmp_path_factory.mktemp("golden")
    root = Path(__file__).parents[2]
    done = forked.run([sys.executable, "-m", "tests.golden.make", str(folder)], timeout=900, cwd=root)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_document_is_as_it_was(found: Path, name: str) -> None:
    golden, now = (comparing.read(name, folder) for folder in (comparing.FILES, found))
    assert list(comparing.differences(golden, now, comparing.tolerance(name))) == []


def test_documents_are_those_of_the_files(found: Path) -> None:
    assert sorted(str(path.relative_to(found).with_suffix("")) for path in found.rglob("*.json")) == NAMES


def test_documents_have_every_command_that_prints_json() -> None:
    helped = comparing.read("help", comparing.FILES)
    prints = {name for name, lines in helped.items() if any(line.startswith("  --json ") for line in lines)}
    prints -= {"bench all", "bench pipeline", "bench serve"}  # as bench train and decode print, after a longer time
    assert {f"commands/{name.replace(' ', '_')}" for name in prints} == {n for n in NAMES if n.startswith("commands/")}


@pytest.mark.parametrize(
    ("golden", "found", "said"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1, "b": 1}, {"a": 1, "c": 1}, ["b: is gone", "c: is new"]),
        ({"a": [1, "x"]}, {"a": [1, "y"]}, ["a[1]: 'x' is now 'y'"]),
        ([1, 2], [1], [": [1, 2] is now [1]"]),
        ([1, True, None, 0], [1.0, 1, 0, False], ["[0]: 1 is now 1.0", "[1]: True is now 1"]),
        ([1.0, 100.0], [1.002, 100.05], ["[0]: 1.0 is now 1.002"]),
    ],
    ids=["equal", "keys", "texts", "lengths", "types", "floats"],
)
def test_differences_name_the_place(golden: object, found: object, said: list[str]) -> None:
    assert list(comparing.differences(golden, found, near=1e-3))[: max(1, len(said))] == said


def test_masked_keeps_keys_and_types() -> None:
    figures = {"seconds": 1.5, "steps": 3, "run": "/tmp/x/run"}
    assert comparing.masked("commands/train", figures, "/tmp/x") == {
        **{"seconds": "<float>", "steps": 3, "run": "FOLDER/run"}
    }
