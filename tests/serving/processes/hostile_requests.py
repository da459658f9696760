"""Requests that no friend sends: generated from the protocol's own descriptors, and right ones with a wrong part.

Everything comes from a `random.Random`, so that a seed says it all.
"""

import copy
import gzip
import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import tensorflow as tf
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2

from charflow.model.decoding.settings import SETTINGS
from tests.support import whole_settings

SERVICES = (prediction_service_pb2.DESCRIPTOR, model_service_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR)
RELOAD = "HandleReloadConfigRequest"
NAN, INFINITY = float("nan"), float("inf")
TEXTS = ["", "a", "how do i ", "\0", "ﷺ" * 9, "é" * 300, "\ufdd0", "x:0", "/tmp", "../..", "-1"]
NAMES = {  # what a text field of this name may say and mean something
    "name": ["chat", "half_plus_two", "shapes", "words", "nobody's"],
    "signature_name": ["", "generate", "stream", "score", "next_char", "echo", "half", "regress_x_to_y", "no"],
    "version_label": ["stable", "no"],
    "method_name": ["tensorflow/serving/regress", "tensorflow/serving/classify", "tensorflow/serving/predict"],
    "metadata_field": ["signature_def", "no"],
    "output_filter": ["text", "length", "y", "z"],
    "key": ["x", "prompt", "text", "words", "inputs", "seed", "temperature", "state", "position", "y"],
    "service": ["", "tensorflow.serving.PredictionService"],
}
INTEGERS = [0, 1, 2, 3, 5, 33, 64, 255, 1000]
EXTREMES = [-1, 2**31 - 1, -(2**31), 2**32, 2**62, -(2**63), 2**63 - 1]
FLOATS = [0.0, 1.0, -0.0, 0.5, NAN, INFINITY, -INFINITY, 1e-45, 3.4e38, -1e30]
BYTES = [b"", b"a", b"\xff\xfe", b"\0" * 8, b"how do", b"\xf0\x9f", b"\x0a\x07\x0a\x05\x0a\x01x\x12\x00"]

FIELDS: dict[int, tuple[str, list[Any]]] = {  # typed field of a TensorProto, and what to put there
    types_pb2.DT_STRING: ("string_val", [*BYTES, *(text.encode() for text in TEXTS)]),
    types_pb2.DT_FLOAT: ("float_val", FLOATS),
    types_pb2.DT_INT32: ("int_val", [0, 1, 3, 50, -1, 2**31 - 1, -(2**31)]),
    types_pb2.DT_INT64: ("int64_val", [0, 1, -1, 2**63 - 1, -(2**63)]),
    types_pb2.DT_BOOL: ("bool_val", [True, False]),
    types_pb2.DT_DOUBLE: ("double_val", FLOATS),
    types_pb2.DT_UINT8: ("int_val", [0, 255, 256, -1]),
}
TEXT, FLOAT, LONG = types_pb2.DT_STRING, types_pb2.DT_FLOAT, types_pb2.DT_INT64
Inputs = dict[str, tuple[int, int]]  # by name: type, and columns besides the rows
SAMPLING: Inputs = {"prompt": (TEXT, 0)}
SAMPLING |= {setting.name: (tf.as_dtype(setting.dtype).as_datatype_enum, 0) for setting in SETTINGS}
STATE_SIZE = 2 * 24 + 32 + 1  # of the tests' chat: the context, what a stop string may begin in, messages that are over
SIGNATURES: list[tuple[str, str, Inputs]] = [
    ("chat", "", {"prompt": (TEXT, 0)}),
    ("chat", "generate", SAMPLING),
    ("chat", "stream", {**SAMPLING, "state": (FLOAT, STATE_SIZE), "position": (LONG, 0)}),
    ("chat", "score", {"text": (TEXT, 0)}),
    ("chat", "next_char", {"prompt": (TEXT, 0)}),
    ("half_plus_two", "", {"x": (FLOAT, 1)}),
    ("words", "", {"words": (TEXT, 0)}),
    ("shapes", "", {"x": (FLOAT, 3)}),
]


def methods() -> list[MethodDescriptor]:
    """Every method of the services, but those that answer for ever."""
    found = [method for file in SERVICES for service in file.services_by_name.values() for method in service.methods]
    return [method for method in found if not method.server_streaming]


def generated_calls(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yields gRPC methods with messages for them, some of them damaged."""
    known = methods()
    predict = next(method for method in known if method.name == "Predict")
    while True:
        method = rng.choice(known) if rng.random() < 0.5 else predict
        message = GetMessageClass(method.input_type)()
        if method is predict and rng.random() < 0.7:
            _fill_nearly(message, rng)
        else:
            _fill(message, rng, 0)
        if method.name == RELOAD:  # a right one would be obeyed: the same model twice never is
            for _ in range(2):
                message.config.model_config_list.config.add(name="twice", base_path="/no", model_platform="tensorflow")
        data = message.SerializeToString()
        if rng.random() < 0.05:
            at = rng.randint(0, len(data))
            data = data[:at] + rng.randbytes(rng.randint(0, 5)) + data[at + rng.randint(0, 5) :]
            if method.name == RELOAD:
                data = b"\xff" + data
        yield f"/{method.containing_service.full_name}/{method.name}", data


def _fill_nearly(message: Any, rng: random.Random) -> None:
    """A Predict with the inputs of a signature, whose values and now and then shapes are odd."""
    model, signature, inputs = rng.choice(SIGNATURES)
    message.model_spec.name, message.model_spec.signature_name = model, signature
    rows = rng.choice([1, 1, 1, 2, 3, 0])
    for name, (dtype, width) in inputs.items():
        if rng.random() < 0.05:
            continue
        tensor = message.inputs[name]
        tensor.dtype = dtype if rng.random() < 0.97 else rng.choice(list(FIELDS))
        shape = [rows, *([width] if width else [])]
        if rng.random() < 0.1:
            shape = rng.choice([[], [1] * 33, [1, 1, *shape], [2**31], [2**40, 0], [-1], [1] * 300, [rows, 5]])
        for size in shape:
            tensor.tensor_shape.dim.add(size=size)
        field, values = FIELDS[tensor.dtype]
        count = rng.choice([1, max(rows, 1) * (width or 1)])
        getattr(tensor, field).extend(rng.choice(values) for _ in range(min(count, 200)))


def _fill(message: Message, rng: random.Random, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if rng.random() > (0.8 if depth < 3 else 0.5 - 0.05 * depth):
            continue
        count = rng.choice([0, 1, 1, 1, 2, 3]) if field.is_repeated else 1
        for _ in range(count):
            if field.message_type and field.message_type.GetOptions().map_entry:
                _fill_entry(getattr(message, field.name), field, rng, depth)
            elif field.message_type:
                part = getattr(message, field.name)
                part = part.add() if field.is_repeated else part
                part.SetInParent()
                if depth < 7:
                    _fill(part, rng, depth + 1)
            elif field.is_repeated:
                getattr(message, field.name).append(_value(field, rng))
            else:
                setattr(message, field.name, _value(field, rng))
    if message.DESCRIPTOR.name == "TensorProto" and rng.random() < 0.7:  # else hardly one gets past its type
        message.dtype = rng.choice([types_pb2.DT_STRING, types_pb2.DT_FLOAT, types_pb2.DT_INT64, types_pb2.DT_INT32])


def _fill_entry(entries: Any, field: FieldDescriptor, rng: random.Random, depth: int) -> None:
    key = _value(field.message_type.fields_by_name["key"], rng)
    if field.message_type.fields_by_name["value"].message_type:
        _fill(entries[key], rng, depth + 1)
    else:
        entries[key] = _value(field.message_type.fields_by_name["value"], rng)


def _value(field: FieldDescriptor, rng: random.Random) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return rng.choice(BYTES)
        return rng.choice(NAMES[field.name] if field.name in NAMES and rng.random() < 0.9 else TEXTS)
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return rng.choice(FLOATS)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return rng.choice([value.number for value in field.enum_type.values])
    bits = 64 if "64" in str(field.cpp_type) or field.cpp_type in _LONG else 32
    low, high = (0, 2**bits - 1) if field.cpp_type in _UNSIGNED else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return min(max(rng.choice(INTEGERS if rng.random() < 0.8 else EXTREMES), low), high)


_LONG = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
_UNSIGNED = (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)

ECHO = {"flag": [True], "small": [1], "large": [2], "byte": [3], "exact": [0.5], "text": ["a"]}
GENERATE = {name: values.tolist() for name, values in whole_settings(max_chars=3, temperature=1, seed=1).items()}
RIGHT: list[tuple[str, dict[str, Any]]] = [
    ("half_plus_two:predict", {"instances": [1.0, 2]}),
    ("half_plus_two/versions/123:predict", {"instances": [{"x": [1.0]}, {"x": [2.0]}]}),
    ("half_plus_two:regress", {"signature_name": "regress_x_to_y", "context": {"x": 1}, "examples": [{"x": [2.0]}]}),
    ("half_plus_two:classify", {"signature_name": "classify_x_to_y", "examples": [{"x": 1.0, "y": "a"}]}),
    ("words:predict", {"instances": ["one", {"b64": "dHdv"}]}),
    ("shapes:predict", {"instances": [[1.0, 2.0, 3.0]]}),
    ("shapes:predict", {"signature_name": "echo", "inputs": ECHO}),
    ("shapes:predict", {"signature_name": "half", "instances": [1.0]}),
    ("chat:predict", {"signature_name": "score", "instances": [{"text": "a"}, {"text": "b c"}]}),
    ("chat:predict", {"signature_name": "next_char", "inputs": {"prompt": ["a"]}}),
    ("chat:predict", {"signature_name": "generate", "inputs": {"prompt": ["a"], **GENERATE}}),
]
ODD: list[Any] = [None, True, {}, [], [[]], "", "a", {"b64": "YQ=="}, {"b64": "!"}, {"b64": 1}, 0, -1, 0.5, 1e39]
ODD += [2**31, 2**64, 10**400, 10**5000, NAN, -INFINITY, [1, "a"], [[1], [2, 3]], "\0", "\ud800", "é" * 500]
VERBS = ["POST"] * 20 + ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "FROB"]


def generated_posts(rng: random.Random) -> Iterator[tuple[str, str, bytes, dict[str, str]]]:
    """Yields REST requests: right ones of which values were replaced or doubled, some damaged or compressed."""
    while True:
        path, document = copy.deepcopy(rng.choice(RIGHT))
        for _ in range(rng.randint(0, 3)):
            container, key = rng.choice(_places(document))
            odd = copy.deepcopy(rng.choice(ODD))
            container[key] = [container[key], odd] if rng.random() < 0.5 else odd
        body, headers = _dump(document).encode("utf-8", "surrogatepass"), {}
        if rng.random() < 0.2:
            at = rng.randint(0, len(body))
            body = body[:at] + rng.randbytes(rng.randint(0, 6)) + body[at + rng.randint(0, 6) :]
        if rng.random() < 0.1:
            body, headers = rng.choice([gzip.compress(body), body]), {"Content-Encoding": "gzip"}
        if rng.random() < 0.1:
            path = quote(rng.choice(TEXTS))
        yield rng.choice(VERBS), f"/v1/models/{path}", body, headers


def _dump(value: Any) -> str:
    """JSON, with whole numbers of any length, which Python itself refuses to write."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_dump(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_dump, value)) + "]"
    if isinstance(value, int) and not isinstance(value, bool) and value > 2**64:
        return "1" + "0" * (400 if value < 10**401 else 5000)
    return json.dumps(value)


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
    return [place for key in keys for place in [(node, key), *_places(node[key])]]
