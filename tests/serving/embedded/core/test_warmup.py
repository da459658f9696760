"""Warm-up files: what is replayed, and what keeps a version from being served."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from charflow.serving import errors
from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.inference import CLASSIFY, REGRESS, Loaded
from charflow.serving.embedded.core.servable import Servable
from charflow.serving.embedded.core.warmup import warm_up

FILE = "assets.extra/tf_serving_warmup_requests"


class Counting:
    """Passes runs on to the servable, and notes what they fetch."""

    def __init__(self, servable: Servable) -> None:
        self._servable = servable
        self.fetches: list[list[str]] = []

    def run(self, feeds: Any, fetches: Any, *, deadline: Deadline = NEVER) -> list[np.ndarray]:
        self.fetches.append(list(fetches))
        return self._servable.run(feeds, fetches, deadline=deadline)


@pytest.fixture(scope="module")
def servable(half: str) -> Iterator[Servable]:
    servable = Servable(half)
    yield servable
    servable.close()


@pytest.fixture
def runner(servable: Servable) -> Counting:
    return Counting(servable)


@pytest.fixture
def loaded(servable: Servable, runner: Counting) -> Loaded:
    return Loaded(servable.signatures, runner)


def write(path: Path, *records: bytes) -> str:
    (path / FILE).parent.mkdir()
    with tf.io.TFRecordWriter(str(path / FILE)) as writer:
        for record in records:
            writer.write(record)
    return str(path)


def log() -> prediction_log_pb2.PredictionLog:
    return prediction_log_pb2.PredictionLog()


def predicting(x: Any = (2.0,), signature: str = "", outputs: tuple[str, ...] = ()) -> bytes:
    proto = log()
    request = proto.predict_log.request
    request.model_spec.signature_name = signature
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(x))
    request.output_filter.extend(outputs)
    return proto.SerializeToString()


def add_examples(request: Any) -> None:
    for value in (1.0, 2.0):
        request.input.example_list.examples.add().features.feature["x"].float_list.value.append(value)


def classifying() -> bytes:
    proto = log()
    proto.classify_log.request.model_spec.signature_name = "classify"
    add_examples(proto.classify_log.request)
    return proto.SerializeToString()


def regressing(signature: str = "regress") -> bytes:
    proto = log()
    proto.regress_log.request.model_spec.signature_name = signature
    add_examples(proto.regress_log.request)
    return proto.SerializeToString()


def inferring() -> bytes:
    proto = log()
    request = proto.multi_inference_log.request
    for name, method in (("regress", REGRESS), ("classify", CLASSIFY)):
        request.tasks.add(method_name=method).model_spec.signature_name = name
    add_examples(request)
    return proto.SerializeToString()


def test_warm_up_without_a_file_does_nothing(loaded: Loaded, runner: Counting, tmp_path: Path) -> None:
    assert warm_up(loaded, str(tmp_path)) == 0
    assert runner.fetches == []


@pytest.mark.parametrize(
    ("record", "fetched"),
    [
        (predicting(), ["y:0"]),
        (predicting(signature="twice", outputs=("z",)), ["y:0"]),
        (regressing(), ["value:0"]),
        (classifying(), ["Tile:0", "concat:0"]),
        (inferring(), ["Tile:0", "concat:0", "value:0"]),
    ],
    ids=["predict", "predict with a filter", "regress", "classify", "multi_inference"],
)
def test_warm_up_replays_each_kind(
    record: bytes, fetched: list[str], loaded: Loaded, runner: Counting, tmp_path: Path
) -> None:
    assert warm_up(loaded, write(tmp_path, record)) == 1
    assert runner.fetches == [fetched]


@pytest.mark.parametrize(("iterations", "runs"), [(1, 2), (3, 6), (0, 2)])
def test_warm_up_repeats_each_record(
    iterations: int, runs: int, loaded: Loaded, runner: Counting, tmp_path: Path
) -> None:
    path = write(tmp_path, predicting(), regressing())
    assert warm_up(loaded, path, iterations=iterations) == 2
    assert runner.fetches == [["y:0"]] * (runs // 2) + [["value:0"]] * (runs // 2)


def test_warm_up_takes_a_thousand_records(loaded: Loaded, runner: Counting, tmp_path: Path) -> None:
    assert warm_up(loaded, write(tmp_path, *[predicting()] * 1000)) == 1000
    assert len(runner.fetches) == 1000


def test_warm_up_refuses_more(loaded: Loaded, tmp_path: Path) -> None:
    message = rf"^Number of warmup records exceeds the maximum \(1000\) at .*/{FILE}$"
    with pytest.raises(errors.InvalidArgument, match=message):
        warm_up(loaded, write(tmp_path, *[predicting()] * 1001))


@pytest.mark.parametrize(
    ("record", "error", "message"),
    [
        (b"\xff\xff no proto", errors.InvalidArgument, "^Failed to parse warmup record from .*requests: "),
        (b"", errors.Unimplemented, "^Unsupported log_type for warmup: None$"),
        (
            prediction_log_pb2.PredictionLog(session_run_log=prediction_log_pb2.SessionRunLog()).SerializeToString(),
            errors.Unimplemented,
            "^Unsupported log_type for warmup: session_run_log$",
        ),
        (
            prediction_log_pb2.PredictionLog(
                predict_streamed_log=prediction_log_pb2.PredictStreamedLog()
            ).SerializeToString(),
            errors.Unimplemented,
            "^Unsupported log_type for warmup: predict_streamed_log$",
        ),
        (predicting([1, 2]), errors.InvalidArgument, "input x must be DT_FLOAT, but the request has DT_INT32"),
        (predicting(signature="sing"), errors.FailedPrecondition, '"sing" not found'),
        (regressing("sing"), errors.InvalidArgument, "No signature was found with the name: sing"),
        (
            prediction_log_pb2.PredictionLog(regress_log=prediction_log_pb2.RegressLog()).SerializeToString(),
            errors.InvalidArgument,
            "Expected one output Tensor|No regression|Input is empty",
        ),
    ],
    ids=["junk", "empty", "session run", "streamed", "wrong type", "no such signature", "no such regressor", "bare"],
)
def test_warm_up_fails_with_a_record_that_cannot_be_replayed(
    record: bytes, error: type[errors.ServingError], message: str, loaded: Loaded, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        warm_up(loaded, write(tmp_path, predicting(), record))


def test_warm_up_fails_with_a_torn_file(loaded: Loaded, tmp_path: Path) -> None:
    path = write(tmp_path, predicting(), predicting())
    file = Path(path, FILE)
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(errors.DataLoss, match="truncated record"):
        warm_up(loaded, path)
