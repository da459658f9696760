"""Calls a served model with the stubs of tensorflow-serving-api, without charflow: generate, then stream.

pip install tensorflow-serving-api, which brings grpcio and TensorFlow; `python call_stubs.py [HOST:PORT MODEL]`.
"""

import sys

import grpc
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

DTYPES = {
    "prompt": tf.string,
    "max_chars": tf.int32,
    "temperature": tf.float32,
    "top_k": tf.int32,
    "top_p": tf.float32,
    "seed": tf.int64,
    "stop": tf.string,
    "state": tf.float32,
    "position": tf.int64,
}
address, model = sys.argv[1:] or ("127.0.0.1:8500", "a")
stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(address))


def predict(signature: str, **inputs: list) -> predict_pb2.PredictResponse:
    """Sends one request; inputs that are left out take the model's defaults."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, rows in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(rows, dtype=DTYPES[name]))
    return stub.Predict(request, timeout=30)


def state_size() -> int:
    """Reads from the metadata how many floats a state has."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = model
    signatures = get_model_metadata_pb2.SignatureDefMap()
    stub.GetModelMetadata(request, timeout=30).metadata["signature_def"].Unpack(signatures)
    return signatures.signature_def["stream"].inputs["state"].tensor_shape.dim[1].size


answer = predict("generate", prompt=["how do i "], max_chars=[60], seed=[7])
print(answer.outputs["text"].string_val[0].decode())

# The same text in three chunks: state and position of each answer go into the next request, with an empty prompt.
prompt, state, position = "how do i ", [0.0] * state_size(), 0
for _ in range(3):
    answer = predict("stream", prompt=[prompt], max_chars=[20], seed=[7], state=[state], position=[position])
    print(answer.outputs["text"].string_val[0].decode(), end="|", flush=True)
    prompt, state, position = "", list(answer.outputs["state"].float_val), answer.outputs["position"].int64_val[0]
print()
