"""gRPC, REST, the client and the SavedModel called in this process give the same answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from charflow.serving import Client
from tests.serving.processes.server_process import ServerProcess, arrays_of, spec_of
from tests.support import whole_settings

PROMPTS = ["how do i ", "", "ünknown 🌻 things "]
ASKED = whole_settings(3, max_chars=[30, 9, 17], temperature=[0.7, 1.5, 0.9], seed=[7, -7, 2**40], stop=["", "", "e"])
SETTINGS: dict[str, list[Any]] = {name: values.tolist() for name, values in ASKED.items()}
SAMPLING = {"prompt": PROMPTS, **SETTINGS}
INPUTS: dict[str, dict[str, list[Any]]] = {
    "serving_default": {"prompt": PROMPTS},
    "generate": SAMPLING,
    "next_char": {"prompt": PROMPTS},
    "score": {"text": PROMPTS},
    "stream": {**SAMPLING, "position": [0, 0, 0]},
}


@pytest.fixture(scope="module")
def loaded(models: Path) -> Any:
    """The first version of `chat` in this process."""
    return tf.saved_model.load(str(models / "chat" / "1"))


@pytest.fixture(params=["grpc", "rest"])
def client(request: pytest.FixtureRequest, server: ServerProcess) -> Any:
    address = server.grpc if request.param == "grpc" else server.rest
    with Client(address, request.param, model="chat", version=1) as client:
        yield client


def tensors_of(loaded: Any, signature: str) -> dict[str, tf.Tensor]:
    specs = loaded.signatures[signature].structured_input_signature[1]
    values = dict(INPUTS[signature])
    if signature == "stream":
        values["state"] = np.zeros([len(PROMPTS), specs["state"].shape[1]]).tolist()
    return {name: tf.constant(values[name], spec.dtype) for name, spec in specs.items()}


def call_in_process(loaded: Any, signature: str, tensors: dict[str, tf.Tensor]) -> dict[str, Any]:
    outputs = loaded.signatures[signature](**tensors)
    return {
        name: [text.decode() for text in found.numpy().ravel()] if found.dtype == tf.string else found.numpy()
        for name, found in outputs.items()
    }


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if isinstance(values, list):
            assert np.ravel(np.array(found[name], object)).tolist() == values, name
        else:
            np.testing.assert_allclose(np.array(found[name]), values, rtol=1e-4, atol=1e-5, err_msg=name)
            assert np.shape(found[name]) == values.shape


@pytest.mark.parametrize("signature", INPUTS)
def test_doors_answer_as_the_saved_model_does(server: ServerProcess, loaded: Any, signature: str) -> None:
    tensors = tensors_of(loaded, signature)
    expected = call_in_process(loaded, signature, tensors)
    over_grpc = arrays_of(server.predict("chat", tensors, signature=signature, version=1))
    assert_same(over_grpc, expected)
    plain = {
        name: tensor.numpy().tolist() if tensor.dtype != tf.string else INPUTS[signature][name]
        for name, tensor in tensors.items()
    }
    columns = server.columns("chat/versions/1", plain, signature=signature)
    assert_same(columns if isinstance(columns, dict) else {"text": columns}, expected)
    rows = [dict(zip(plain, row)) for row in zip(*plain.values())]
    response = server.post("chat/labels/stable:predict", {"signature_name": signature, "instances": rows})
    assert response.status_code == 200, response.text
    predictions = response.json()["predictions"]
    named = predictions if isinstance(predictions[0], dict) else [{"text": text} for text in predictions]
    assert_same({name: [row[name] for row in named] for name in named[0]}, expected)


def test_client_answers_as_the_saved_model_does(client: Client, loaded: Any) -> None:
    def expected(signature: str) -> dict[str, Any]:
        return call_in_process(loaded, signature, tensors_of(loaded, signature))

    assert client.complete(PROMPTS) == expected("serving_default")["text"]
    written = expected("generate")
    for row, completion in enumerate(client.generate(PROMPTS, **SETTINGS)):
        assert (completion.text, completion.length) == (written["text"][row], written["length"][row])
        assert completion.finish_reason == written["finish_reason"][row]
        assert completion.log_prob == pytest.approx(float(written["log_prob"][row]), rel=1e-4, abs=1e-5)
    ranked = expected("next_char")
    found = client.next_char(PROMPTS)
    assert [char for row in found for char in row.chars] == ranked["chars"]
    np.testing.assert_allclose([row.probabilities for row in found], ranked["probabilities"], rtol=1e-4, atol=1e-6)
    judged = expected("score")
    for row, score in enumerate(client.score(PROMPTS)):
        assert (score.length, score.unknown_chars) == (judged["length"][row], judged["unknown_chars"][row])
        assert score.bits_per_char == pytest.approx(float(judged["bits_per_char"][row]), rel=1e-4)


@pytest.mark.parametrize("chunk_chars", [1, 7, 64])
def test_stream_is_generate_in_pieces(client: Client, chunk_chars: int) -> None:
    settings: Any = {"seed": 11, "max_chars": 40, "temperature": 1.2, "top_p": 0.95, "stop_at_end": False}
    pieces = list(client.stream("how do i ", chunk_chars=chunk_chars, **settings))
    assert "".join(pieces) == client.generate("how do i ", **settings).text
    assert len(pieces) == -(-40 // chunk_chars)


def test_seed_alone_decides_the_text(server: ServerProcess, client: Client) -> None:
    alone = client.generate("how do i ", seed=3, max_chars=25).text
    assert [found.text for found in client.generate(["a", "how do i "], seed=[9, 3], max_chars=25)][1] == alone
    assert client.generate("how do i ", seed=4, max_chars=25).text != alone
    inputs = {"prompt": ["how do i "], "seed": tf.constant([3], tf.int64), "max_chars": tf.constant([25])}
    left_out = server.ask("chat", inputs, signature="generate", version=1)  # the others have defaults
    assert left_out["text"] == [alone]


def test_metadata_is_the_same_over_both_doors(server: ServerProcess) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=spec_of("chat", label="stable"), metadata_field=["signature_def"]
    )
    answer = server.predictions.GetModelMetadata(request)
    assert answer.model_spec.version.value == 1
    signatures = get_model_metadata_pb2.SignatureDefMap()
    answer.metadata["signature_def"].Unpack(signatures)
    over_rest = server.http.get("/v1/models/chat/labels/stable/metadata").json()["metadata"]["signature_def"]
    for signature in over_rest["signature_def"].values():
        if not signature["defaults"]:
            del signature["defaults"]  # printed though empty
    parsed = json_format.ParseDict(over_rest, get_model_metadata_pb2.SignatureDefMap())
    assert parsed == signatures
    assert set(INPUTS) <= set(signatures.signature_def)


def test_ten_megabyte_prompt_is_answered_by_its_end(server: ServerProcess) -> None:
    end = "how do i " * 2000
    expected = server.ask("chat", {"prompt": [end]})["text"]
    prompt = "x" * (10_000_000 - len(end)) + end
    assert server.ask("chat", {"prompt": [prompt]})["text"] == expected
    assert server.columns("chat", {"prompt": [prompt]}) == expected
