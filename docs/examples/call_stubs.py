"""Calls a served model with the stubs of tensorflow-serving-api, without charflow: generate, then stream.

pip install tensorflow-serving-api, which brings grpcio and TensorFlow; `python call_stubs.py [HOST:PORT MODEL]`.
"""

import sys

import grpc
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

address, model = sys.argv[1:] or ("127.0.0.1:8500", "a")
stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(address))


def read_signatures() -> dict:
    """Asks the model for its signatures: names, types and shapes of all inputs, and their defaults."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = model
    found = get_model_metadata_pb2.SignatureDefMap()
    stub.GetModelMetadata(request, timeout=30).metadata["signature_def"].Unpack(found)
    return dict(found.signature_def)


signatures = read_signatures()


def predict(signature: str, **inputs: list) -> predict_pb2.PredictResponse:
    """Sends one request; inputs that are left out take the model's defaults."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, rows in inputs.items():
        dtype = signatures[signature].inputs[name].dtype
        request.inputs[name].CopyFrom(tf.make_tensor_proto(rows, dtype=dtype))
    return stub.Predict(request, timeout=30)


answer = predict("generate", prompt=["how do i "], max_chars=[60], seed=[7])
print(answer.outputs["text"].string_val[0].decode())

# The same text in up to three chunks: state and position of each answer go into the next request, with an empty prompt.
state_size = signatures["stream"].inputs["state"].tensor_shape.dim[1].size
prompt, state, position = "how do i ", [0.0] * state_size, 0
for _ in range(3):
    answer = predict("stream", prompt=[prompt], max_chars=[20], seed=[7], state=[state], position=[position])
    print(answer.outputs["text"].string_val[0].decode(), end="|", flush=True)
    if answer.outputs["finish_reason"].string_val[0] != b"length":  # "end": the message is over; "stop"
        break
    prompt, state, position = "", list(answer.outputs["state"].float_val), answer.outputs["position"].int64_val[0]
print()
