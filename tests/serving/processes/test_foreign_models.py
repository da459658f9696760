"""SavedModels made by other people's code, served from one configuration file."""

import json
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    regression_pb2,
)

from tests.serving.processes.server_process import ServerProcess, spec_of

STATES = {
    "chat": [(1, "AVAILABLE", "")],
    "pair": [(2, "AVAILABLE", ""), (1, "AVAILABLE", "")],
    "half_plus_two": [(123, "AVAILABLE", "")],
    "latest two": [(10, "AVAILABLE", ""), (2, "AVAILABLE", "")],
    "keras": [(1, "AVAILABLE", "")],
    "words": [(1, "AVAILABLE", "")],
    "mirrored": [(1, "AVAILABLE", "")],
}


@pytest.fixture
def one_to_three() -> input_pb2.Input:
    """Three examples, the last with its x in the context."""
    examples = [example_pb2.Example() for _ in range(3)]
    for number, example in enumerate(examples, 1):
        example.features.feature["x"].float_list.value.append(number)
    return input_pb2.Input(example_list=input_pb2.ExampleList(examples=examples))


@pytest.mark.parametrize("model", STATES)
def test_server_serves_what_the_version_policy_says(server: ServerProcess, model: str) -> None:
    assert server.status(model) == STATES[model]


@pytest.mark.parametrize(
    ("model", "inputs", "expected"),
    [
        ("half_plus_two", {"x": [[1.0], [2.0], [5.0]]}, {"y": [[2.5], [3.0], [4.5]]}),
        ("half_plus_two", {"x": [1.0, 2.0, 5.0]}, {"y": [2.5, 3.0, 4.5]}),
        ("half_plus_two", {"x": 4.0}, {"y": 4.0}),
        ("latest two", {"x": [[3.0]]}, {"y": [[3.5]]}),
        ("keras", {"features": [[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]]}, {"output_0": [[14.0, -5.5], [3.0, -0.5]]}),
        ("words", {"words": ["two", "née", ""]}, {"upper": ["TWO", "NÉE", ""], "number": [2, -1, -1]}),
        ("mirrored", {"x": [0.0, 1.0, -2.0]}, {"y": [1.0, 4.0, -5.0]}),
        ("shapes", {"x": [[1.0, 2.0, 3.0]]}, {"sums": [6.0]}),
    ],
    ids=["tf1", "tf1-rank-1", "tf1-scalar", "tf1-latest", "keras", "texts", "distributed", "shapes"],
)
def test_server_predicts_over_both_doors(
    server: ServerProcess, model: str, inputs: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert server.ask(model, inputs, outputs=tuple(expected)) == expected
    columns = server.columns(model, inputs)
    found = columns if isinstance(columns, dict) else {next(iter(expected)): columns}  # one output stands bare
    assert {name: found[name] for name in expected} == expected


def test_server_answers_rows_bare_or_as_objects(server: ServerProcess) -> None:
    bare = server.post("keras:predict", {"instances": [[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]]})
    assert bare.json() == {"predictions": [[14.0, -5.5], [3.0, -0.5]]}
    named = server.post("keras:predict", {"instances": [{"features": [1.0, 2.0, 3.0]}]})
    assert named.json() == {"predictions": [[14.0, -5.5]]}
    objects = server.post("words:predict", {"instances": ["one", {"b64": "dHdv"}]})
    assert objects.json() == {
        "predictions": [
            {"upper": "ONE", "number": 1, "raw_bytes": {"b64": "b25l/w=="}},
            {"upper": "TWO", "number": 2, "raw_bytes": {"b64": "dHdv/w=="}},
        ]
    }


def test_server_answers_with_the_spec_it_resolved(server: ServerProcess) -> None:
    assert server.predict("half_plus_two", {"x": [1.0]}).model_spec == spec_of(
        "half_plus_two", signature="serving_default", version=123
    )
    assert server.predict("latest two", {"x": [1.0]}, version=2).model_spec.version.value == 2
    assert server.predict("pair", {"x": [1.0]}, label="stable").model_spec == spec_of(
        "pair", signature="serving_default", version=1
    )


def test_server_writes_tensors_into_their_typed_fields(server: ServerProcess) -> None:
    outputs = server.predict("words", {"words": ["one"]}).outputs
    assert list(outputs["upper"].string_val) == [b"ONE"]
    assert list(outputs["number"].int64_val) == [1]
    assert server.predict("half_plus_two", {"x": [1.0]}).outputs["y"] == tf.make_tensor_proto([2.5])


def test_server_classifies_and_regresses_tf1(server: ServerProcess, one_to_three: input_pb2.Input) -> None:
    classified = server.predictions.Classify(
        classification_pb2.ClassificationRequest(
            model_spec=spec_of("half_plus_two", signature="classify_x_to_y"), input=one_to_three
        )
    )
    assert [[(found.label, found.score) for found in row.classes] for row in classified.result.classifications] == [
        [("", 2.5)],
        [("", 3.0)],
        [("", 3.5)],
    ]
    regressed = server.predictions.Regress(
        regression_pb2.RegressionRequest(
            model_spec=spec_of("half_plus_two", signature="regress_x_to_y2"), input=one_to_three
        )
    )
    assert [found.value for found in regressed.result.regressions] == [3.5, 4.0, 4.5]
    assert regressed.model_spec == spec_of("half_plus_two", signature="regress_x_to_y2", version=123)


def test_server_puts_the_context_of_examples_under_each(server: ServerProcess) -> None:
    context, own = example_pb2.Example(), example_pb2.Example()
    context.features.feature["x"].float_list.value.append(10)
    own.features.feature["x"].float_list.value.append(2)
    listed = input_pb2.ExampleListWithContext(context=context, examples=[example_pb2.Example(), own])
    regressed = server.predictions.Regress(
        regression_pb2.RegressionRequest(
            model_spec=spec_of("half_plus_two", signature="regress_x_to_y"),
            input=input_pb2.Input(example_list_with_context=listed),
        )
    )
    assert [found.value for found in regressed.result.regressions] == [7.0, 3.0]


def test_server_runs_several_signatures_at_once(server: ServerProcess, one_to_three: input_pb2.Input) -> None:
    request = inference_pb2.MultiInferenceRequest(input=one_to_three)
    for signature, method in [("regress_x_to_y", "regress"), ("classify_x_to_y", "classify")]:
        request.tasks.add(
            model_spec=spec_of("half_plus_two", signature=signature), method_name=f"tensorflow/serving/{method}"
        )
    first, second = server.predictions.MultiInference(request).results
    assert [found.value for found in first.regression_result.regressions] == [2.5, 3.0, 3.5]
    assert [row.classes[0].score for row in second.classification_result.classifications] == [2.5, 3.0, 3.5]
    assert second.model_spec == spec_of("half_plus_two", signature="classify_x_to_y", version=123)


@pytest.mark.parametrize(
    ("spec", "path", "expected"),
    [
        ({}, "", 4.0),
        ({"version": 1}, "/versions/1", 2.5),
        ({"version": 2}, "/versions/2", 4.0),
        ({"label": "stable"}, "/labels/stable", 2.5),
        ({"label": "canary"}, "/labels/canary", 4.0),
    ],
    ids=["latest", "version-1", "version-2", "stable", "canary"],
)
def test_server_answers_by_the_version_asked_for(
    server: ServerProcess, spec: dict[str, Any], path: str, expected: float
) -> None:
    assert server.ask("pair", {"x": [1.0]}, **spec) == {"y": [expected]}
    assert server.columns(f"pair{path}", {"x": [1.0]}) == [expected]


@pytest.mark.parametrize(
    ("verb", "signature", "results"),
    [
        ("classify", "classify_x_to_y", [[["", 2.5]], [["", 3.0]], [["", 12.0]]]),
        ("regress", "regress_x_to_y", [2.5, 3.0, 12.0]),
        ("regress", "regress_x_to_y2", [3.5, 4.0, 13.0]),
    ],
    ids=["classify", "regress", "regress-2"],
)
def test_server_classifies_and_regresses_over_rest(
    server: ServerProcess, verb: str, signature: str, results: list[Any]
) -> None:
    body = {"signature_name": signature, "context": {"x": 20.0}, "examples": [{"x": 1.0}, {"x": [2.0]}, {}]}
    response = server.post(f"half_plus_two/versions/123:{verb}", body)
    assert (response.status_code, response.json()) == (200, {"results": results})


def test_server_keeps_every_type_of_json(server: ServerProcess) -> None:
    inputs = {
        "flag": [True, False],
        "small": [-(2**31), 2**31 - 1],
        "large": [-(2**63), 2**63 - 1],
        "byte": [0, 255],
        "exact": [0.1, -1e300],
        "text": ["", '\u0000 " \\ é 🌻'],
    }
    assert server.columns("shapes", inputs, signature="echo") == inputs
    rows = [{name: values[row] for name, values in inputs.items()} for row in range(2)]
    response = server.post("shapes:predict", {"signature_name": "echo", "instances": rows})
    assert response.json()["predictions"] == rows


def test_server_answers_floats_beyond_the_numbers(server: ServerProcess) -> None:
    response = server.post("half_plus_two:predict", b'{"instances": [NaN, Infinity, -Infinity, 1e39, 1]}')
    assert response.status_code == 200
    assert response.text.replace(" ", "").replace("\n", "") == '{"predictions":[NaN,Infinity,-Infinity,Infinity,2.5]}'


def test_server_metadata_lists_the_signatures(server: ServerProcess) -> None:
    metadata = server.http.get("/v1/models/half_plus_two/metadata").json()
    assert metadata["model_spec"] == {"name": "half_plus_two", "signature_name": "", "version": "123"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert {name: found["method_name"] for name, found in signatures.items()} == {
        "serving_default": "tensorflow/serving/predict",
        "classify_x_to_y": "tensorflow/serving/classify",
        "regress_x_to_y": "tensorflow/serving/regress",
        "regress_x_to_y2": "tensorflow/serving/regress",
    }
    assert json.dumps(signatures).count("DT_FLOAT") == 5
