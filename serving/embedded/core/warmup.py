"""Replays the requests that a SavedModel brings along, before its version is announced.

The file is a TFRecord of PredictionLog, as TensorFlow Serving reads it (g3doc/saved_model_warmup.md).
"""

import functools

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from charflow.serving.embedded.core.inference import Loaded, classify, multi_inference, predict, regress
from charflow.serving.embedded.core.servable import from_tensorflow
from charflow.serving.embedded.core.tensor_protos import to_arrays, to_examples
from charflow.serving.errors import InvalidArgument, Unimplemented
from charflow.serving.layout import WARM_UP

_MOST = 1000


def warm_up(loaded: Loaded, path: str, *, iterations: int = 1) -> int:
    """Replays the warm-up file of a version's folder, if there is one.

    Args:
        loaded: the version.
        path: its folder.
        iterations: how often each request is sent.

    Returns:
        How many records were read.

    Raises:
        ServingError: a record that cannot be read or fails; the version must not be served then.
    """
    file = f"{path}/{WARM_UP}"
    if not tf.io.gfile.exists(file):
        return 0
    count = 0
    try:
        for record in tf.compat.v1.io.tf_record_iterator(file):
            count += 1
            if count > _MOST:
                raise InvalidArgument(f"Number of warmup records exceeds the maximum ({_MOST}) at {file}")
            log = _parse(record, file)
            for _ in range(max(1, iterations)):
                _replay(loaded, log)
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from error
    return count


def _parse(record: bytes, file: str) -> prediction_log_pb2.PredictionLog:
    try:
        return prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise InvalidArgument(f"Failed to parse warmup record from {file}: {error}") from error


def _replay(loaded: Loaded, log: prediction_log_pb2.PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        feed = functools.partial(to_arrays, request.inputs)
        predict(loaded, request.model_spec.signature_name, feed, outputs=list(request.output_filter))
    elif kind == "classify_log":
        request = log.classify_log.request
        classify(loaded, request.model_spec.signature_name, to_examples(request.input))
    elif kind == "regress_log":
        request = log.regress_log.request
        regress(loaded, request.model_spec.signature_name, to_examples(request.input))
    elif kind == "multi_inference_log":
        request = log.multi_inference_log.request
        tasks = [(task.model_spec.signature_name, task.method_name) for task in request.tasks]
        multi_inference(loaded, tasks, to_examples(request.input))
    else:
        raise Unimplemented(f"Unsupported log_type for warmup: {kind}")
