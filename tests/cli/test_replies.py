"""From a chat whose answers depend on their questions to a run and a served model that give the right ones."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from charflow.export.publish import export_run
from charflow.pipeline.sample_chat import SAMPLE_ANSWERS, write_sample_talk
from charflow.serving import Client
from tests.serving.processes.server_process import ServerProcess, starting
from tests.support import made_once

GREEDY = ["--temperature", "0", "--length", "15"]
QUESTION, ANSWER = next(iter(SAMPLE_ANSWERS.items()))


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory, start: Callable) -> Path:
    """A folder with the chat, a run on it that has learned to answer, and its export; not to be changed."""

    def make(folder: Path) -> None:
        write_sample_talk(folder / "chat.csv", messages=1600)
        options = ["--units", 48, "--window-length", 32, "--steps", 200, "--evaluations", 1, "--dropout", 0, "--json"]
        process = start("train", folder / "chat.csv", "--user", "mira", "--reply", "--out", folder / "run", *options)
        _, err = process.communicate()
        assert process.returncode == 0, err
        export_run(folder / "run", folder / "models")

    return made_once(tmp_path_factory, "answering", make)


@pytest.fixture(scope="module")
def server(answering: Path, tmp_path_factory: pytest.TempPathFactory):
    with starting(tmp_path_factory.mktemp("server")) as start:
        yield start(model_base_path=answering / "models", model_name="mira")


def test_generate_answers_each_question(call: Callable, answering: Path) -> None:
    for question, answer in SAMPLE_ANSWERS.items():
        done = call("generate", answering / "run", "--reply-to", question, *GREEDY)
        assert done.status == 0, done.err
        assert done.out.startswith(answer[:14]), question


def test_generate_goes_on_with_the_words_of_the_prompts(call: Callable, answering: Path) -> None:
    done = call(
        "generate", answering / "run", ANSWER[:3], ANSWER[:6], "--reply-to", QUESTION, *GREEDY, "--unknown", "skip"
    )
    assert [line[:15] for line in done.out.splitlines()[:2]] == [ANSWER[:15]] * 2
    figures = call("generate", answering / "run", ANSWER[:3], "--reply-to", QUESTION, *GREEDY, "--json").json
    assert figures["completions"][0]["prompt"] == f"{QUESTION}\x02{ANSWER[:3]}"
    assert "\x02" not in done.out


def test_generate_of_a_run_that_has_not_learned_to_answer_says_so(refused: Callable, trained_run: Path) -> None:
    message = "The run has not learned to answer: train one with --reply, or leave --reply-to out."
    assert refused("generate", trained_run, "--reply-to", "how?") == message


def test_evaluate_says_how_much_the_questions_help(call: Callable, answering: Path) -> None:
    figures = call("evaluate", answering / "run", "--json").json
    assert figures["bits_per_char_without_question"] > 2 * figures["bits_per_char"]
    shown = call("evaluate", answering / "run").out
    assert "charflow (stream), the questions not read" in shown
    assert "the first" not in shown  # all of the answers were scored
    other = call("evaluate", answering / "run", answering / "chat.csv", "--user", "ada", "--json").json
    assert other["bits_per_char_without_question"] > 0


def test_train_on_replies_of_nobody_is_refused(refused: Callable, answering: Path, tmp_path: Path) -> None:
    message = refused("train", answering / "chat.csv", "--reply", "--out", tmp_path / "run")
    assert "--reply learns what one person answers to the others: name the person with --user." in message
    message = refused("prepare", answering / "chat.csv", "--reply", "--to", tmp_path / "to")
    assert "name the person with --user." in message


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_served_model_answers_each_question(call: Callable, server: ServerProcess, protocol: str) -> None:
    address = getattr(server, protocol)
    with Client(address, protocol, model="mira") as client:
        prompts = [f"{question}\x02" for question in SAMPLE_ANSWERS]
        texts = client.generate(prompts, temperature=0.0, max_chars=15)
        assert [text.text[:14] for text in texts] == [answer[:14] for answer in SAMPLE_ANSWERS.values()]
        right, wrong = client.score([f"{QUESTION}\x02{answer}" for answer in (ANSWER, "not before june")])
        assert right.bits_per_char < 0.5 < wrong.bits_per_char
    rest = ["--rest"] if protocol == "rest" else []
    done = call("complete", "--reply-to", QUESTION, "--server", address, "--model", "mira", *GREEDY, *rest)
    assert (done.status, done.out[:15]) == (0, ANSWER[:15])


def test_a_request_of_curl_has_its_question_answered(server: ServerProcess) -> None:
    """As docs/savedmodel.md has it."""
    body = json.dumps({"instances": [f"{QUESTION}\x02"]})
    assert "\\u0002" in body
    answer = httpx.post(f"http://{server.rest}/v1/models/mira:predict", content=body, trust_env=False).json()
    assert answer["predictions"][0][:3] == ANSWER[:3]


def test_complete_with_a_model_that_has_not_learned_to_answer_says_so(
    refused: Callable, trained_run: Path, tmp_path: Path
) -> None:
    export_run(trained_run, tmp_path / "models")
    with starting(tmp_path) as start:
        server = start(model_base_path=tmp_path / "models", model_name="other")
        message = refused("complete", "--reply-to", "how?", "--server", server.grpc, "--model", "other")
    assert message.endswith("the model has not learned to answer: leave --reply-to out.")


@pytest.mark.parametrize("options", [[], ["--streaming"]], ids=["in memory", "streaming"])
def test_train_on_prepared_replies_has_the_losses_of_the_files(
    call: Callable, answering: Path, tmp_path: Path, options: list[str]
) -> None:
    chat, usual = (
        answering / "chat.csv",
        ["--units", 8, "--steps", 3, "--evaluations", 1, "--window-length", 16, "--json"],
    )
    prepared = call(
        "prepare", chat, "--user", "mira", "--reply", "--to", tmp_path / "to", "--shard-size", 5000, "--json"
    )
    assert prepared.status == 0, prepared.err
    assert json.loads(prepared.out)["dtype"] == "uint8"
    from_shards = call("train", tmp_path / "to", "--out", tmp_path / "a", *usual, *options)
    assert from_shards.status == 0, from_shards.err
    if not options:
        from_files = call("train", chat, "--user", "mira", "--reply", "--out", tmp_path / "b", *usual)
        assert from_files.json["train_bits_per_char"] == from_shards.json["train_bits_per_char"]
    figures = call("evaluate", tmp_path / "a", "--json").json
    assert figures["bits_per_char"] == pytest.approx(from_shards.json["bits_per_char"], rel=1e-6)
    assert figures["bits_per_char_without_question"] > 0
