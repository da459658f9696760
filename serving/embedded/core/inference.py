"""Predict, Classify, Regress and MultiInference on one loaded version.

The core calls it with the version it leased, the warm-up with the version being loaded. The rules and their codes are
TensorFlow Serving's (predict_util.cc, classifier.cc, regressor.cc, multi_inference.cc).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.servable import Runner
from charflow.serving.embedded.core.signature import ServedSignature, dtype_name, dtype_of, name_set
from charflow.serving.embedded.core.spec import DEFAULT_SIGNATURE
from charflow.serving.errors import FailedPrecondition, InvalidArgument, ServingError, Unimplemented

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

Feed = Callable[[ServedSignature], Mapping[str, np.ndarray]]
Classes = list[list[tuple[str, float]]]


@dataclass(frozen=True)
class Loaded:
    """A version that can be asked: its signatures, and what runs them.

    Attributes:
        signatures: what can be asked, by name.
        runner: runs the graph, alone or in batches.
        signature_defs: the signatures as they were saved.
    """

    signatures: Mapping[str, ServedSignature]
    runner: Runner
    signature_defs: Mapping[str, meta_graph_pb2.SignatureDef] = field(default_factory=dict)


def predict(
    loaded: Loaded, signature_name: str, feed: Feed, *, outputs: Sequence[str] = (), deadline: Deadline = NEVER
) -> tuple[str, dict[str, np.ndarray]]:
    """Runs a signature.

    Args:
        loaded: the version.
        signature_name: empty for `serving_default`.
        feed: gives the inputs once the signature is known.
        outputs: only these; empty for all.
        deadline: when the graph must be done.

    Returns:
        The signature's name and its outputs.

    Raises:
        FailedPrecondition: no such signature.
        InvalidArgument: inputs or outputs that do not fit it, or that the graph's kernels refuse.
    """
    signature = _find(loaded, signature_name, FailedPrecondition, 'Serving signature key "{}" not found.')
    feeds = _check_inputs(signature, feed(signature))
    names = _check_outputs(signature, outputs)
    fetched = _run(loaded, signature, feeds, [signature.outputs[name].tensor for name in names], deadline)
    return signature.name, dict(zip(names, fetched, strict=True))


def classify(
    loaded: Loaded, signature_name: str, examples: Sequence[bytes], *, deadline: Deadline = NEVER
) -> tuple[str, Classes]:
    """Classifies serialised tf.Examples: for each its (label, score) pairs."""
    signature = _find(loaded, signature_name, InvalidArgument, "No signature was found with the name: {}")
    _check_classify(signature)
    fetched = _run_examples(loaded, [signature], examples, deadline)
    return signature.name, _read_classes(signature, fetched, len(examples))


def regress(
    loaded: Loaded, signature_name: str, examples: Sequence[bytes], *, deadline: Deadline = NEVER
) -> tuple[str, list[float]]:
    """Gives a value for each serialised tf.Example."""
    signature = _find(loaded, signature_name, InvalidArgument, "No signature was found with the name: {}")
    _check_regress(signature)
    fetched = _run_examples(loaded, [signature], examples, deadline)
    return signature.name, _read_values(signature, fetched, len(examples))


def multi_inference(
    loaded: Loaded, tasks: Sequence[tuple[str, str]], examples: Sequence[bytes], *, deadline: Deadline = NEVER
) -> list[tuple[str, str, Classes | list[float]]]:
    """Runs several (signature, method) tasks on the same examples in one step.

    Returns:
        Signature, method and result, in the order of the tasks.
    """
    signatures: list[ServedSignature] = []
    for name, method in tasks:
        signature = _find(loaded, name, InvalidArgument, "Requested signature not found in model graph: {}")
        if signature in signatures:
            raise InvalidArgument(f"Duplicate evaluation of signature: {signature.name}")
        if method not in (CLASSIFY, REGRESS):
            raise Unimplemented(f"Unsupported signature method_name: {method}")
        (_check_classify if method == CLASSIFY else _check_regress)(signature)
        signatures.append(signature)
    fetched = _run_examples(loaded, signatures, examples, deadline)
    results = []
    for signature, (_, method) in zip(signatures, tasks, strict=True):
        read: Callable[..., Classes | list[float]] = _read_classes if method == CLASSIFY else _read_values
        results.append((signature.name, method, read(signature, fetched, len(examples))))
    return results


def _find(loaded: Loaded, name: str, error: type[ServingError], message: str) -> ServedSignature:
    name = name or DEFAULT_SIGNATURE
    if name not in loaded.signatures:
        raise error(message.format(name))
    return loaded.signatures[name]


def _check_inputs(signature: ServedSignature, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    signature.check_names(inputs)
    feeds = {}
    for name, spec in signature.inputs.items():
        value = inputs[name] if name in inputs else signature.defaults[name]
        signature.check_tensor(name, dtype_of(value.dtype), value.shape)
        feeds[spec.tensor] = value
    return feeds


def _run(
    loaded: Loaded,
    signature: ServedSignature,
    feeds: Mapping[str, np.ndarray],
    fetches: Sequence[str],
    deadline: Deadline,
) -> list[np.ndarray]:
    try:
        return loaded.runner.run(feeds, fetches, deadline=deadline)
    except InvalidArgument as error:  # kernels name neither inputs nor what they should have been
        shapes = {name: feeds[spec.tensor].shape for name, spec in signature.inputs.items()}
        if misfits := signature.describe_misfits(shapes):
            raise InvalidArgument(f"{error.message} ({misfits})") from error
        raise


def _check_outputs(signature: ServedSignature, outputs: Sequence[str]) -> list[str]:
    for name in outputs:
        if name not in signature.outputs:
            raise InvalidArgument(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {name_set(signature.outputs)}."
            )
        if list(outputs).count(name) > 1:
            raise InvalidArgument(f"duplicate output tensor alias: {name}")
    return list(outputs) or list(signature.outputs)


def _check_examples_input(signature: ServedSignature, kind: str) -> None:
    if len(signature.inputs) != 1:
        raise InvalidArgument("Expected one input Tensor.")
    if "inputs" not in signature.inputs:
        raise InvalidArgument(f"No {kind} inputs found in signature {signature.name}: it needs an input named inputs.")


def _check_classify(signature: ServedSignature) -> None:
    _check_examples_input(signature, "classification")
    if len(signature.outputs) not in (1, 2):
        raise InvalidArgument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if not {"classes", "scores"} & set(signature.outputs):
        raise InvalidArgument(
            "Expected classification signature outputs to contain at least one of "
            f'"classes" or "scores"; {signature.name} has {name_set(signature.outputs)}.'
        )


def _check_regress(signature: ServedSignature) -> None:
    _check_examples_input(signature, "regression")
    if len(signature.outputs) != 1:
        raise InvalidArgument("Expected one output Tensor.")
    if "outputs" not in signature.outputs:
        raise InvalidArgument(f"No regression outputs found in signature {signature.name}.")


def _run_examples(
    loaded: Loaded, signatures: Sequence[ServedSignature], examples: Sequence[bytes], deadline: Deadline
) -> dict[str, np.ndarray]:
    """Feeds the examples to every signature's input and fetches every output, by tensor name."""
    if not examples:
        raise InvalidArgument("Input is empty.")
    batch = np.array(examples, object)  # [n]
    feeds: dict[str, np.ndarray] = {}
    for signature in signatures:
        feeds |= _check_inputs(signature, {"inputs": batch})
    fetches = sorted({spec.tensor for signature in signatures for spec in signature.outputs.values()})
    return dict(zip(fetches, loaded.runner.run(feeds, fetches, deadline=deadline), strict=True))


def _read_classes(signature: ServedSignature, fetched: Mapping[str, np.ndarray], count: int) -> Classes:
    labels, scores = (
        fetched[signature.outputs[name].tensor] if name in signature.outputs else None for name in ("classes", "scores")
    )
    for name, values, dtype in (("classes", labels, tf.string), ("scores", scores, tf.float32)):
        if values is None:
            continue
        if values.ndim != 2:
            raise InvalidArgument(f"Expected Tensor shape: [batch_size num_classes] but got {list(values.shape)}")
        if values.dtype != dtype.as_numpy_dtype:
            raise InvalidArgument(f"Expected {name} Tensor of {dtype_name(dtype)}.")
        if len(values) != count:
            raise InvalidArgument(f"Expected {name} output batch size of {count}. Got: {len(values)}")
    if labels is not None and scores is not None and labels.shape != scores.shape:
        raise InvalidArgument(
            f"Tensors class and score should match in dim_size(1). Got {labels.shape[1]} vs. {scores.shape[1]}"
        )
    shape = labels.shape if labels is not None else scores.shape  # type: ignore[union-attr]  # one of them is there
    names = [[label.decode("utf-8", "replace") for label in row] for row in labels] if labels is not None else None
    values = scores.tolist() if scores is not None else None
    return [
        [(names[row][column] if names else "", values[row][column] if values else 0.0) for column in range(shape[1])]
        for row in range(shape[0])
    ]


def _read_values(signature: ServedSignature, fetched: Mapping[str, np.ndarray], count: int) -> list[float]:
    values = fetched[signature.outputs["outputs"].tensor]
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise InvalidArgument(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {list(values.shape)}"
        )
    if len(values) != count:
        raise InvalidArgument(f"Input batch size did not match output batch size: {count} vs. {len(values)}")
    if values.dtype != np.float32:
        raise InvalidArgument("Expected output Tensor of DT_FLOAT.")
    return values.ravel().tolist()
