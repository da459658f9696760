"""A version of which a part is missing, cut short or damaged never answers otherwise than the whole one.

Versions are published by a rename, but people copy them. What a server cannot notice may not change an answer.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from charflow.serving.embedded.core.inference import predict
from charflow.serving.embedded.core.loading import LoadSettings, ServedVersion
from charflow.serving.embedded.core.metrics import Metrics
from charflow.serving.errors import ServingError
from charflow.serving.layout import WARM_UP

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
def short(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version whose warm-up asks once what `answers_of` asks, and not, in seconds, whatever else there is."""
    copy = shutil.copytree(plain, tmp_path_factory.mktemp("short") / "1")
    records = list(tf.data.TFRecordDataset(str(copy / WARM_UP)).as_numpy_iterator())
    first = {
        PredictionLog.FromString(record).predict_log.request.model_spec.signature_name: record for record in records
    }
    with tf.io.TFRecordWriter(str(copy / WARM_UP)) as writer:
        for name in ("serving_default", "next_char"):
            writer.write(first[name])
    return copy


@pytest.fixture(scope="module")
def whole(short: Path) -> dict[str, list]:
    return answers_of(short)


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
    damage: str, short: Path, whole: dict[str, list], tmp_path: Path
) -> None:
    refused = set()
    harmless = [name for name in files_of(short) if Path(name).name in HARMLESS]
    others = [[name] for name in files_of(short) if name not in harmless]
    for number, names in enumerate([harmless, *others]):  # those that change nothing together: to load takes seconds
        copy = tmp_path / str(number) / "1"
        shutil.copytree(short, copy)
        for name in names:
            DAMAGES[damage](copy / name)
        try:
            assert answers_of(copy) == whole, names
        except ServingError:
            refused |= {Path(name).name for name in names}
        shutil.rmtree(copy)
    expected = {Path(name).name for name in files_of(short)} - HARMLESS
    if damage == "missing":
        expected.discard("tf_serving_warmup_requests")  # a version without a warm-up is one that is slow at first
    assert refused == expected


def test_refused_vocabulary_says_what_is_wrong(plain: Path, tmp_path: Path) -> None:
    copy = tmp_path / "1"
    shutil.copytree(plain, copy)
    DAMAGES["its first half"](copy / "assets" / "vocabulary.txt")
    with pytest.raises(ServingError, match=r"^assertion failed: \[vocabulary.txt is not the file that this model"):
        answers_of(copy)
