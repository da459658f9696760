"""A model with a memory of counts: the same seed gives the same text by every way there is to ask for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import tensorflow as tf

from charflow.export.publish import export_run
from charflow.export.session import SessionRunner
from charflow.model.decoding.generator import Generator
from charflow.model.distributed.strategy import make_strategy
from charflow.model.presets import preset
from charflow.model.run.run_dir import RunDir
from charflow.model.training.report import Listener, Result
from charflow.model.training.start import start_run
from charflow.model.training_text import read_text
from charflow.pipeline.tables import override
from charflow.serving import Client
from tests.serving.processes.server_process import ServerProcess, starting

PROMPTS = ["how do i ", "", "ünknown 🌻 things, oh my "]
SEEDS = [7, 8, 9]  # which is what a list of prompts gets of the first
ASKED: dict[str, Any] = {"max_chars": 60, "temperature": 0.8}
TRAINING = {"window_length": 16, "batch_size": 8, "steps": 30, "evaluations": 2, "memory_order": 4}
MEMORY = {"memory": "everybody", "canaries": 2, "canary_repeats": 5}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, sample_chat: Path) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("runs") / "run"
    own = {"data": [str(sample_chat)], "corpus": {"users": ["mira"]}, "network": {"units": 16}}
    config = override(preset("default"), {**own, "training": {**TRAINING, **MEMORY}})
    text = read_text(config.data, config)
    return folder, start_run(config, text, RunDir(folder), make_strategy("one-device"), Mock(spec=Listener))


@pytest.fixture(scope="module")
def version(trained: tuple[Path, Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_run(trained[0], tmp_path_factory.mktemp("models") / "chat")


@pytest.fixture(scope="module")
def generator(trained: tuple[Path, Result]) -> Generator:
    return Generator.load(trained[0])


@pytest.fixture(scope="module")
def session(version: Path) -> SessionRunner:
    return SessionRunner(version)


@pytest.fixture(scope="module")
def server(version: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with starting(tmp_path_factory.mktemp("server")) as start:
        yield start(model_name="chat", model_base_path=version.parent)


@pytest.fixture(params=["grpc", "rest"])
def client(request: pytest.FixtureRequest, server: ServerProcess) -> Iterator[Client]:
    with Client(server.grpc if request.param == "grpc" else server.rest, request.param, model="chat") as client:
        yield client


@pytest.fixture(scope="module")
def texts(generator: Generator) -> list[str]:
    """What each row of a batch becomes in this process."""
    alone = [generator.generate(prompt, seed=seed, **ASKED)[0] for prompt, seed in zip(PROMPTS, SEEDS, strict=True)]
    return [text.text for text in alone]


def test_the_memory_has_a_say(trained: tuple[Path, Result], texts: list[str]) -> None:
    assert all(texts[::2])
    best = tf.train.load_checkpoint(str(trained[0] / "checkpoints" / "best"))
    assert np.abs(best.get_tensor("gate/.ATTRIBUTES/VARIABLE_VALUE")[:, 1]).max() > 0.1


def test_in_this_process_alone_in_a_batch_and_in_chunks(generator: Generator, texts: list[str]) -> None:
    assert [text.text for text in generator.generate(PROMPTS, seed=SEEDS[0], **ASKED)] == texts
    chunks = [
        "".join(generator.stream(prompt, seed=seed, **ASKED)) for prompt, seed in zip(PROMPTS, SEEDS, strict=True)
    ]
    assert chunks == texts


def test_through_the_session_loader_alone_and_in_a_batch(session: SessionRunner, texts: list[str]) -> None:
    prompts = np.array([prompt.encode() for prompt in PROMPTS], object)
    inputs = {
        "prompt": prompts,
        "seed": np.array(SEEDS, np.int64),
        "max_chars": np.full(3, ASKED["max_chars"], np.int32),
        "temperature": np.full(3, ASKED["temperature"], np.float32),
    }
    assert [text.decode() for text in session("generate", inputs)["text"]] == texts
    for row, text in enumerate(texts):
        alone = {name: column[row : row + 1] for name, column in inputs.items()}
        assert session("generate", alone)["text"][0].decode() == text


def test_through_the_server_in_a_batch_and_in_chunks(client: Client, texts: list[str]) -> None:
    asked = {name: [value] * 3 for name, value in ASKED.items()}
    assert [text.text for text in client.generate(PROMPTS, seed=SEEDS, **asked)] == texts
    for prompt, seed, text in zip(PROMPTS, SEEDS, texts, strict=True):
        assert "".join(client.stream(prompt, chunk_chars=7, seed=seed, **ASKED)) == text


def test_score_and_next_char_agree_with_what_generate_says(
    client: Client, session: SessionRunner, generator: Generator
) -> None:
    """The likelihood of a text that was written, and the likeliest character after each prompt."""
    prompts = np.array([prompt.encode() for prompt in PROMPTS], object)
    chars = session("next_char", {"prompt": prompts})
    for row, found in enumerate(client.next_char(PROMPTS)):
        np.testing.assert_allclose(found.probabilities, chars["probabilities"][row], rtol=1e-4, atol=1e-6)
        greedy = generator.generate(PROMPTS[row], max_chars=1, temperature=0.0)[0]
        assert np.exp(greedy.log_prob) == pytest.approx(chars["probabilities"][row][0], rel=1e-4)
    written = generator.generate("", seed=7, **ASKED)[0]
    assert written.finish_reason == "length"
    (scored,) = session("score", {"text": np.array([written.text.encode()], object)})["char_log_probs"]
    assert scored[: len(written.text)].sum() == pytest.approx(written.log_prob, rel=1e-3)
    over_wire = client.score([written.text])[0]
    np.testing.assert_allclose(over_wire.char_log_probs, scored[: len(over_wire.char_log_probs)], rtol=1e-3, atol=1e-4)


def test_the_reports_are_of_network_and_memory(trained: tuple[Path, Result]) -> None:
    known = RunDir(trained[0]).read_result()["memorisation"]
    assert known["canaries"]["repeats"] == 5
    assert known["canaries"]["known"] == 2  # by heart: the network alone has taken 30 steps
    assert known["copied"]
