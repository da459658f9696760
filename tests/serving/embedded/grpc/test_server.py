"""The gRPC door through a real channel: codes, phrases and protos, and how it takes its load."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from charflow.serving import errors
from charflow.serving.embedded.core.core import Core
from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.inference import CLASSIFY, REGRESS
from charflow.serving.embedded.core.loading import LoadSettings, ServedVersion
from charflow.serving.embedded.core.metrics import Metrics
from charflow.serving.embedded.core.models import Models
from charflow.serving.embedded.core.spec import Answer
from charflow.serving.embedded.grpc import arrivals as grpc_arrivals
from charflow.serving.embedded.grpc.server import GrpcServer

StatusCode = grpc.StatusCode
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Door:
    """A server that listens, and a channel to it."""

    def __init__(self, core: Any, socket: str, **options: Any) -> None:
        given = {"threads": 4, "max_queued": 100, "max_request_bytes": 2**31 - 1, **options}
        self.server = GrpcServer(core, **given)
        self.server.listen(f"unix:{socket}", None)
        self.server.start()
        self.channel = grpc.insecure_channel(f"unix:{socket}", UNLIMITED)
        self.predict = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def close(self) -> None:
        self.channel.close()
        self.server.stop(0).wait()


def fill(request: Any, base: str) -> None:
    request.model_config_list.config.add(name="half", base_path=base, model_platform="tensorflow")


@pytest.fixture(scope="module")
def core(half_base: str, loop: str, shout: str) -> Iterator[Core]:
    metrics = Metrics()
    models = Models(lambda _, path: ServedVersion(path, LoadSettings(), metrics))
    core = Core(models, metrics)
    config = model_management_pb2.ReloadConfigRequest().config
    fill(config, half_base)
    for path in (loop, shout):
        base = Path(path).parent
        config.model_config_list.config.add(name=base.name, base_path=str(base), model_platform="tensorflow")
    core.configuration.reload(config, deadline=Deadline.after(30))
    yield core
    models.close()


@pytest.fixture(scope="module")
def door(core: Core, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    door = Door(core, str(tmp_path_factory.mktemp("s") / "s"), healthcheck=True)
    yield door
    door.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Door]]:
    """Opens doors of a test's own."""
    doors: list[Door] = []

    def opened(core: Any, **options: Any) -> Door:
        doors.append(Door(core, str(tmp_path / f"s{len(doors)}"), **options))
        return doors[-1]

    yield opened
    for door in doors:
        door.close()


def predicting(
    name: str = "half",
    signature: str = "",
    version: int | None = None,
    label: str = "",
    outputs: Any = (),
    **inputs: Any,
) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(output_filter=outputs)
    specify(request.model_spec, name, signature)
    if version is not None:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(
            value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
        )
    return request


def specify(spec: Any, name: str = "half", signature: str = "") -> None:
    spec.name, spec.signature_name = name, signature


def with_examples(request: Any, signature: str = "", *values: float, name: str = "half") -> Any:
    specify(request.model_spec, name, signature)
    add_examples(request.input, *values)
    return request


def add_examples(given: Any, *values: float) -> None:
    given.example_list.SetInParent()
    for value in values:
        given.example_list.examples.add().features.feature["x"].float_list.value.append(value)


def failure(call: Callable[..., Any], request: Any, **options: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, **{"timeout": 20, **options})
    return caught.value.code(), caught.value.details()


def test_predict_answers_in_typed_fields_with_the_model_that_answered(door: Door) -> None:
    answer = door.predict.Predict(predicting(x=[[2.0], [4.0]]))
    assert (answer.model_spec.name, answer.model_spec.signature_name) == ("half", "serving_default")
    assert answer.model_spec.version.value == 1
    assert list(answer.outputs["y"].float_val) == [3, 4]
    assert [dim.size for dim in answer.outputs["y"].tensor_shape.dim] == [2, 1]
    assert answer.outputs["y"].tensor_content == b""


def test_predict_takes_version_signature_and_filter(door: Door) -> None:
    answer = door.predict.Predict(predicting(signature="twice", version=1, outputs=["z", "all"], x=[[2.0], [4.0]]))
    assert sorted(answer.outputs) == ["all", "z"]
    assert answer.outputs["all"].float_val[:] == [7]
    assert not answer.outputs["all"].tensor_shape.dim
    assert answer.model_spec.signature_name == "twice"


def test_predict_answers_texts_and_scalars(door: Door) -> None:
    answer = door.predict.Predict(predicting("shout", text=["да", "no"]))
    assert list(answer.outputs["loud"].string_val) == ["ДА".encode(), b"NO"]
    assert list(answer.outputs["joined"].string_val) == ["ДА NO".encode()]
    assert list(answer.outputs["count"].int_val) == [2]


def test_predict_takes_a_rank_the_signature_does_not_have(door: Door) -> None:
    assert list(door.predict.Predict(predicting(x=[2.0, 4.0, 6.0])).outputs["y"].float_val) == [3, 4, 5]


def test_predict_takes_defaults(door: Door) -> None:
    assert list(door.predict.Predict(predicting(signature="product", p=2.0)).outputs["pq"].float_val) == [20]
    assert list(door.predict.Predict(predicting(signature="product", p=2.0, q=3.0)).outputs["pq"].float_val) == [6]


def test_predict_answers_in_raw_bytes_where_asked(core: Core, opened: Callable[..., Door]) -> None:
    door = opened(core, as_content=True)
    output = door.predict.Predict(predicting(x=[[2.0], [4.0]])).outputs["y"]
    assert (output.tensor_content, list(output.float_val)) == (np.float32([3, 4]).tobytes(), [])
    assert list(door.predict.Predict(predicting("shout", text=["a"])).outputs["loud"].string_val) == [b"A"]


UNNAMED = predict_pb2.PredictRequest()
UNNAMED.model_spec.signature_name = "s"
BROKEN = tf.make_tensor_proto([1.0])
BROKEN.tensor_shape.dim[0].size = -1


@pytest.mark.parametrize(
    ("request_", "code", "phrase"),
    [
        (predict_pb2.PredictRequest(), StatusCode.INVALID_ARGUMENT, "Missing ModelSpec"),
        (UNNAMED, StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified"),
        (predicting("other", x=[1.0]), StatusCode.NOT_FOUND, "Servable not found for request: Latest(other)"),
        (predicting(version=7, x=[1.0]), StatusCode.NOT_FOUND, "Servable not found for request: Specific(half, 7)"),
        (predicting(label="gold", x=[1.0]), StatusCode.INVALID_ARGUMENT, "Unrecognized servable version label: gold"),
        (
            predicting(signature="sing", x=[1.0]),
            StatusCode.FAILED_PRECONDITION,
            'Serving signature key "sing" not found.',
        ),
        (predicting(), StatusCode.INVALID_ARGUMENT, "Sent extra: {}. Missing but required: {x}."),
        (predicting(x=[1.0], z=[1.0]), StatusCode.INVALID_ARGUMENT, "Sent extra: {z}. Missing but required: {}."),
        (predicting(z=[1.0]), StatusCode.INVALID_ARGUMENT, "input tensor alias not found in signature: z."),
        (predicting(x=BROKEN), StatusCode.INVALID_ARGUMENT, "tensor parsing error: x: "),
        (predicting(x=[1]), StatusCode.INVALID_ARGUMENT, "input x must be DT_FLOAT, but the request has DT_INT32."),
        (predicting(x=["1"]), StatusCode.INVALID_ARGUMENT, "but the request has DT_STRING."),
        (
            predicting(x=[1.0], outputs=["w"]),
            StatusCode.INVALID_ARGUMENT,
            "output tensor alias not found in signature: w Outputs expected to be in the set {y}.",
        ),
        (predicting(x=[1.0], outputs=["y", "y"]), StatusCode.INVALID_ARGUMENT, "duplicate output tensor alias: y"),
        (
            predicting(signature="matmul", p=[[1.0, 2.0]], q=[[1.0, 2.0]]),
            StatusCode.INVALID_ARGUMENT,
            "Matrix size-incompatible",
        ),
    ],
    ids=[
        "no spec",
        "no name",
        "model",
        "version",
        "label",
        "signature",
        "input missing",
        "too many inputs",
        "wrong name",
        "no tensor",
        "wrong dtype",
        "text for number",
        "unknown output",
        "doubled output",
        "kernel",
    ],
)
def test_predict_refuses(request_: Any, code: grpc.StatusCode, phrase: str, door: Door) -> None:
    found, details = failure(door.predict.Predict, request_)
    assert found == code
    assert phrase in details


def test_deadline_of_the_caller_ends_the_run(door: Door, core: Core) -> None:
    began = time.monotonic()
    code, _ = failure(door.predict.Predict, predicting("loop", n=np.int64([10**12])), timeout=0.3)
    assert code == StatusCode.DEADLINE_EXCEEDED
    answers = [door.predict.Predict(predicting(x=[2.0]), timeout=10) for _ in range(8)]  # no thread is held any more
    assert len(answers) == 8
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_messages_may_be_larger_than_4_mb(door: Door) -> None:
    x = np.arange(3 * 2**20, dtype=np.float32)  # 12 MB
    output = door.predict.Predict(predicting(x=x)).outputs["y"]
    np.testing.assert_array_equal(tf.make_ndarray(output), x / 2 + 2)


@pytest.mark.slow
def test_message_over_the_limit_is_refused(core: Core, opened: Callable[..., Door]) -> None:
    door = opened(core, max_request_bytes=1000)
    code, _ = failure(door.predict.Predict, predicting(x=np.ones([1000], np.float32)))
    assert code == StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("letter", ["m", "%", "д", "語", "😀", "\n"], ids=ascii)
def test_long_messages_are_cut_so_that_the_code_arrives(letter: str, door: Door) -> None:
    code, details = failure(door.predict.Predict, predicting(signature=letter * 20_000, x=[1.0]))
    assert code == StatusCode.FAILED_PRECONDITION
    assert details.startswith('Serving signature key "' + letter * 100)


def test_classify_answers(door: Door) -> None:
    answer = door.predict.Classify(with_examples(classification_pb2.ClassificationRequest(), "classify", 2, 4))
    assert [[(c.label, c.score) for c in row.classes] for row in answer.result.classifications] == [
        [("plus", 3), ("minus", -3)],
        [("plus", 4), ("minus", -4)],
    ]
    spec = answer.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("half", "classify", 1)


def test_regress_answers(door: Door) -> None:
    answer = door.predict.Regress(with_examples(regression_pb2.RegressionRequest(), "regress", 2, 4))
    assert [found.value for found in answer.result.regressions] == [3, 4]
    assert (answer.model_spec.signature_name, answer.model_spec.version.value) == ("regress", 1)


@pytest.mark.parametrize(
    ("method", "request_type"),
    [("Classify", classification_pb2.ClassificationRequest), ("Regress", regression_pb2.RegressionRequest)],
)
@pytest.mark.parametrize(
    ("signature", "values", "name", "code", "phrase"),
    [
        ("sing", [1], "half", StatusCode.INVALID_ARGUMENT, "No signature was found with the name: sing"),
        ("", [1], "half", StatusCode.INVALID_ARGUMENT, "inputs found in signature serving_default"),
        ("{}", [], "half", StatusCode.INVALID_ARGUMENT, "Input is empty."),
        ("{}", [1], "other", StatusCode.NOT_FOUND, "Servable not found for request: Latest(other)"),
        ("{}", [1], "", StatusCode.INVALID_ARGUMENT, "ModelSpec"),
    ],
    ids=["signature", "another kind", "no examples", "model", "no name"],
)
def test_classify_and_regress_refuse(
    signature: str,
    values: list[float],
    name: str,
    code: grpc.StatusCode,
    phrase: str,
    method: str,
    request_type: Any,
    door: Door,
) -> None:
    request = with_examples(request_type(), signature.format(method.lower()), *values, name=name)
    found, details = failure(getattr(door.predict, method), request)
    assert found == code
    assert phrase in details


def inferring(*tasks: tuple[str, str, str]) -> inference_pb2.MultiInferenceRequest:
    request = inference_pb2.MultiInferenceRequest()
    add_examples(request.input, 2)
    for name, signature, method in tasks:
        specify(request.tasks.add(method_name=method).model_spec, name, signature)
    return request


def test_multi_inference_answers_each_task(door: Door) -> None:
    answer = door.predict.MultiInference(inferring(("half", "regress", REGRESS), ("half", "classify", CLASSIFY)))
    one, two = answer.results
    assert [found.value for found in one.regression_result.regressions] == [3]
    assert two.classification_result.classifications[0].classes[1].label == "minus"
    assert [(found.model_spec.signature_name, found.model_spec.version.value) for found in answer.results] == [
        ("regress", 1),
        ("classify", 1),
    ]


@pytest.mark.parametrize(
    ("tasks", "code", "phrase"),
    [
        ([], StatusCode.INVALID_ARGUMENT, "no tasks"),
        ([("", "regress", REGRESS)], StatusCode.INVALID_ARGUMENT, "ModelSpec"),
        (
            [("half", "regress", REGRESS), ("other", "classify", CLASSIFY)],
            StatusCode.INVALID_ARGUMENT,
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            [("half", "regress", REGRESS), ("half", "regress", REGRESS)],
            StatusCode.INVALID_ARGUMENT,
            "Duplicate evaluation of signature: regress",
        ),
        (
            [("half", "sing", REGRESS)],
            StatusCode.INVALID_ARGUMENT,
            "Requested signature not found in model graph: sing",
        ),
        ([("half", "regress", "predict")], StatusCode.UNIMPLEMENTED, "Unsupported signature method_name: predict"),
        ([("other", "regress", REGRESS)], StatusCode.NOT_FOUND, "Latest(other)"),
    ],
    ids=["none", "no name", "two models", "twice", "signature", "method", "model"],
)
def test_multi_inference_refuses(tasks: Any, code: grpc.StatusCode, phrase: str, door: Door) -> None:
    found, details = failure(door.predict.MultiInference, inferring(*tasks))
    assert found == code
    assert phrase in details


def metadata(*fields: str, name: str = "half") -> get_model_metadata_pb2.GetModelMetadataRequest:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    specify(request.model_spec, name)
    return request


def test_metadata_gives_the_signatures(door: Door) -> None:
    answer = door.predict.GetModelMetadata(metadata("signature_def"))
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("half", 1)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert list(answer.metadata) == ["signature_def"]
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["serving_default"].inputs["x"].name == "x:0"
    assert signatures.signature_def["product"].defaults["q"].float_val[:] == [10]


@pytest.mark.parametrize(
    ("request_", "code", "phrase"),
    [
        (metadata(), StatusCode.INVALID_ARGUMENT, "must specify at least one metadata_field"),
        (metadata("signature_def", "weights"), StatusCode.INVALID_ARGUMENT, "Metadata field weights is not supported"),
        (metadata("signature_def", name="other"), StatusCode.NOT_FOUND, "Servable not found for request"),
        (metadata("signature_def", name=""), StatusCode.INVALID_ARGUMENT, "ModelSpec"),
    ],
    ids=["no field", "another field", "model", "no name"],
)
def test_metadata_refuses(request_: Any, code: grpc.StatusCode, phrase: str, door: Door) -> None:
    found, details = failure(door.predict.GetModelMetadata, request_)
    assert found == code
    assert phrase in details


def test_status_tells_the_state_by_its_number(door: Door) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "half"
    (status,) = door.models.GetModelStatus(request).model_version_status
    assert (status.version, status.state, status.status.error_code, status.status.error_message) == (1, 30, 0, "")
    request.model_spec.version.value = 1
    assert len(door.models.GetModelStatus(request).model_version_status) == 1


@pytest.mark.parametrize(
    ("name", "version", "code", "phrase"),
    [
        ("other", None, StatusCode.NOT_FOUND, "Could not find any versions of model other"),
        ("half", 7, StatusCode.NOT_FOUND, "Could not find version 7 of model half"),
        (None, None, StatusCode.INVALID_ARGUMENT, "Missing ModelSpec"),
    ],
    ids=["model", "version", "no spec"],
)
def test_status_of_the_unknown(
    name: str | None, version: int | None, code: grpc.StatusCode, phrase: str, door: Door
) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    if name:
        request.model_spec.name = name
    if version:
        request.model_spec.version.value = version
    found, details = failure(door.models.GetModelStatus, request)
    assert found == code
    assert phrase in details


def test_reload_changes_the_models_and_status_keeps_the_error(
    half_base: str, tmp_path: Path, opened: Callable[..., Door]
) -> None:
    metrics = Metrics()
    models = Models(lambda _, path: ServedVersion(path, LoadSettings(), metrics), max_retries=0)
    door = opened(Core(models, metrics))
    request = model_management_pb2.ReloadConfigRequest()
    fill(request.config, half_base)
    answer = door.models.HandleReloadConfigRequest(request, timeout=20)
    assert (answer.HasField("status"), answer.status.error_code) == (True, 0)
    assert door.predict.Predict(predicting(x=[2.0])).outputs["y"].float_val[:] == [3]

    (tmp_path / "b" / "5").mkdir(parents=True)
    request.config.model_config_list.config.add(
        name="broken", base_path=str(tmp_path / "b"), model_platform="tensorflow"
    )
    _, details = failure(door.models.HandleReloadConfigRequest, request)
    assert "1 model(s) did not become available: {name: broken version: 5 due to error: NOT_FOUND" in details
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "broken"
    (status,) = door.models.GetModelStatus(asked).model_version_status
    assert (status.version, status.state, status.status.error_code) == (5, 50, 5)
    assert "SavedModel file does not exist" in status.status.error_message

    fill(request.config, half_base)
    code, details = failure(door.models.HandleReloadConfigRequest, request)
    assert code == StatusCode.INVALID_ARGUMENT
    assert "Illegal to list model half multiple times in config list" in details
    code, details = failure(door.models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest())
    assert code == StatusCode.INVALID_ARGUMENT
    assert "Only ModelConfigList is currently supported" in details

    del request.config.model_config_list.config[:]
    request.config.model_config_list.SetInParent()
    door.models.HandleReloadConfigRequest(request, timeout=20)
    end = time.monotonic() + 10
    while models.available("half"):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert failure(door.predict.Predict, predicting(x=[2.0]))[0] == StatusCode.NOT_FOUND
    models.close()


def test_health_is_told_where_it_is_on(door: Door, core: Core, opened: Callable[..., Door]) -> None:
    check = health_pb2_grpc.HealthStub(door.channel).Check(health_pb2.HealthCheckRequest())
    assert check.status == health_pb2.HealthCheckResponse.SERVING
    without = health_pb2_grpc.HealthStub(opened(core).channel)
    assert failure(without.Check, health_pb2.HealthCheckRequest())[0] == StatusCode.UNIMPLEMENTED


def test_reflection_lists_the_services(door: Door) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(door.channel)
    (answer,) = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10)
    assert sorted(service.name for service in answer.list_services_response.service) == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "tensorflow.serving.ModelService",
        "tensorflow.serving.PredictionService",
    ]


def test_listen_refuses_an_address_that_is_taken(core: Core) -> None:
    def server() -> GrpcServer:
        return GrpcServer(core, threads=1, max_queued=1, max_request_bytes=1000)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match=f"^gRPC cannot listen on {address}: "):
            server().listen(address, None)
    free = server()
    free.listen(address, None)
    free.start()
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
    free.stop(0)


class Gate:
    """A core whose Predict waits at a gate."""

    def __init__(self) -> None:
        self.gate, self.entered, self.calls = threading.Event(), threading.Semaphore(0), 0
        self.deadlines: list[Deadline] = []
        self.failure: Exception | None = None
        self.refused: list[str] = []

    def count_refused(self, name: str, error: errors.ServingError, *, api: str) -> None:
        self.refused.append(error.code)

    def predict(self, spec: Any, feed: Any, *, outputs: Any, deadline: Deadline, api: str) -> Answer:
        assert api == "GRPC"
        self.calls += 1
        self.deadlines.append(deadline)
        self.entered.release()
        assert self.gate.wait(20)
        if self.failure:
            raise self.failure
        return Answer(outputs={}, version=1, signature="s")


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.gate.set()


def test_deadline_is_handed_on_and_none_without_one(gate: Gate, opened: Callable[..., Door]) -> None:
    gate.gate.set()
    door = opened(gate)
    door.predict.Predict(predicting())
    door.predict.Predict(predicting(), timeout=50)
    assert gate.deadlines[0] == NEVER
    assert gate.deadlines[1].left() == pytest.approx(50, abs=5)


@pytest.mark.parametrize(
    ("error", "code", "details"),
    [
        (errors.Unavailable("full"), StatusCode.UNAVAILABLE, "full"),
        (errors.ServingError("odd"), StatusCode.UNKNOWN, "odd"),
        (ZeroDivisionError("secret"), StatusCode.INTERNAL, "Internal error: the server's log says more"),
    ],
    ids=["unavailable", "unknown", "bug"],
)
def test_errors_become_statuses(
    error: Exception, code: grpc.StatusCode, details: str, gate: Gate, opened: Callable[..., Door]
) -> None:
    gate.failure = error
    gate.gate.set()
    found, said = failure(opened(gate).predict.Predict, predicting())
    assert found == code
    assert details in said


def test_calls_over_the_queue_are_refused(gate: Gate, opened: Callable[..., Door]) -> None:
    door = opened(gate, threads=1, max_queued=2)
    with ThreadPoolExecutor(8) as pool:
        running = pool.submit(door.predict.Predict, predicting(), timeout=20)
        assert gate.entered.acquire(timeout=10)
        queued = [pool.submit(door.predict.Predict, predicting(), timeout=20) for _ in range(2)]
        time.sleep(0.3)
        assert failure(door.predict.Predict, predicting())[0] == StatusCode.RESOURCE_EXHAUSTED
        gate.gate.set()
        for future in [running, *queued]:
            assert future.result(10).model_spec.version.value == 1
        door.predict.Predict(predicting(), timeout=20)  # gRPC's refusals are known when the next call comes
    assert (gate.calls, gate.refused) == (4, ["RESOURCE_EXHAUSTED"])


def test_call_that_was_given_up_while_it_waited_for_a_thread_does_not_run(
    gate: Gate, opened: Callable[..., Door]
) -> None:
    door = opened(gate, threads=1)
    running = door.predict.Predict.future(predicting(), timeout=20)
    assert gate.entered.acquire(timeout=10)
    given_up = door.predict.Predict.future(predicting(), timeout=20)
    late = door.predict.Predict.future(predicting(), timeout=0.2)
    time.sleep(0.2)
    given_up.cancel()
    assert late.code() == StatusCode.DEADLINE_EXCEEDED
    time.sleep(0.1)
    gate.gate.set()
    assert running.result(10).model_spec.version.value == 1
    assert door.predict.Predict(predicting(), timeout=10).model_spec.version.value == 1
    assert gate.calls == 2


def test_stop_lets_calls_end_and_refuses_new_ones(gate: Gate, opened: Callable[..., Door]) -> None:
    door = opened(gate)
    running = door.predict.Predict.future(predicting(), timeout=20)
    assert gate.entered.acquire(timeout=10)
    stopped = door.server.stop(20)
    time.sleep(0.2)
    assert failure(door.predict.Predict, predicting(), timeout=5)[0] in (
        StatusCode.UNAVAILABLE,
        StatusCode.CANCELLED,
    )
    assert not stopped.is_set()
    gate.gate.set()
    assert running.result(10).model_spec.version.value == 1
    assert stopped.wait(10)
    assert gate.calls == 1


def test_stop_ends_calls_that_take_too_long(gate: Gate, opened: Callable[..., Door]) -> None:
    door = opened(gate)
    running = door.predict.Predict.future(predicting(), timeout=20)
    assert gate.entered.acquire(timeout=10)
    began = time.monotonic()
    assert door.server.stop(0.2).wait(5)
    assert time.monotonic() - began < 5
    assert running.code() is StatusCode.UNAVAILABLE


def test_a_server_that_has_ended_leaves_no_thread(
    core: Core, opened: Callable[..., Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_arrivals, "_CHECK_SECONDS", 0.01)
    before = set(threading.enumerate())
    door = opened(core)
    door.predict.Predict(predicting(x=[1.0]), timeout=20)
    made = [thread for thread in threading.enumerate() if thread not in before and thread.name.startswith("grpc-")]
    assert {thread.name for thread in made} == {"grpc-late", "grpc-predict_0"}
    door.server.stop(0).wait(10)
    for thread in made:
        thread.join(10)
    assert [thread.name for thread in made if thread.is_alive()] == []


def test_stop_ends_streams_that_have_no_end(core: Core, opened: Callable[..., Door]) -> None:
    door = opened(core, healthcheck=True)
    watching = health_pb2_grpc.HealthStub(door.channel).Watch(health_pb2.HealthCheckRequest(), timeout=20)
    assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
    asking = threading.Event()

    def requests() -> Iterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        asking.wait(20)

    reflecting = reflection_pb2_grpc.ServerReflectionStub(door.channel).ServerReflectionInfo(requests(), timeout=20)
    assert next(reflecting).list_services_response.service
    began = time.monotonic()
    assert door.server.stop(20).wait(5)
    assert time.monotonic() - began < 5
    asking.set()


def half_sent(door: Door, method: str, calls: int) -> list[Any]:
    """Begins calls whose message never comes."""
    never = threading.Event()

    def messages() -> Iterator[bytes]:
        never.wait(60)
        yield b""

    begun = [door.channel.stream_unary(method).future(messages(), timeout=60) for _ in range(calls)]
    time.sleep(0.5)
    return begun


@pytest.mark.parametrize("name", ["PredictionService/Predict", "ModelService/GetModelStatus"])
@pytest.mark.slow
def test_calls_that_never_arrive_keep_no_thread(
    core: Core, opened: Callable[..., Door], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(grpc_arrivals, "_CROWDED_SECONDS", 0.5)
    door = opened(core, threads=2)
    begun = half_sent(door, f"/tensorflow.serving.{name}", calls=80)
    status = get_model_status_pb2.GetModelStatusRequest()
    specify(status.model_spec)
    assert door.models.GetModelStatus(status, timeout=15).model_version_status
    assert door.predict.Predict(predicting(x=[2.0]), timeout=15).model_spec.version.value == 1
    for call in begun:
        call.cancel()


@pytest.mark.slow
def test_call_that_arrives_late_is_cut(
    core: Core, opened: Callable[..., Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_arrivals, "_SECONDS", 0.5)
    door = opened(core)
    (call,) = half_sent(door, "/tensorflow.serving.PredictionService/Predict", calls=1)
    assert call.code() is StatusCode.CANCELLED


def test_calls_that_run_leave_a_thread_for_the_status(gate: Gate, opened: Callable[..., Door]) -> None:
    """Which is how a server is asked whether it lives, and told the configuration that helps."""
    door = opened(gate, threads=1, healthcheck=True)
    running = [door.predict.Predict.future(predicting(), timeout=20) for _ in range(5)]
    assert gate.entered.acquire(timeout=10)
    answer = health_pb2_grpc.HealthStub(door.channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    gate.gate.set()
    for call in running:
        call.result(10)


def test_later_server_takes_the_socket_and_the_earlier_leaves_it(
    core: Core, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "shared")
    earlier = Door(core, path)
    assert caplog.messages == []
    later = Door(core, path)
    assert caplog.messages == [
        f"Another server answers on {path}: it is taken over, and new calls come here from now on"
    ]
    earlier.close()
    with grpc.insecure_channel(f"unix:{path}", UNLIMITED) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        assert stub.Predict(predicting(x=[2.0]), timeout=10).model_spec.version.value == 1
    later.close()
    assert not Path(path).exists()
    Door(core, path).close()
    assert len(caplog.messages) == 1  # a dead server's socket is nobody's


def test_connections_above_the_bound_are_closed(core: Core, tmp_path: Path) -> None:
    door = Door(core, str(tmp_path / "s"), max_connections=3)
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            idle = stack.enter_context(socket.socket(socket.AF_UNIX))
            idle.connect(str(tmp_path / "s"))
            idle.settimeout(10)
        assert idle.recv(1000) == b""
    door.close()


@pytest.mark.parametrize(
    "method",
    [
        "tensorflow.serving.PredictionService/Predict",
        "tensorflow.serving.PredictionService/GetModelMetadata",
        "tensorflow.serving.ModelService/GetModelStatus",
        "grpc.health.v1.Health/Check",
    ],
)
def test_messages_that_cannot_be_parsed_are_the_callers_mistake(
    method: str, gate: Gate, opened: Callable[..., Door], caplog: pytest.LogCaptureFixture
) -> None:
    door = opened(gate, healthcheck=True)
    code, details = failure(door.channel.unary_unary(f"/{method}"), b"\xff\xff\xff")
    assert (code, details) == (StatusCode.INVALID_ARGUMENT, f"The message cannot be parsed as a request of /{method}")
    assert gate.refused == ["INVALID_ARGUMENT"]
    assert not caplog.records  # gRPC itself would log a traceback for each


def test_streams_of_messages_that_cannot_be_parsed_end_with_the_callers_mistake(
    gate: Gate, opened: Callable[..., Door]
) -> None:
    channel = opened(gate, healthcheck=True).channel
    watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"\xff\xff\xff", timeout=20)
    with pytest.raises(grpc.RpcError) as caught:
        list(watch)
    assert caught.value.code() == StatusCode.INVALID_ARGUMENT
    reflect = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    with pytest.raises(grpc.RpcError) as caught:
        list(reflect(iter([b"\xff\xff\xff"]), timeout=20))
    assert caught.value.code() == StatusCode.INVALID_ARGUMENT


def test_methods_that_nobody_wrote_leave_no_traceback(
    gate: Gate, opened: Callable[..., Door], caplog: pytest.LogCaptureFixture
) -> None:
    door = opened(gate, healthcheck=True)
    code, _ = failure(health_pb2_grpc.HealthStub(door.channel).List, health_pb2.HealthListRequest())
    assert (code, caplog.records) == (StatusCode.UNIMPLEMENTED, [])
