"""Versions come and go under a server that answers all the time."""

import random
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from charflow.serving import Client
from tests.serving.processes.server_process import Load, ServerProcess, starting, until

NAMES = ["swapped", "busy", "corrupt", "warmed", "vanishing", "emptied", "latest_two", "tick"]  # tick is looked at last


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """A base path for each test, with version 1 of a half-plus-two; `busy` is slow."""
    folder = tmp_path_factory.mktemp("shelf")
    for name in NAMES:
        source = models / ("slow/1" if name == "busy" else "half_plus_two/00000123")
        shutil.copytree(source, folder / name / "1")
    return folder


@pytest.fixture(scope="module")
def watching(binary: str, shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that looks for new versions every second."""
    folder = tmp_path_factory.mktemp("watching")
    configs = [
        f'config {{ name: "{name}" base_path: "{shelf / name}" model_platform: "tensorflow" '
        f"model_version_policy {{ latest {{ num_versions: {2 if name == 'latest_two' else 1} }} }} }}"
        for name in NAMES
    ]
    (folder / "models.config").write_text(f"model_config_list {{ {' '.join(configs)} }}")
    with starting(folder, binary) as start:
        yield start(model_config_file=folder / "models.config", max_num_load_retries=0, load_retry_interval_micros=0)


@pytest.fixture
def wait_polls(watching: ServerProcess, shelf: Path, publish: Callable[..., Path]) -> Callable[[], None]:
    """Waits until the server has certainly looked at every base path once more."""

    def wait() -> None:
        for _ in range(2):  # the first look may have begun before
            version = max(watching.states("tick")) + 1
            publish(shelf / "tick", version)
            until(lambda n=version: watching.states("tick").get(n) == "AVAILABLE", "the server looks for versions")

    return wait


def test_new_version_takes_over(watching: ServerProcess, shelf: Path, publish: Callable[..., Path]) -> None:
    base = shelf / "swapped"
    assert watching.ask("swapped", {"x": [1.0]}) == {"y": [2.5]}
    assert watching.states("swapped") == {1: "AVAILABLE"}
    publish(base, 2, of="mirrored/1")
    watching.wait_states("swapped", {2: "AVAILABLE", 1: "END"})
    assert watching.ask("swapped", {"x": [1.0]}) == {"y": [4.0]}
    with pytest.raises(grpc.RpcError, match=r"Servable not found for request: Specific\(swapped, 1\)"):
        watching.ask("swapped", {"x": [1.0]}, version=1)
    shutil.rmtree(base / "2")  # the publisher takes it back
    watching.wait_states("swapped", {2: "END", 1: "AVAILABLE"})
    assert watching.ask("swapped", {"x": [1.0]}) == {"y": [2.5]}


def test_call_that_runs_ends_on_its_version(watching: ServerProcess, shelf: Path, publish: Callable[..., Path]) -> None:
    answers: list[predict_pb2.PredictResponse] = []
    call = threading.Thread(target=lambda: answers.append(watching.predict("busy", {"seconds": [3.5]})))
    call.start()
    publish(shelf / "busy", 2, of="slow/1")
    until(lambda: watching.states("busy") == {2: "AVAILABLE", 1: "UNLOADING"}, "the new version is there")
    assert watching.predict("busy", {"seconds": [0.0]}).model_spec.version.value == 2
    assert not answers
    call.join()
    assert (answers[0].model_spec.version.value, list(answers[0].outputs["seconds"].float_val)) == (1, [3.5])
    watching.wait_states("busy", {2: "AVAILABLE", 1: "END"})


def test_corrupt_version_leaves_the_old_one(watching: ServerProcess, shelf: Path, publish: Callable[..., Path]) -> None:
    publish(shelf / "corrupt", 2, corrupt=True)
    watching.wait_states("corrupt", {2: "END", 1: "AVAILABLE"})
    failed, kept = watching.status("corrupt")
    assert failed[2], "the error is listed"
    assert kept == (1, "AVAILABLE", "")
    assert watching.predict("corrupt", {"x": [1.0]}).model_spec.version.value == 1
    listed = watching.http.get("/v1/models/corrupt").json()["model_version_status"]
    assert [(found["version"], found["state"]) for found in listed] == [("2", "END"), ("1", "AVAILABLE")]
    assert listed[0]["status"]["error_code"] != "OK"
    assert listed[0]["status"]["error_message"] == failed[2]
    publish(shelf / "corrupt", 3)
    watching.wait_states("corrupt", {3: "AVAILABLE", 2: "END", 1: "END"})


@pytest.mark.parametrize("fault", ["a record that fails", "a file that is no record"])
def test_warmup_that_fails_keeps_the_version_out(
    watching: ServerProcess, shelf: Path, models: Path, fault: str
) -> None:
    version = max(watching.states("warmed")) + 1
    beside = shelf / "warmed" / ".new"
    shutil.copytree(models / "half_plus_two" / "00000123", beside)
    file = beside / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir()
    if fault == "a file that is no record":
        file.write_bytes(b"nothing of the kind")
    else:
        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = "missing"
        log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
        with tf.io.TFRecordWriter(str(file)) as writer:
            writer.write(log.SerializeToString())
    beside.rename(shelf / "warmed" / str(version))
    until(lambda: watching.states("warmed").get(version) == "END", "the version is given up")
    failed = {number: error for number, _, error in watching.status("warmed")}[version]
    assert ("missing" in failed) if fault == "a record that fails" else failed
    assert watching.predict("warmed", {"x": [1.0]}).model_spec.version.value == 1


def test_base_path_that_vanishes_unloads_nothing(
    watching: ServerProcess, shelf: Path, publish: Callable[..., Path], wait_polls: Callable[[], None]
) -> None:
    base = shelf / "vanishing"
    base.rename(shelf / "elsewhere")
    wait_polls()
    assert watching.states("vanishing") == {1: "AVAILABLE"}
    assert watching.ask("vanishing", {"x": [1.0]}) == {"y": [2.5]}
    (shelf / "elsewhere").rename(base)
    publish(base, 2)
    watching.wait_states("vanishing", {2: "AVAILABLE", 1: "END"})


def test_base_path_that_is_emptied_unloads(watching: ServerProcess, shelf: Path, publish: Callable[..., Path]) -> None:
    shutil.rmtree(shelf / "emptied" / "1")
    watching.wait_states("emptied", {1: "END"})
    with pytest.raises(grpc.RpcError, match=r"Servable not found for request: Latest\(emptied\)"):
        watching.ask("emptied", {"x": [1.0]})
    publish(shelf / "emptied", 1)
    watching.wait_states("emptied", {1: "AVAILABLE"})


def test_latest_two_keeps_two(watching: ServerProcess, shelf: Path, publish: Callable[..., Path]) -> None:
    publish(shelf / "latest_two", 5)
    watching.wait_states("latest_two", {5: "AVAILABLE", 1: "AVAILABLE"})
    publish(shelf / "latest_two", 3)
    watching.wait_states("latest_two", {5: "AVAILABLE", 3: "AVAILABLE", 1: "END"})
    assert watching.predict("latest_two", {"x": [1.0]}).model_spec.version.value == 5
    assert watching.predict("latest_two", {"x": [1.0]}, version=3).model_spec.version.value == 3


def test_swap_under_load_loses_no_request(watching: ServerProcess, shelf: Path, publish: Callable[..., Path]) -> None:
    half, line = 2.5, 4.0
    base = shelf / "swapped"

    def over_grpc() -> float:
        return watching.ask("swapped", {"x": [1.0]})["y"][0]

    def over_rest() -> float:
        response = watching.post("swapped:predict", {"instances": [1.0]})
        assert response.status_code == 200, response.text
        return response.json()["predictions"][0]

    def batch_over_rest() -> float:
        rows = [1.0] * random.randint(1, 50)
        (answer,) = set(watching.columns("swapped", {"x": rows}))  # all rows are of one version
        return answer

    def metadata() -> float:
        with Client(watching.grpc, model="swapped", retries=0) as client:
            assert client.metadata().signatures
        return over_grpc()

    first = max(watching.states("swapped")) + 1
    with Load(over_grpc, over_rest, batch_over_rest, metadata, clients=8) as load:
        for version, of, corrupt in ((first, "mirrored/1", False), (first + 1, "keras/1", True)):
            publish(base, version, of=of, corrupt=corrupt)
            state = "END" if corrupt else "AVAILABLE"
            until(lambda n=version, s=state: watching.states("swapped").get(n) == s, f"version {version} is {state}")
        assert line in load.answers[-8:]
        publish(base, first + 2)
        until(lambda: watching.states("swapped").get(first) == "END", "the last version has taken over")
        done = len(load.answers)
        until(lambda: len(load.answers) > done + 50 or load.failures, "the load goes on")
    assert load.failures == []
    assert set(load.answers) == {half, line}
    assert load.answers[-8:] == [half] * 8
    assert len(load.answers) > 200
