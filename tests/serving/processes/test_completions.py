"""Completions by OpenAI's own Python client, whole and as they are written, from charflow-model-server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charflow.serving import Client
from tests.serving.processes.server_process import ServerProcess, starting

openai = pytest.importorskip("openai", reason="pip install openai")
pytestmark = pytest.mark.slow

PROMPT = "the "


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with starting(tmp_path_factory.mktemp("completions")) as start:
        yield start(model_name="chat", model_base_path=models / "chat", openai_completions=True)


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"http://{server.rest}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def complete(client: Any) -> Any:
    def complete(**fields: Any) -> Any:
        defaults = {
            "model": "chat",
            "prompt": PROMPT,
            "seed": 3,
            "max_tokens": 40,
            "extra_body": {"stop_at_end": False},
        }
        return client.completions.create(**{**defaults, **fields})

    return complete


def test_the_text_is_that_of_generate(complete: Any, server: ServerProcess) -> None:
    with Client(server.grpc, model="chat") as ours:
        expected = ours.generate(PROMPT, max_chars=40, temperature=1.0, seed=3, stop_at_end=False).text
    found = complete()
    assert (found.object, found.model, found.id[:5]) == ("text_completion", "chat", "cmpl-")
    (choice,) = found.choices
    assert (choice.text, choice.index, choice.finish_reason, choice.logprobs) == (expected, 0, "length", None)
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.total_tokens) == (4, 40, 44)


@pytest.mark.parametrize(
    "fields", [{}, {"n": 2, "prompt": [PROMPT, "and "], "echo": True}, {"stop": ["e", "zq"], "logprobs": 2}], ids=str
)
def test_a_stream_has_the_pieces_of_the_text(complete: Any, fields: dict) -> None:
    whole = complete(**fields)
    pieces = list(complete(stream=True, stream_options={"include_usage": True}, **fields))
    *pieces, last = pieces
    assert (last.choices, last.usage) == ([], whole.usage)
    assert len(pieces) > len(whole.choices) or "stop" in fields
    for choice in whole.choices:
        mine = [part for piece in pieces for part in piece.choices if part.index == choice.index]
        assert "".join(part.text for part in mine) == choice.text
        assert [part.finish_reason for part in mine] == [None] * (len(mine) - 1) + [choice.finish_reason]
        if choice.logprobs:
            joined = [value for part in mine for value in part.logprobs.token_logprobs]
            assert joined == pytest.approx(choice.logprobs.token_logprobs, abs=1e-5)


def test_texts_of_a_request_have_seeds_of_their_own(complete: Any) -> None:
    found = complete(prompt=[PROMPT, "and "], n=2)
    assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
    assert len({choice.text for choice in found.choices}) == 4
    assert complete(prompt="and ", seed=6).choices[0].text == found.choices[3].text


def test_a_stop_string_is_not_part_of_the_text(complete: Any) -> None:
    whole = complete().choices[0].text
    found = complete(stop=whole[7:9]).choices[0]
    assert (found.text, found.finish_reason) == (whole[: whole.index(whole[7:9])], "stop")


def test_logarithms_are_those_of_the_model(complete: Any, server: ServerProcess) -> None:
    choice = complete(logprobs=3, echo=True, max_tokens=12).choices[0]
    with Client(server.grpc, model="chat") as ours:
        scored = ours.score(choice.text)
        ranked = ours.next_char(choice.text[:6])
    found = choice.logprobs
    assert "".join(found.tokens) == choice.text
    assert found.text_offset == list(range(16))
    assert found.token_logprobs == pytest.approx(scored.char_log_probs[:16], abs=1e-5)
    assert len(found.top_logprobs) == 16
    assert list(found.top_logprobs[6]) == list(ranked.chars[:3])
    alone = complete(logprobs=0, max_tokens=12).choices[0].logprobs
    assert (alone.token_logprobs, alone.text_offset) == (
        pytest.approx(found.token_logprobs[4:], abs=1e-5),
        list(range(4, 16)),
    )
    assert alone.top_logprobs is None


def test_nothing_to_write_judges_the_prompt(complete: Any) -> None:
    choice = complete(max_tokens=0, echo=True, logprobs=0).choices[0]
    assert (choice.text, choice.finish_reason, len(choice.logprobs.token_logprobs)) == (PROMPT, "length", 4)


def test_models_are_listed(client: Any) -> None:
    (model,) = client.models.list().data
    assert (model.id, model.object, model.owned_by) == ("chat", "model", "charflow")


def test_errors_are_those_that_the_client_knows(complete: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="presence_penalty is not supported: leave it out"):
        complete(presence_penalty=0.5)
    with pytest.raises(openai.BadRequestError, match="tempo is not known: model chat has no such setting"):
        complete(extra_body={"tempo": 1})
    with pytest.raises(openai.NotFoundError, match="Servable not found for request"):
        complete(model="nobody")
    with pytest.raises(openai.NotFoundError, match="Servable not found for request"):
        complete(model="nobody", stream=True)


def test_calls_of_tensorflow_serving_are_as_before(server: ServerProcess) -> None:
    assert server.http.get("/v1/models/chat").json()["model_version_status"][0]["state"] == "AVAILABLE"
    assert server.http.post("/v1/models/chat:predict", json={"instances": [PROMPT]}).status_code == 200
    assert server.http.get("/v1/completions").json() == {"error": "Malformed request: GET /v1/completions"}
