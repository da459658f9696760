"""Wrong requests get TensorFlow Serving's codes on both doors, and the server goes on answering."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    predict_pb2,
    regression_pb2,
)

from tests.serving.processes.server_process import ServerProcess, spec_of

HALF, X = "half_plus_two", {"x": [1.0]}
NO_SIGNATURE = spec_of(HALF, signature="missing")
EXAMPLES = input_pb2.Input(example_list=input_pb2.ExampleList(examples=[{}]))


@pytest.fixture(autouse=True)
def _lives(server: ServerProcess) -> Iterator[None]:
    """After each test the server still answers on both doors."""
    yield
    assert server.process.poll() is None
    assert server.ask(HALF, X) == {"y": [2.5]}
    assert server.post(f"{HALF}:predict", {"instances": [1.0]}).json() == {"predictions": [2.5]}


def tensor(**fields: Any) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT)
    for size in fields.pop("shape", []):
        proto.tensor_shape.dim.add(size=size)
    proto.MergeFrom(tensor_pb2.TensorProto(**fields))
    return proto


def multi_inference(*tasks: tuple[Any, str], input: input_pb2.Input = EXAMPLES) -> inference_pb2.MultiInferenceRequest:
    request = inference_pb2.MultiInferenceRequest(input=input)
    for spec, method in tasks:
        request.tasks.add(model_spec=spec, method_name=f"tensorflow/serving/{method}")
    return request


def metadata(*fields: str, model: str = HALF) -> get_model_metadata_pb2.GetModelMetadataRequest:
    return get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec_of(model), metadata_field=fields)


REGRESS = spec_of(HALF, signature="regress_x_to_y")
Call = Callable[[ServerProcess], Any]
OVER_GRPC: dict[str, tuple[Call, str, str]] = {
    "no spec": (lambda s: s.predictions.Predict(predict_pb2.PredictRequest()), "INVALID_ARGUMENT", "ModelSpec"),
    "no name": (lambda s: s.predict("", X, signature="a"), "INVALID_ARGUMENT", "name"),
    "no model": (lambda s: s.predict("no", X), "NOT_FOUND", "Servable not found for request: Latest(no)"),
    "no version": (
        lambda s: s.predict(HALF, X, version=9),
        "NOT_FOUND",
        "Servable not found for request: Specific(half_plus_two, 9)",
    ),
    "version left out": (
        lambda s: s.predict(HALF, X, version=124),
        "NOT_FOUND",
        "Servable not found for request: Specific(half_plus_two, 124)",
    ),
    "version below 0": (lambda s: s.predict(HALF, X, version=-1), "NOT_FOUND", "Specific(half_plus_two, -1)"),
    "no label": (
        lambda s: s.predict("chat", X, label="beta"),
        "INVALID_ARGUMENT",
        "Unrecognized servable version label",
    ),
    "no label of the model": (
        lambda s: s.predict(HALF, X, label="stable"),
        "INVALID_ARGUMENT",
        "Unrecognized servable version label",
    ),
    "no signature": (lambda s: s.predict(HALF, X, signature="missing"), "FAILED_PRECONDITION", "missing"),
    "no input": (lambda s: s.predict(HALF, {}), "INVALID_ARGUMENT", "Missing but required: {x}"),
    "extra input": (lambda s: s.predict(HALF, {**X, "z": [1.0]}), "INVALID_ARGUMENT", "Sent extra: {z}"),
    "misnamed input": (lambda s: s.predict(HALF, {"z": [1.0]}), "INVALID_ARGUMENT", "z"),
    "missing beside defaults": (
        lambda s: s.predict("chat", {"seed": tf.constant([1], tf.int64)}, signature="generate"),
        "INVALID_ARGUMENT",
        "prompt",
    ),
    "wrong type": (lambda s: s.predict(HALF, {"x": [1]}), "INVALID_ARGUMENT", "DT_INT32"),
    "string for float": (lambda s: s.predict(HALF, {"x": ["1"]}), "INVALID_ARGUMENT", "DT_STRING"),
    "double for float": (
        lambda s: s.predict(HALF, {"x": tf.constant([1.0], tf.float64)}),
        "INVALID_ARGUMENT",
        "DT_DOUBLE",
    ),
    "wrong shape": (lambda s: s.predict("shapes", {"x": [[1.0, 2.0]]}), "INVALID_ARGUMENT", "Matrix size"),
    "wrong rank": (lambda s: s.predict("shapes", {"x": [1.0, 2.0, 3.0]}), "INVALID_ARGUMENT", ""),
    "unequal batches": (
        lambda s: s.predict(
            "chat", {"prompt": ["a", "b", "c"], "seed": tf.constant([1, 2], tf.int64)}, signature="generate"
        ),
        "INVALID_ARGUMENT",
        "[3]",
    ),
    "scalar prompt": (lambda s: s.predict("chat", {"prompt": "a"}), "INVALID_ARGUMENT", ""),
    "tensor of no type": (lambda s: s.predict(HALF, {"x": tensor_pb2.TensorProto()}), "INVALID_ARGUMENT", "x"),
    "tensor of unknown shape": (
        lambda s: s.predict(HALF, {"x": tensor(shape=[-1], float_val=[1.0])}),
        "INVALID_ARGUMENT",
        "tensor parsing error: x",
    ),
    "tensor of too many bytes": (
        lambda s: s.predict(HALF, {"x": tensor(shape=[1], tensor_content=b"12345678")}),
        "INVALID_ARGUMENT",
        "tensor parsing error: x",
    ),
    "tensor of an impossible size": (
        lambda s: s.predict(HALF, {"x": tensor(shape=[2**40, 2**20], float_val=[1.0])}),
        "INVALID_ARGUMENT",
        "tensor parsing error: x",
    ),
    "no output": (lambda s: s.predict(HALF, X, outputs=("z",)), "INVALID_ARGUMENT", "z"),
    "output twice": (lambda s: s.predict(HALF, X, outputs=("y", "y")), "INVALID_ARGUMENT", "y"),
    "classify: no signature": (
        lambda s: s.predictions.Classify(
            classification_pb2.ClassificationRequest(model_spec=NO_SIGNATURE, input=EXAMPLES)
        ),
        "INVALID_ARGUMENT",
        "missing",
    ),
    "classify: a predict signature": (
        lambda s: s.predictions.Classify(
            classification_pb2.ClassificationRequest(model_spec=spec_of(HALF), input=EXAMPLES)
        ),
        "INVALID_ARGUMENT",
        "inputs",
    ),
    "regress: no signature": (
        lambda s: s.predictions.Regress(regression_pb2.RegressionRequest(model_spec=NO_SIGNATURE, input=EXAMPLES)),
        "INVALID_ARGUMENT",
        "missing",
    ),
    "regress: no examples": (
        lambda s: s.predictions.Regress(regression_pb2.RegressionRequest(model_spec=REGRESS)),
        "INVALID_ARGUMENT",
        "Input is empty",
    ),
    "regress: example lacks x": (
        lambda s: s.predictions.Regress(regression_pb2.RegressionRequest(model_spec=REGRESS, input=EXAMPLES)),
        "INVALID_ARGUMENT",
        "x",
    ),
    "multi-inference: no tasks": (lambda s: s.predictions.MultiInference(multi_inference()), "INVALID_ARGUMENT", ""),
    "multi-inference: two models": (
        lambda s: s.predictions.MultiInference(multi_inference((REGRESS, "regress"), (spec_of("keras"), "regress"))),
        "INVALID_ARGUMENT",
        "same model name",
    ),
    "multi-inference: a signature twice": (
        lambda s: s.predictions.MultiInference(multi_inference((REGRESS, "regress"), (REGRESS, "regress"))),
        "INVALID_ARGUMENT",
        "Duplicate evaluation of signature: regress_x_to_y",
    ),
    "multi-inference: no signature": (
        lambda s: s.predictions.MultiInference(multi_inference((NO_SIGNATURE, "regress"))),
        "INVALID_ARGUMENT",
        "missing",
    ),
    "multi-inference: predict": (
        lambda s: s.predictions.MultiInference(multi_inference((REGRESS, "predict"))),
        "UNIMPLEMENTED",
        "Unsupported signature method_name",
    ),
    "metadata: no field": (lambda s: s.predictions.GetModelMetadata(metadata()), "INVALID_ARGUMENT", "metadata_field"),
    "metadata: unknown field": (lambda s: s.predictions.GetModelMetadata(metadata("x")), "INVALID_ARGUMENT", "x"),
    "metadata: no model": (
        lambda s: s.predictions.GetModelMetadata(metadata("signature_def", model="no")),
        "NOT_FOUND",
        "Servable not found for request: Latest(no)",
    ),
    "status: no spec": (
        lambda s: s.models.GetModelStatus(get_model_status_pb2.GetModelStatusRequest()),
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    ),
    "status: no model": (lambda s: s.status("no"), "NOT_FOUND", "Could not find any versions of model no"),
    "status: no version": (
        lambda s: s.status(HALF, version=9),
        "NOT_FOUND",
        "Could not find version 9 of model half_plus_two",
    ),
}


@pytest.mark.parametrize("case", OVER_GRPC)
def test_grpc_refuses(server: ServerProcess, case: str) -> None:
    call, code, phrase = OVER_GRPC[case]
    with pytest.raises(grpc.RpcError) as caught:
        call(server)
    assert (caught.value.code().name, phrase in caught.value.details()) == (code, True), caught.value.details()


@pytest.mark.parametrize(
    ("method", "codes"),
    [("PredictionService/Predict", {"INTERNAL", "INVALID_ARGUMENT"}), ("PredictionService/Guess", {"UNIMPLEMENTED"})],
    ids=["no proto", "no method"],
)
def test_grpc_refuses_what_is_no_call(server: ServerProcess, method: str, codes: set[str]) -> None:
    call = server.channel.unary_unary(f"/tensorflow.serving.{method}")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff no proto", timeout=10)
    assert caught.value.code().name in codes


def test_grpc_takes_a_prompt_that_is_no_utf8(server: ServerProcess) -> None:
    assert server.ask("chat", {"prompt": [b"how \xff\xfe do"]})["text"][0]


def test_grpc_takes_an_empty_batch(server: ServerProcess) -> None:
    none = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING)
    none.tensor_shape.dim.add(size=0)
    assert server.ask("chat", {"prompt": none}) == {"text": []}


def rows(*values: Any, **others: Any) -> bytes:
    return json.dumps({"instances": list(values), **others}).encode()


HALF_PREDICT, CHAT_PREDICT = "/v1/models/half_plus_two:predict", "/v1/models/chat:predict"
OVER_REST: dict[str, tuple[str, str, bytes, int, str]] = {
    "no model": ("POST", "/v1/models/no:predict", rows(1), 404, "Servable not found for request: Latest(no)"),
    "no version": (
        "POST",
        "/v1/models/half_plus_two/versions/9:predict",
        rows(1),
        404,
        "Servable not found for request: Specific(half_plus_two, 9)",
    ),
    "no label": (
        "POST",
        "/v1/models/half_plus_two/labels/beta:predict",
        rows(1),
        400,
        "Unrecognized servable version label",
    ),
    "no signature": ("POST", HALF_PREDICT, rows(1, signature_name="missing"), 400, "missing"),
    "classify: no signature": (
        "POST",
        "/v1/models/half_plus_two:classify",
        b'{"signature_name": "missing", "examples": [{"x": 1}]}',
        400,
        "missing",
    ),
    "classify: no examples": ("POST", "/v1/models/half_plus_two:classify", b"{}", 400, "examples"),
    "regress: empty examples": ("POST", "/v1/models/half_plus_two:regress", b'{"examples": []}', 400, "empty"),
    "signature is no text": ("POST", HALF_PREDICT, rows(1, signature_name=1), 400, "signature_name"),
    "no body": ("POST", HALF_PREDICT, b"", 400, "JSON Parse error"),
    "bad JSON": ("POST", HALF_PREDICT, b'{"instances": [1', 400, "JSON Parse error"),
    "bad JSON before no model": ("POST", "/v1/models/no:predict", b"{", 400, "JSON Parse error"),
    "invalid UTF-8": ("POST", CHAT_PREDICT, b'{"instances": ["\xff\xfe"]}', 400, "JSON Parse error"),
    "half a surrogate pair": ("POST", CHAT_PREDICT, b'{"instances": ["\\ud83d"]}', 400, "JSON Parse error"),
    "deep nesting": ("POST", HALF_PREDICT, b'{"instances": ' + b"[" * 100_000, 400, ""),
    "no object": ("POST", HALF_PREDICT, b"[1.0]", 400, "Is not object"),
    "neither rows nor columns": ("POST", HALF_PREDICT, b"{}", 400, "Missing 'inputs' or 'instances' key"),
    "rows and columns": ("POST", HALF_PREDICT, rows(1, inputs=[1]), 400, "Not formatted correctly"),
    "empty batch": ("POST", HALF_PREDICT, b'{"instances": []}', 400, "No values in 'instances' array"),
    "rows are no list": ("POST", HALF_PREDICT, b'{"instances": 1}', 400, "list/array"),
    "missing input": ("POST", CHAT_PREDICT, rows({"prompt": "a"}, signature_name="generate"), 400, "keys must be"),
    "missing column": (
        "POST",
        CHAT_PREDICT,
        b'{"signature_name": "generate", "inputs": {"prompt": ["a"]}}',
        400,
        "Missing named input",
    ),
    "extra input": ("POST", HALF_PREDICT, rows({"x": 1, "z": 1}), 400, "z"),
    "misnamed input": ("POST", HALF_PREDICT, rows({"z": 1}), 400, "z"),
    "a value for all inputs": (
        "POST",
        CHAT_PREDICT,
        rows("a", signature_name="generate"),
        400,
        "list of objects",
    ),
    "text for float": ("POST", HALF_PREDICT, rows("1.0"), 400, "is not of expected type: float"),
    "fraction for integer": (
        "POST",
        "/v1/models/shapes:predict",
        json.dumps(
            {
                "signature_name": "echo",
                "inputs": {"flag": [True], "small": [1.5], "large": [1], "byte": [1], "exact": [1], "text": ["a"]},
            }
        ).encode(),
        400,
        "is not of expected type: int32",
    ),
    "number for text": ("POST", CHAT_PREDICT, rows(1), 400, "is not of expected type: string"),
    "ragged rows": ("POST", HALF_PREDICT, rows([1.0], [1.0, 2.0]), 400, "Failed to process element: 1"),
    "wrong shape": ("POST", "/v1/models/shapes:predict", rows([1.0, 2.0]), 400, "Matrix size"),
    "33 dimensions": ("POST", "/v1/models/chat:predict", b'{"inputs":%s"a"%s}' % (b"[" * 33, b"]" * 33), 400, ""),
    "64 dimensions": ("POST", "/v1/models/chat:predict", b'{"inputs":%s"a"%s}' % (b"[" * 64, b"]" * 64), 400, ""),
    "wrong rank": ("POST", "/v1/models/shapes:predict", rows(1.0, 2.0, 3.0), 400, ""),
    "bad base64": ("POST", CHAT_PREDICT, rows({"b64": "!!!"}), 400, "base64"),
    "half floats": ("POST", "/v1/models/shapes:predict", rows(1.0, signature_name="half"), 501, "half"),
    "unknown verb": ("POST", "/v1/models/half_plus_two:guess", rows(1), 400, "Malformed request"),
    "unknown path": ("GET", "/v1/metrics", b"", 400, "Malformed request"),
    "wrong method": ("PUT", HALF_PREDICT, rows(1), 400, "Malformed request"),
    "version is no number": ("POST", "/v1/models/half_plus_two/versions/x:predict", rows(1), 400, "Malformed request"),
    "version of 30 digits": ("GET", f"/v1/models/half_plus_two/versions/{'9' * 30}", b"", 400, "version"),
    "status: no model": ("GET", "/v1/models/no", b"", 404, "Could not find any versions of model no"),
    "status: no version": (
        "GET",
        "/v1/models/half_plus_two/versions/9",
        b"",
        404,
        "Could not find version 9 of model half_plus_two",
    ),
    "metadata: no model": ("GET", "/v1/models/no/metadata", b"", 404, "Servable not found for request: Latest(no)"),
}


@pytest.mark.parametrize("case", OVER_REST)
def test_rest_refuses(server: ServerProcess, case: str) -> None:
    method, path, body, status, phrase = OVER_REST[case]
    response = server.http.request(method, path, content=body)
    assert (response.status_code, phrase in response.json()["error"]) == (status, True), response.text
    assert response.headers["Content-Type"] == "application/json"


def test_rest_refuses_a_body_that_is_not_gzip(server: ServerProcess) -> None:
    response = server.post("half_plus_two:predict", rows(1), headers={"Content-Encoding": "gzip"})
    assert response.status_code == 400


def test_rest_takes_bytes_that_are_no_utf8_as_base64(server: ServerProcess) -> None:
    prompt = base64.b64encode(b"how \xff\xfe do").decode()
    answer = server.post("chat:predict", {"instances": [{"b64": prompt}]}).json()
    assert answer == {"predictions": server.ask("chat", {"prompt": [b"how \xff\xfe do"]})["text"]}
