"""Writes the warm-up file that TensorFlow Serving replays before it announces a version.

`publish` calls it. The file is a TFRecord of PredictionLog, at most 1,000 of them (tensorflow/serving,
g3doc/saved_model_warmup.md).
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from charflow.export.signatures import RECORDS
from charflow.model.decoding.samplers import SAMPLERS
from charflow.model.decoding.settings import SamplingSettings
from charflow.model.decoding.text_model import TextModel
from charflow.serving.layout import WARM_UP

_CHARS = 8  # enough to run a loop of the decoder


def write_warmup(version_folder: Path, *, model_name: str, text_model: TextModel, settings: SamplingSettings) -> None:
    """Writes a request a signature, and two for those that sample: without samplers, and with every one."""
    path = version_folder / WARM_UP
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in _requests(text_model, settings):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model_name
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())


def _requests(text_model: TextModel, settings: SamplingSettings) -> Iterator[tuple[str, dict[str, Any]]]:
    plain = asdict(SamplingSettings(max_chars=_CHARS, temperature=settings.temperature))
    sampled = plain | {sampler.name: sampler.usual for sampler in SAMPLERS}
    begin = {"prompt": "", "text": "", "position": 0}
    for record in RECORDS:
        takes = {each.name for each in record.inputs}
        for values in (plain, sampled) if takes & set(sampled) else (plain,):
            yield (
                record.name,
                {
                    each.name: tf.zeros([1, text_model.state_size])
                    if each.name == "state"
                    else tf.constant([{**begin, **values}[each.name]], each.dtype)
                    for each in record.inputs
                },
            )
