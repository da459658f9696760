"""Writes the warm-up file that TensorFlow Serving replays before it announces a version.

`publish` calls it. The file is a TFRecord of PredictionLog, at most 1,000 of them, at
assets.extra/tf_serving_warmup_requests (tensorflow/serving, g3doc/saved_model_warmup.md).
"""

from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from charflow.export.signatures import SIGNATURES
from charflow.model.decoding.generator import SamplingSettings
from charflow.model.decoding.text_model import TextModel

_CHARS = 8  # enough to run both loops of the decoder once


def write_warmup(version_folder: Path, *, model_name: str, text_model: TextModel, settings: SamplingSettings) -> None:
    """Writes a request a signature, and two for those that sample: without and with filters."""
    requests = _requests(text_model, settings)
    path = version_folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model_name
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())


def _requests(text_model: TextModel, settings: SamplingSettings) -> list[tuple[str, dict[str, Any]]]:
    prompt = tf.constant([""])
    plain = {
        "prompt": prompt,
        "max_chars": tf.constant([_CHARS]),
        "temperature": tf.constant([float(settings.temperature)]),
        "top_k": tf.constant([0]),
        "top_p": tf.constant([1.0]),
        "seed": tf.constant([0], tf.int64),
        "stop": tf.constant([""]),
    }
    filtered = {**plain, "top_p": tf.constant([0.9])}
    begin = {"state": tf.zeros([1, text_model.state_size]), "position": tf.constant([0], tf.int64)}
    default, generate, next_char, score, stream = SIGNATURES
    return [
        (default, {"prompt": prompt}),
        (generate, plain),
        (generate, filtered),
        (next_char, {"prompt": prompt}),
        (score, {"text": prompt}),
        (stream, plain | begin),
        (stream, filtered | begin),
    ]
