"""The requests that TensorFlow Serving replays before it announces a version."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from charflow.export.session import SessionRunner
from charflow.export.signatures import SIGNATURES
from charflow.model.decoding.samplers import SAMPLERS
from tests.support import USUAL


def requests_of(version_folder: Path) -> list[predict_pb2.PredictRequest]:
    path = version_folder / "assets.extra" / "tf_serving_warmup_requests"
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    assert all(log.WhichOneof("log_type") == "predict_log" for log in logs)
    return [log.predict_log.request for log in logs]


@pytest.fixture(scope="module")
def requests(plain: Path) -> list[predict_pb2.PredictRequest]:
    return requests_of(plain)


def test_warmup_has_every_signature(requests: list[predict_pb2.PredictRequest]) -> None:
    assert {request.model_spec.signature_name for request in requests} == set(SIGNATURES)


def test_warmup_has_no_more_requests_than_servers_replay(requests: list[predict_pb2.PredictRequest]) -> None:
    assert len(requests) <= 1000


def test_warmup_names_the_model_by_its_base_folder(requests: list[predict_pb2.PredictRequest]) -> None:
    assert {request.model_spec.name for request in requests} == {"plain"}


def test_warmup_gives_every_input_one_row_of_its_dtype(
    requests: list[predict_pb2.PredictRequest], session: SessionRunner
) -> None:
    for request in requests:
        wanted = session.signatures[request.model_spec.signature_name].inputs
        assert set(request.inputs) == set(wanted)
        for name, value in request.inputs.items():
            assert value.dtype == wanted[name].dtype, name
            assert value.tensor_shape.dim[0].size == 1, name


@pytest.mark.parametrize("name", ["generate", "stream"])
def test_warmup_samples_without_and_with_filters(requests: list[predict_pb2.PredictRequest], name: str) -> None:
    off = {sampler.name: sampler.off for sampler in SAMPLERS}
    samplers = [
        {sampler: tf.make_ndarray(request.inputs[sampler]).item() for sampler in off}
        for request in requests
        if request.model_spec.signature_name == name
    ]
    assert samplers == [off, pytest.approx(USUAL)]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["plain", "windowed"])
def test_warmup_replays(version: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(version)
    session = SessionRunner(folder)
    for logged in requests_of(folder):
        inputs = {name: tf.make_ndarray(value) for name, value in logged.inputs.items()}
        outputs = session(logged.model_spec.signature_name, inputs)
        assert all(np.shape(value)[0] == 1 for value in outputs.values())


def test_warmup_uses_the_temperature_of_the_export(windowed: Path) -> None:
    temperatures = [
        tf.make_ndarray(request.inputs["temperature"]).item()
        for request in requests_of(windowed)
        if "temperature" in request.inputs
    ]
    assert temperatures == pytest.approx([0.9] * 4)
