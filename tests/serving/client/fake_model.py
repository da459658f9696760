"""The fake model of the clients' tests: its characters depend on version, prompt, settings, seed and position alone.

`fake_servers` serves it. Signatures are made with TensorFlow, not with the client's codecs.
"""

import time
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

LETTERS = "abcdefghij "
TAIL = 3  # characters of a stop string that the fake compares
STATE = 2 + TAIL
SETTINGS = {
    "max_chars": np.array([12], np.int32),
    "temperature": np.array([0.5], np.float32),
    "top_k": np.array([0], np.int32),
    "top_p": np.array([1.0], np.float32),
    "seed": np.array([5], np.int64),
    "stop": np.array([""], object),
}
STREAM = {"state": np.zeros([1, STATE], np.float32), "position": np.array([0], np.int64)}


class Refused(Exception):  # noqa: N818  # an answer
    """What the server answers instead."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Backend:
    """The fake model `fake`, and switches for what goes wrong."""

    versions: list[int] = field(default_factory=lambda: [3])
    limit: int = 50  # the longest completion, as set at export
    score_limit: int | None = None  # the longest text that is scored, as set at export
    labels: dict[str, int] = field(default_factory=lambda: {"stable": 3})
    asked: list[tuple[str, int | None, dict[str, list[Any]]]] = field(default_factory=list)
    errors: list[Refused] = field(default_factory=list)  # the next answers
    delay: float = 0.0
    changes: dict[str, Any] = field(default_factory=dict)  # outputs that come out wrong; None leaves one out
    signatures_left_out: set[str] = field(default_factory=set)
    defaults: dict[str, np.ndarray] = field(default_factory=lambda: dict(SETTINGS))
    further: dict[str, np.ndarray] = field(default_factory=dict)  # settings beside those, with their defaults
    calls: int = 0

    def version(self, model: str, version: int | None, label: str | None) -> int:
        self.calls += 1
        time.sleep(self.delay)
        if self.errors:
            raise self.errors.pop(0)
        if label is not None and label not in self.labels:
            raise Refused("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
        wanted = self.labels[label] if label is not None else version
        if model != "fake" or (wanted is not None and wanted not in self.versions):
            asked = f"Latest({model})" if wanted is None else f"Specific({model}, {wanted})"
            raise Refused("NOT_FOUND", f"Servable not found for request: {asked}")
        return wanted if wanted is not None else max(self.versions)

    def predict(self, version: int, asked: int | None, signature: str, inputs: dict[str, list[Any]]) -> dict[str, Any]:
        self.asked.append((signature, asked, inputs))
        expected = set(self.signatures(version)[signature].inputs)
        if set(inputs) != expected or len({len(rows) for rows in inputs.values()}) != 1:
            raise Refused("INVALID_ARGUMENT", f"inputs {sorted(inputs)} do not fit {sorted(expected)}")
        outputs = getattr(self, f"_{signature}")(version, inputs)
        return {name: value for name, value in {**outputs, **self.changes}.items() if value is not None}

    def _serving_default(self, version: int, inputs: dict[str, list[Any]]) -> dict[str, Any]:
        n_rows = len(inputs["prompt"])
        settings = {name: value.tolist() * n_rows for name, value in {**self.defaults, **self.further}.items()}
        return {"text": self._generate(version, {**inputs, **settings})["text"]}

    def _generate(self, version: int, inputs: dict[str, list[Any]]) -> dict[str, Any]:
        n_rows = len(inputs["prompt"])
        done = self._stream(version, {**inputs, "state": [[0.0] * STATE] * n_rows, "position": [0] * n_rows})
        return {name: done[name] for name in ("text", "log_prob", "length", "finish_reason")}

    def _stream(self, version: int, inputs: dict[str, list[Any]]) -> dict[str, Any]:
        rows = [self._write(version, dict(zip(inputs, row))) for row in zip(*inputs.values())]
        text, reason, state, position = zip(*rows)
        return {
            "text": np.array(text, object),
            "log_prob": np.array([-0.5 * len(each) for each in text], np.float32),
            "length": np.array([len(each) for each in text], np.int32),
            "finish_reason": np.array(reason, object),
            "state": np.array(state, np.float32),
            "position": np.array(position, np.int64),
        }

    def _write(self, version: int, row: dict[str, Any]) -> tuple[str, str, list[float], int]:
        state, position = list(row["state"]), row["position"]
        if position == 0:
            read = zlib.crc32(f"{version}{row['prompt']}".encode())
            state[:2] = float(read >> 16), float(read & 0xFFFF)  # 16 bits are exact in float32
        tail = "".join(chr(int(code)) for code in state[2:])
        sampled = [float(np.float32(row[name])) for name in ("temperature", "top_p")] + [row["top_k"], row["seed"]]
        sampled += [row[name] for name in self.further]
        text = ""
        for _ in range(min(row["max_chars"], self.limit)):
            number = zlib.crc32(f"{state[:2]} {version} {position} {sampled}".encode())
            text += LETTERS[number % len(LETTERS)]
            position += 1
            tail = (tail + text[-1])[-TAIL:]
            if row["stop"] and tail.endswith(row["stop"]):
                return text, "stop", [*state[:2], *map(ord, tail)], position
        return text, "length", [*state[:2], *map(ord, tail)], position

    def _next_char(self, version: int, inputs: dict[str, list[Any]]) -> dict[str, Any]:
        ranked = [LETTERS[len(prompt) % 3 :] + LETTERS[: len(prompt) % 3] for prompt in inputs["prompt"]]
        likely = [[2.0**-place for place in range(1, len(LETTERS) + 1)] for _ in ranked]
        return {
            "chars": np.array([list(chars) for chars in ranked], object),
            "probabilities": np.array(likely, np.float32),
        }

    def _score(self, version: int, inputs: dict[str, list[Any]]) -> dict[str, Any]:
        texts = [text[: self.score_limit] for text in inputs["text"]]
        longest = max(map(len, texts))
        rows = [[-0.25] * len(text) + [0.0] * (longest - len(text)) for text in texts]
        return {
            "bits_per_char": np.array([0.25 if text else 0.0 for text in texts], np.float32),
            "char_log_probs": np.array(rows, np.float32).reshape(len(rows), longest),
            "length": np.array([*map(len, texts)], np.int32),
            "unknown_chars": np.array([text.count("🌻") for text in texts], np.int32),
            "truncated": np.array([*map(str.__ne__, texts, inputs["text"])]),
        }

    def signatures(self, version: int) -> dict[str, meta_graph_pb2.SignatureDef]:
        generate = {"prompt": np.array([""], object), **SETTINGS, **self.further}
        defaults = {**self.defaults, **self.further}
        done = {"text": tf.string, "log_prob": tf.float32, "length": tf.int32, "finish_reason": tf.string}
        prompt = {"prompt": np.array([""], object)}
        found = {
            "serving_default": _signature(prompt, {"text": tf.string}, {}),
            "generate": _signature(generate, done, defaults),
            "next_char": _signature(prompt, {"chars": tf.string, "probabilities": tf.float32}, {}),
            "score": _signature({"text": np.array([""], object)}, {"bits_per_char": tf.float32}, {}),
            "stream": _signature({**generate, **STREAM}, done, {**defaults, **STREAM}),
        }
        return {name: proto for name, proto in found.items() if name not in self.signatures_left_out}


def _signature(inputs: dict[str, Any], outputs: dict[str, Any], defaults: dict[str, Any]) -> Any:
    proto = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value)
        proto.inputs[name].dtype = tensor.dtype
        for size in (-1, *value.shape[1:]):
            proto.inputs[name].tensor_shape.dim.add(size=size)
    for name, dtype in outputs.items():
        proto.outputs[name].dtype = dtype.as_datatype_enum
        proto.outputs[name].tensor_shape.dim.add(size=-1)
    for name, value in defaults.items():
        proto.defaults[name].CopyFrom(tf.make_tensor_proto(value))
    return proto
