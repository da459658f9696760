"""A run that remembers: better than its network alone, resumed as never interrupted, loaded as it was judged."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from charflow.export.check import check
from charflow.export.publish import export_run
from charflow.model.config import Config, NetworkConfig, TrainingConfig
from charflow.model.decoding.decoder import make_decoder
from charflow.model.decoding.generator import Generator, load_decoder, load_network
from charflow.model.distributed.strategy import make_strategy
from charflow.model.evaluation.evaluation import Evaluator, evaluate_held_out
from charflow.model.run.base import Base
from charflow.model.run.run_dir import RunDir
from charflow.model.run.run_memory import count_text, load_memory, make_memory
from charflow.model.training.report import Result
from charflow.model.training.start import start_run
from charflow.model.training_text import TextInMemory, read_text
from charflow.pipeline.corpus.corpus import Corpus, build_corpus

CONFIG = Config(
    network=NetworkConfig(units=8, dropout=0.1),
    training=TrainingConfig(
        window_length=8, batch_size=8, steps=20, evaluations=2, seed=4, memory="person", memory_order=3
    ),
)


class Listener:
    """Presses Ctrl-C after a step if it is told to."""

    def __init__(self, interrupt_at: int | None) -> None:
        self._interrupt_at = interrupt_at

    def advanced(self, report) -> None:
        if report.step == self._interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


def train(corpus: Corpus, path: Path, *, resume: bool = False, interrupt_at: int | None = None) -> Result:
    text = TextInMemory(corpus, memory=True)
    return start_run(CONFIG, text, RunDir(path), make_strategy("one-device"), Listener(interrupt_at), resume=resume)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, sample_chat: Path) -> Corpus:
    return build_corpus(str(sample_chat), replace(CONFIG.corpus, users=("mira",)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> tuple[RunDir, Result]:
    path = tmp_path_factory.mktemp("runs") / "a"
    result = train(corpus, path)
    return RunDir(path), result


def test_a_memory_wins_what_a_short_run_has_not_learned(finished: tuple[RunDir, Result], corpus: Corpus) -> None:
    run_dir, result = finished
    alone = make_decoder(load_network(run_dir), "stream", 8)
    bits = evaluate_held_out(Evaluator(alone), TextInMemory(corpus, memory=True), 4_000).bits_per_char
    assert result.held_out.bits_per_char < bits - 1


def test_a_run_is_loaded_as_it_was_judged(finished: tuple[RunDir, Result], corpus: Corpus) -> None:
    run_dir, result = finished
    text = TextInMemory(corpus, memory=True)
    found = evaluate_held_out(Evaluator(load_decoder(run_dir, "stream")), text, result.held_out.characters)
    assert found.bits_per_char == pytest.approx(result.held_out.bits_per_char, abs=1e-5)


def test_a_generator_may_leave_the_memory_out(finished: tuple[RunDir, Result]) -> None:
    run_dir, _ = finished
    without = make_decoder(load_network(run_dir), "stream", 8)
    text = tf.constant([[1, 2, 3, 1, 2]])
    found, expected, joined = (
        decoder.predict(decoder.context.zero_state(1), text)[..., 1:].numpy()
        for decoder in (load_decoder(run_dir, "stream", memory=False), without, load_decoder(run_dir, "stream"))
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(joined - expected).max() > 0.1


@pytest.mark.usefixtures("_no_texts")
def test_an_interrupted_run_has_its_memory_and_goes_on_as_if_never_interrupted(
    finished: tuple[RunDir, Result], corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = finished
    path = tmp_path / "b"
    monkeypatch.setattr("charflow.model.training.timetable._MOST_STEPS_PER_CALL", 1)
    assert train(corpus, path, interrupt_at=3).reason == "interrupted"  # before it was evaluated
    assert Generator.load(path).generate("the ", max_chars=5)
    gate = tf.train.load_checkpoint(str(path / "checkpoints" / "latest")).get_tensor("gate/.ATTRIBUTES/VARIABLE_VALUE")
    assert len(np.unique(gate, axis=0)) > 2
    resumed = train(corpus, path, resume=True)
    assert resumed.held_out.bits_per_char == pytest.approx(whole.held_out.bits_per_char, abs=1e-4)


@pytest.mark.usefixtures("_no_texts")
def test_a_run_from_one_with_a_memory_takes_its_weights_and_counts_its_own(
    finished: tuple[RunDir, Result], tmp_path: Path, sample_chat: Path
) -> None:
    base = finished[0]
    training = replace(CONFIG.training, start_from=str(base.path), steps=4)
    for kind in ("person", "off"):
        config = Base(base.path).under(
            replace(CONFIG, data=(str(sample_chat),), training=replace(training, memory=kind))
        )
        config = replace(config, corpus=replace(config.corpus, users=("ada",)))
        text, run_dir = read_text(config.data, config), RunDir(tmp_path / kind)
        start_run(config, text, run_dir, make_strategy("one-device"), Listener(None))
        first = run_dir.read_metrics()[0]
        memory = load_memory(run_dir)
        assert first["step"] == 0
        assert (memory is None) == (kind == "off")
        if memory:
            own = count_text(text, config.training, RunDir("none"))
            counted = make_memory(own, text.vocabulary.size)
            for found, expected in zip(
                memory.tables()._replace(trust=[]), counted.tables()._replace(trust=[]), strict=True
            ):
                np.testing.assert_array_equal(found, expected)
            assert memory.n_nodes != load_memory(base).n_nodes
        alone = make_decoder(load_network(base), "stream", 8)
        bits = evaluate_held_out(Evaluator(alone), text, 4_000).bits_per_char
        assert (
            (first["held_out_part_bits"] < bits - 0.5) if memory else first["held_out_part_bits"] == pytest.approx(bits)
        )


def test_an_export_agrees_with_it_alone_in_batches_and_in_chunks(
    finished: tuple[RunDir, Result], tmp_path: Path
) -> None:
    findings = check(export_run(finished[0], tmp_path / "model"))
    assert len(findings) == 11
    assert [found for found in findings if not found.passed] == []
