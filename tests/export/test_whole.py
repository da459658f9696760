"""A version of which a part is missing, cut short or damaged never answers otherwise than the whole one.

Versions are published by a rename, but people copy them. What a server cannot notice may not change an answer.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from charflow.serving.embedded.core.inference import predict
from charflow.serving.embedded.core.loading import LoadSettings, ServedVersion
from charflow.serving.embedded.core.metrics import Metrics
from charflow.serving.errors import ServingError

DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": Path.unlink,
    "its first half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "all but its last byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "zeros in its second half": lambda path: path.write_bytes(
        path.read_bytes()[: path.stat().st_size // 2].ljust(path.stat().st_size, b"\0")
    ),
}
HARMLESS = {"fingerprint.pb", "model_card.json"}  # nothing that answers reads them


def answers_of(folder: Path) -> dict[str, list]:
    """Loads a version as a server does, warm-up included, and asks it."""
    version = ServedVersion(str(folder), LoadSettings(), Metrics())
    try:
        prompts = {"prompt": np.array([b"", b"how do "], object)}
        return {
            "serving_default": predict(version.loaded, "", lambda _: prompts)[1]["text"].tolist(),
            "chars": predict(version.loaded, "next_char", lambda _: prompts)[1]["chars"].tolist(),
        }
    finally:
        version.close()


@pytest.fixture(scope="module")
def whole(plain: Path) -> dict[str, list]:
    return answers_of(plain)


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_version_has_the_files_that_are_tried(plain: Path) -> None:
    assert files_of(plain) == [
        "assets.extra/model_card.json",
        "assets.extra/tf_serving_warmup_requests",
        "assets/vocabulary.txt",
        "fingerprint.pb",
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_version_is_refused_or_answers_as_the_whole_one(
    damage: str, plain: Path, whole: dict[str, list], tmp_path: Path
) -> None:
    refused = set()
    harmless = [name for name in files_of(plain) if Path(name).name in HARMLESS]
    others = [[name] for name in files_of(plain) if name not in harmless]
    for number, names in enumerate([harmless, *others]):  # those that change nothing together: to load takes seconds
        copy = tmp_path / str(number) / "1"
        shutil.copytree(plain, copy)
        for name in names:
            DAMAGES[damage](copy / name)
        try:
            assert answers_of(copy) == whole, names
        except ServingError:
            refused |= {Path(name).name for name in names}
        shutil.rmtree(copy)
    expected = {Path(name).name for name in files_of(plain)} - HARMLESS
    if damage == "missing":
        expected.discard("tf_serving_warmup_requests")  # a version without a warm-up is one that is slow at first
    assert refused == expected


def test_refused_vocabulary_says_what_is_wrong(plain: Path, tmp_path: Path) -> None:
    copy = tmp_path / "1"
    shutil.copytree(plain, copy)
    DAMAGES["its first half"](copy / "assets" / "vocabulary.txt")
    with pytest.raises(ServingError, match=r"^assertion failed: \[vocabulary.txt is not the file that this model"):
        answers_of(copy)
