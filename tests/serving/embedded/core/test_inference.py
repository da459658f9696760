"""What the four questions refuse, and what they make of a graph's tensors; the graph is a function here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from charflow.serving import errors
from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.inference import (
    CLASSIFY,
    REGRESS,
    Loaded,
    classify,
    multi_inference,
    predict,
    regress,
)
from charflow.serving.embedded.core.signature import ServedSignature, TensorSpec

EXAMPLES = [b"one", b"two", b"three"]


class Graph:
    """A runner whose tensors are given, and that remembers what it was asked."""

    def __init__(self, **tensors: Any) -> None:
        self.tensors = {f"{name}:0": value for name, value in tensors.items()}
        self.feeds: Mapping[str, np.ndarray] = {}
        self.fetches: Sequence[str] = ()
        self.deadline = NEVER

    def run(
        self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *, deadline: Deadline = NEVER
    ) -> list[np.ndarray]:
        self.feeds, self.fetches, self.deadline = feeds, fetches, deadline
        return [self.tensors[name] for name in fetches]


def make_signature(name: str, inputs: str, outputs: str, **options: Any) -> ServedSignature:
    """Inputs and outputs are written as in "x y"; the tensor of x is x:0, a float32, that of inputs holds examples."""
    types = {"inputs": tf.string, **options.pop("types", {})}

    def specs(names: str) -> dict[str, TensorSpec]:
        return {
            key: TensorSpec(tensor=f"{key}:0", dtype=types.get(key, tf.float32), shape=None) for key in names.split()
        }

    return ServedSignature(
        name=name, inputs=specs(inputs), outputs=specs(outputs), defaults=options.pop("defaults", {})
    )


def load(graph: Graph, *signatures: ServedSignature) -> Loaded:
    return Loaded({signature.name: signature for signature in signatures}, graph)


SUM = make_signature("serving_default", "x y", "difference sum")
TEN = np.float32(10)
SOON = Deadline.after(60)


def ask(
    inputs: Mapping[str, Any], signature: ServedSignature = SUM, **options: Any
) -> tuple[str, dict[str, np.ndarray]]:
    loaded = load(Graph(sum=np.float32([3]), difference=np.float32([1])), signature)
    return predict(loaded, options.pop("signature_name", ""), lambda _: inputs, **options)


def test_predict_feeds_and_fetches_by_the_names_of_the_graph() -> None:
    graph = Graph(sum=np.float32([3]), difference=np.float32([1]))
    inputs = {"x": np.float32([2]), "y": np.float32([1])}
    name, outputs = predict(load(graph, SUM), "", lambda signature: inputs, deadline=SOON)
    assert name == "serving_default"
    assert outputs == {"difference": [1], "sum": [3]}
    assert dict(graph.feeds) == {"x:0": [2], "y:0": [1]}
    assert graph.deadline is SOON


class Refusing:
    """A graph whose kernel refuses whatever it is fed."""

    def run(self, *_: Any, **__: Any) -> list[np.ndarray]:
        raise errors.InvalidArgument("slice index 0 of dimension 0 out of bounds.")


SHAPED = ServedSignature(
    name="serving_default",
    inputs={
        "x": TensorSpec(tensor="x:0", dtype=tf.float32, shape=(None, 3)),
        "y": TensorSpec(tensor="y:0", dtype=tf.float32, shape=(None,)),
    },
    outputs={},
    defaults={},
)


@pytest.mark.parametrize(
    ("x", "y", "named"),
    [
        ([2, 4], [2], " (shapes of the inputs: x [2, 4] for [-1, 3], y [2])"),
        ([2, 3], [5], " (shapes of the inputs: x [2, 3], y [5])"),
        ([2, 3], [2], ""),
    ],
    ids=["another dimension", "another number of rows", "they fit"],
)
def test_predict_names_inputs_whose_shapes_a_kernel_may_have_meant(x: list[int], y: list[int], named: str) -> None:
    inputs = {"x": np.zeros(x, np.float32), "y": np.zeros(y, np.float32)}
    with pytest.raises(errors.InvalidArgument) as caught:
        predict(Loaded({SHAPED.name: SHAPED}, Refusing()), "", lambda _: inputs)
    assert caught.value.message == f"slice index 0 of dimension 0 out of bounds.{named}"


@pytest.mark.parametrize("shape", [[], [2, 3, 1], [3, 1]], ids=str)
def test_predict_lets_no_rank_reach_the_graph_that_the_signature_excludes(shape: list[int]) -> None:
    inputs = {"x": np.zeros([1, 3], np.float32), "y": np.zeros(shape, np.float32)}
    with pytest.raises(errors.InvalidArgument) as caught:
        predict(Loaded({SHAPED.name: SHAPED}, Refusing()), "", lambda _: inputs)
    assert caught.value.message == f"input y must have shape [-1], but the request has {shape}."


def test_predict_hands_the_signature_to_the_feed() -> None:
    seen: list[ServedSignature] = []

    def feed(signature: ServedSignature) -> Mapping[str, np.ndarray]:
        seen.append(signature)
        return {"x": TEN, "y": TEN}

    predict(load(Graph(sum=TEN, difference=TEN), SUM), "serving_default", feed)
    assert seen == [SUM]


@pytest.mark.parametrize(
    ("names", "expected"),
    [([], ["difference", "sum"]), (["sum"], ["sum"]), (["sum", "difference"], ["sum", "difference"])],
    ids=["all", "one", "in the order asked"],
)
def test_predict_gives_the_outputs_of_the_filter(names: list[str], expected: list[str]) -> None:
    assert list(ask({"x": TEN, "y": TEN}, outputs=names)[1]) == expected


def test_predict_lets_a_request_leave_out_inputs_with_defaults() -> None:
    graph = Graph(sum=TEN, difference=TEN)
    with_default = make_signature("serving_default", "x y", "sum", defaults={"y": TEN})
    predict(load(graph, with_default), "", lambda _: {"x": np.float32(1)})
    assert dict(graph.feeds) == {"x:0": 1, "y:0": 10}
    predict(load(graph, with_default), "", lambda _: {"x": np.float32(1), "y": np.float32(2)})
    assert dict(graph.feeds) == {"x:0": 1, "y:0": 2}


DEFAULT_Y = make_signature("serving_default", "x y", "sum", defaults={"y": TEN})


@pytest.mark.parametrize(
    ("inputs", "signature", "message"),
    [
        (
            {"x": TEN},
            SUM,
            "input size does not match signature: 1!=2 len({x}) != len({x,y}). Sent extra: {}. Missing but required: "
            "{y}.",
        ),
        (
            {},
            SUM,
            "input size does not match signature: 0!=2 len({}) != len({x,y}). Sent extra: {}. Missing but required: "
            "{x,y}.",
        ),
        (
            {"x": TEN, "y": TEN, "z": TEN},
            SUM,
            "input size does not match signature: 3!=2 len({x,y,z}) != len({x,y}). Sent extra: {z}. Missing but "
            "required: {}.",
        ),
        (
            {"x": TEN, "z": TEN},
            SUM,
            "input tensor alias not found in signature: z. Inputs expected to be in the set {x,y}.",
        ),
        (
            {"y": TEN},
            DEFAULT_Y,
            "inputs missing that have no default: {x}. Inputs expected to be in the set {x,y}.",
        ),
        (
            {"z": TEN},
            DEFAULT_Y,
            "input tensor alias not found in signature: z. Inputs expected to be in the set {x,y}.",
        ),
        (
            {"x": TEN, "y": TEN, "z": TEN},
            DEFAULT_Y,
            "input size does not match signature: 3!=2 len({x,y,z}) != len({x,y}). Sent extra: {z}. Missing but "
            "required: {}.",
        ),
        (
            {"x": TEN, "y": np.int32(1)},
            SUM,
            "input y must be DT_FLOAT, but the request has DT_INT32.",
        ),
        (
            {"x": TEN, "y": np.float64(1)},
            SUM,
            "input y must be DT_FLOAT, but the request has DT_DOUBLE.",
        ),
        (
            {"x": np.array([b"1"], object), "y": TEN},
            SUM,
            "input x must be DT_FLOAT, but the request has DT_STRING.",
        ),
    ],
    ids=[
        "missing",
        "none",
        "too many",
        "misnamed",
        "no default",
        "misnamed beside a default",
        "too many beside a default",
        "integers",
        "doubles",
        "texts",
    ],
)
def test_predict_refuses_inputs(inputs: Mapping[str, Any], signature: ServedSignature, message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        ask(inputs, signature)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (
            ["product"],
            "output tensor alias not found in signature: product Outputs expected to be in the set {difference,sum}.",
        ),
        (["sum", "sum"], "duplicate output tensor alias: sum"),
    ],
    ids=["unknown", "doubled"],
)
def test_predict_refuses_a_filter(outputs: list[str], message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        ask({"x": TEN, "y": TEN}, outputs=outputs)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda loaded: predict(loaded, "sing", lambda _: {}),
            errors.FailedPrecondition,
            'Serving signature key "sing" not found.',
        ),
        (
            lambda loaded: classify(loaded, "sing", EXAMPLES),
            errors.InvalidArgument,
            "No signature was found with the name: sing",
        ),
        (
            lambda loaded: regress(loaded, "sing", EXAMPLES),
            errors.InvalidArgument,
            "No signature was found with the name: sing",
        ),
        (
            lambda loaded: multi_inference(loaded, [("sing", REGRESS)], EXAMPLES),
            errors.InvalidArgument,
            "Requested signature not found in model graph: sing",
        ),
    ],
    ids=["predict", "classify", "regress", "multi_inference"],
)
def test_unknown_signature_has_the_code_of_its_call(
    call: Callable[[Loaded], object], error: type[errors.ServingError], message: str
) -> None:
    with pytest.raises(error) as caught:
        call(load(Graph(), SUM))
    assert caught.value.message == message


def test_unnamed_signature_that_is_missing_is_called_serving_default() -> None:
    with pytest.raises(errors.FailedPrecondition, match='"serving_default" not found'):
        predict(load(Graph()), "", lambda _: {})


SCORES = np.float32([[0.25, 0.75], [0.5, 0.5], [1, 0]])
LABELS = np.array([[b"no", "да".encode()]] * 3, object)


def labelled(outputs: str = "classes scores", inputs: str = "inputs", name: str = "serving_default") -> ServedSignature:
    return make_signature(name, inputs, outputs, types={"inputs": tf.string, "classes": tf.string})


@pytest.mark.parametrize(
    ("outputs", "first"),
    [
        ("classes scores", [("no", 0.25), ("да", 0.75)]),
        ("classes", [("no", 0.0), ("да", 0.0)]),
        ("scores", [("", 0.25), ("", 0.75)]),
    ],
)
def test_classify_pairs_labels_with_scores(outputs: str, first: list[tuple[str, float]]) -> None:
    graph = Graph(classes=LABELS, scores=SCORES)
    name, classes = classify(load(graph, labelled(outputs)), "", EXAMPLES, deadline=SOON)
    assert (name, len(classes), classes[0], graph.deadline) == ("serving_default", 3, first, SOON)


def test_examples_are_fed_as_one_vector_of_bytes() -> None:
    graph = Graph(outputs=np.float32([1, 2, 3]))
    regress(load(graph, make_signature("serving_default", "inputs", "outputs")), "", EXAMPLES)
    assert (graph.feeds["inputs:0"].dtype, graph.feeds["inputs:0"].shape) == (object, (3,))
    assert graph.feeds["inputs:0"].tolist() == EXAMPLES


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (labelled(inputs="inputs more"), "Expected one input Tensor."),
        (
            labelled(inputs="examples"),
            "No classification inputs found in signature serving_default: it needs an input named inputs.",
        ),
        (labelled("classes scores more"), "Expected one or two output Tensors, found 3"),
        (
            labelled("outputs"),
            'Expected classification signature outputs to contain at least one of "classes" or "scores"; '
            "serving_default has {outputs}.",
        ),
    ],
    ids=["two inputs", "another input", "three outputs", "other outputs"],
)
def test_classify_refuses_a_signature_of_another_kind(signature: ServedSignature, message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        classify(load(Graph(), signature), "", EXAMPLES)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"scores": SCORES[:, 0]}, "Expected Tensor shape: [batch_size num_classes] but got [3]"),
        ({"classes": LABELS[0]}, "Expected Tensor shape: [batch_size num_classes] but got [2]"),
        ({"scores": SCORES.astype(np.float64)}, "Expected scores Tensor of DT_FLOAT."),
        ({"classes": SCORES}, "Expected classes Tensor of DT_STRING."),
        ({"scores": SCORES[:2]}, "Expected scores output batch size of 3. Got: 2"),
        ({"classes": LABELS[:1]}, "Expected classes output batch size of 3. Got: 1"),
        ({"scores": SCORES[:, :1]}, "Tensors class and score should match in dim_size(1). Got 2 vs. 1"),
    ],
    ids=["flat scores", "flat classes", "doubles", "numbers", "too few scores", "too few classes", "unequal"],
)
def test_classify_refuses_what_the_graph_gives(tensors: Mapping[str, np.ndarray], message: str) -> None:
    graph = Graph(**{"classes": LABELS, "scores": SCORES, **tensors})
    with pytest.raises(errors.InvalidArgument) as caught:
        classify(load(graph, labelled()), "", EXAMPLES)
    assert caught.value.message == message


@pytest.mark.parametrize("shape", [(3,), (3, 1)], ids=str)
def test_regress_gives_a_value_for_each_example(shape: tuple[int, ...]) -> None:
    graph = Graph(outputs=np.float32([1, 2, 3]).reshape(shape))
    loaded = load(graph, make_signature("price", "inputs", "outputs"))
    assert regress(loaded, "price", EXAMPLES) == ("price", [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ("inputs more", "outputs", "Expected one input Tensor."),
        ("x", "outputs", "No regression inputs found in signature serving_default: it needs an input named inputs."),
        ("inputs", "outputs more", "Expected one output Tensor."),
        ("inputs", "y", "No regression outputs found in signature serving_default."),
    ],
    ids=["two inputs", "another input", "two outputs", "another output"],
)
def test_regress_refuses_a_signature_of_another_kind(inputs: str, outputs: str, message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        regress(load(Graph(), make_signature("serving_default", inputs, outputs)), "", EXAMPLES)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            np.float32([[1, 2]] * 3),
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [3, 2]",
        ),
        (np.float32(1), "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got []"),
        (np.float32([1, 2]), "Input batch size did not match output batch size: 3 vs. 2"),
        (np.float64([1, 2, 3]), "Expected output Tensor of DT_FLOAT."),
    ],
    ids=["two columns", "scalar", "too few", "doubles"],
)
def test_regress_refuses_what_the_graph_gives(values: np.ndarray, message: str) -> None:
    loaded = load(Graph(outputs=values), make_signature("serving_default", "inputs", "outputs"))
    with pytest.raises(errors.InvalidArgument) as caught:
        regress(loaded, "", EXAMPLES)
    assert caught.value.message == message


PRICE = make_signature("price", "inputs", "outputs")


@pytest.mark.parametrize(
    "call",
    [
        lambda loaded: classify(loaded, "", []),
        lambda loaded: regress(loaded, "price", []),
        lambda loaded: multi_inference(loaded, [("price", REGRESS)], []),
    ],
    ids=["classify", "regress", "multi_inference"],
)
def test_no_examples_are_refused(call: Callable[[Loaded], object]) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"^Input is empty\.$"):
        call(load(Graph(), labelled(), PRICE))


def test_multi_inference_runs_the_graph_once_and_answers_in_order() -> None:
    graph = Graph(classes=LABELS, scores=SCORES, outputs=np.float32([1, 2, 3]))
    tasks = [("price", REGRESS), ("", CLASSIFY)]
    results = multi_inference(load(graph, labelled(), PRICE), tasks, EXAMPLES, deadline=SOON)
    assert [(name, method) for name, method, _ in results] == [("price", REGRESS), ("serving_default", CLASSIFY)]
    assert results[0][2] == [1.0, 2.0, 3.0]
    assert results[1][2][2] == [("no", 1.0), ("да", 0.0)]
    assert list(graph.fetches) == ["classes:0", "outputs:0", "scores:0"]
    assert graph.deadline is SOON


@pytest.mark.parametrize(
    ("tasks", "error", "message"),
    [
        (
            [("price", REGRESS), ("price", REGRESS)],
            errors.InvalidArgument,
            "Duplicate evaluation of signature: price",
        ),
        (
            [("", CLASSIFY), ("serving_default", CLASSIFY)],
            errors.InvalidArgument,
            "Duplicate evaluation of signature: serving_default",
        ),
        (
            [("price", "tensorflow/serving/predict")],
            errors.Unimplemented,
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        ([("price", "")], errors.Unimplemented, "Unsupported signature method_name: "),
        (
            [("price", CLASSIFY)],
            errors.InvalidArgument,
            'Expected classification signature outputs to contain at least one of "classes" or "scores"; price has '
            "{outputs}.",
        ),
        ([("", REGRESS)], errors.InvalidArgument, "Expected one output Tensor."),
    ],
    ids=["twice", "twice by default", "predict", "no method", "not a classifier", "not a regressor"],
)
def test_multi_inference_refuses_tasks(
    tasks: list[tuple[str, str]], error: type[errors.ServingError], message: str
) -> None:
    with pytest.raises(error) as caught:
        multi_inference(load(Graph(), labelled(), PRICE), tasks, EXAMPLES)
    assert caught.value.message == message
