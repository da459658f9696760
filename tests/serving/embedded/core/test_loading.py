"""Versions made ready: loaded, batched, warmed up, and reported."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis import prediction_log_pb2

from charflow.serving import errors
from charflow.serving.embedded.core import loading
from charflow.serving.embedded.core.batching_settings import BatchingSettings
from charflow.serving.embedded.core.inference import predict, regress
from charflow.serving.embedded.core.loading import LoadSettings, ServedVersion
from charflow.serving.embedded.core.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def load(metrics: Metrics) -> Iterator[Callable[..., ServedVersion]]:
    made: list[ServedVersion] = []

    def load(path: str, **given: Any) -> ServedVersion:
        made.append(ServedVersion(path, LoadSettings(**given), metrics))
        return made[-1]

    yield load
    for version in made:
        version.close()


@pytest.fixture
def warm(half: str, tmp_path: Path) -> Callable[[Any], str]:
    """Copies `half` with a warm-up file of two records that feed this x."""

    def warm(x: Any) -> str:
        path = copytree(half, tmp_path / "1")
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto(x))
        (path / "assets.extra").mkdir()
        with tf.io.TFRecordWriter(str(path / "assets.extra" / "tf_serving_warmup_requests")) as writer:
            for _ in range(2):
                writer.write(log.SerializeToString())
        return str(path)

    return warm


def ask(version: ServedVersion, *x: float) -> list[float]:
    _, outputs = predict(version.loaded, "", lambda _: {"x": np.float32(x)})
    return outputs["y"].tolist()


def samples(metrics: Metrics, name: str) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in metrics.text().decode().splitlines() if line.startswith(f":{name}"))
    return {sample: float(value) for sample, value in lines}


@pytest.mark.parametrize("batching", [None, BatchingSettings()], ids=["alone", "batched"])
def test_version_answers(batching: BatchingSettings | None, half: str, load: Callable[..., ServedVersion]) -> None:
    version = load(half, batching=batching)
    assert ask(version, 2, 4) == [3, 4]
    assert set(version.loaded.signature_defs) == set(version.loaded.signatures)


def test_batched_version_joins_requests_and_reports_batches(
    half: str, load: Callable[..., ServedVersion], metrics: Metrics
) -> None:
    version = load(half, batching=BatchingSettings(max_batch_size=6, batch_timeout_micros=10_000_000))
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda x: ask(version, x, x), (2, 4, 6)))
    assert answers == [[3, 3], [4, 4], [5, 5]]
    batches = ":tensorflow:serving:batching_session:"
    assert samples(metrics, batches[1:] + "wrapped_run_count") == {batches + "wrapped_run_count": 1}
    assert samples(metrics, batches[1:] + "processed_batch_size_sum") == {
        batches + 'processed_batch_size_sum{thread_pool_name="batch_threads"}': 6
    }


def test_batched_version_runs_examples_and_filtered_outputs(half: str, load: Callable[..., ServedVersion]) -> None:
    version = load(half, batching=BatchingSettings())
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(2)
    assert regress(version.loaded, "regress", [example.SerializeToString()]) == ("regress", [3.0])
    _, outputs = predict(version.loaded, "twice", lambda _: {"x": np.float32([[2]])}, outputs=["all"])
    assert outputs["all"] == 3


def test_batched_scalar_output_fails_the_batch(half: str, load: Callable[..., ServedVersion]) -> None:
    with pytest.raises(errors.FailedPrecondition, match=r"^Batched output tensor"):
        predict(load(half, batching=BatchingSettings()).loaded, "twice", lambda _: {"x": np.float32([[2]])})


def test_batched_kernel_error_keeps_its_code(half: str, load: Callable[..., ServedVersion]) -> None:
    x = np.ones([2, 3], np.float32)
    with pytest.raises(errors.InvalidArgument, match="Matrix size-incompatible"):
        predict(load(half, batching=BatchingSettings()).loaded, "matmul", lambda _: {"p": x, "q": x})


@pytest.mark.parametrize("times", [1, 3], ids=["once", "three times"])
def test_version_is_warmed_up_and_reports_it(
    times: int, warm: Callable[[Any], str], load: Callable[..., ServedVersion], metrics: Metrics
) -> None:
    path = warm([2.0])
    load(path, warmup=times)
    labels = f'{{model_path="{path}",status="OK"}}'
    name = "tensorflow:serving:model_warmup_records_read"
    assert samples(metrics, name) == {f":{name}{labels}": 2}
    name = "tensorflow:serving:model_warmup_latency_count"
    assert samples(metrics, name) == {f":{name}{labels}": 1}


def test_version_without_a_warm_up_file_reports_none(
    half: str, load: Callable[..., ServedVersion], metrics: Metrics
) -> None:
    load(half)
    assert samples(metrics, "tensorflow:serving:model_warmup_latency_count") == {}


def test_failing_warm_up_fails_the_load_and_closes_the_version(
    warm: Callable[[Any], str],
    load: Callable[..., ServedVersion],
    metrics: Metrics,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[object] = []
    close = loading.Servable.close
    monkeypatch.setattr(loading.Servable, "close", lambda servable: (closed.append(servable), close(servable)))
    path = warm([2])
    with pytest.raises(errors.InvalidArgument, match="input x must be DT_FLOAT, but the request has DT_INT32"):
        load(path, batching=BatchingSettings())
    assert len(closed) == 1
    name = "tensorflow:serving:model_warmup_latency_count"
    assert samples(metrics, name) == {f':{name}{{model_path="{path}",status="INVALID_ARGUMENT"}}': 1}


def test_warm_up_can_be_left_out(warm: Callable[[Any], str], load: Callable[..., ServedVersion]) -> None:
    assert ask(load(warm([2]), warmup=0), 2) == [3]


def test_attempts_to_load_are_reported(
    half: str, tmp_path: Path, load: Callable[..., ServedVersion], metrics: Metrics
) -> None:
    load(half)
    for _ in range(2):
        with pytest.raises(errors.NotFound):
            load(str(tmp_path))
    name = "tensorflow:cc:saved_model:load_attempt_count"
    assert samples(metrics, name) == {
        f':{name}{{model_path="{half}",status="success"}}': 1,
        f':{name}{{model_path="{tmp_path}",status="fail"}}': 2,
    }


def test_settings_reach_the_session(half: str, load: Callable[..., ServedVersion]) -> None:
    with pytest.raises(errors.NotFound, match=r"matching supplied tags: \{ gpu \}"):
        load(half, tags=("gpu",))
    version = load(half, session=config_pb2.ConfigProto(intra_op_parallelism_threads=1))
    assert version._servable._session.session._config.intra_op_parallelism_threads == 1
