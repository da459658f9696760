"""A run that starts from another: from its weights, never to end worse, and without it from then on."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.config import Config, NetworkConfig, TrainingConfig
from charflow.model.decoding.generator import load_network
from charflow.model.distributed.strategy import make_strategy
from charflow.model.run.base import Base
from charflow.model.run.run_dir import RunDir
from charflow.model.training.report import Listener, Result
from charflow.model.training.start import start_run
from charflow.model.training.trainer import Trainer
from charflow.model.training_text import TextInMemory
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.errors import SettingError
from charflow.pipeline.vocabulary import Vocabulary

WORDS = "abcd "
OTHER = "abdc "


class Killed(Exception):  # noqa: N818
    """A test's end of a run, in the middle of it."""


def config(**training: Any) -> Config:
    given = {"window_length": 8, "batch_size": 8, "steps": 6, "evaluations": 2, "warmup_steps": 0, **training}
    return Config(network=NetworkConfig(units=4, dropout=0.2), training=TrainingConfig(**given))


def start(folder: Path, corpus: Corpus, settings: Config, *, resume: bool = False) -> Result:
    strategy = make_strategy("one-device")
    return start_run(settings, TextInMemory(corpus), RunDir(folder), strategy, Mock(spec=Listener), resume=resume)


@pytest.fixture(scope="module")
def other(make_corpus: Callable[..., Corpus]) -> Corpus:
    """A text of the same characters."""
    return make_corpus(OTHER * 20, OTHER * 4)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, make_corpus: Callable[..., Corpus]) -> Path:
    """A run of some steps; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "base"
    start(folder, make_corpus(WORDS * 20, WORDS * 4), config(steps=100))
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, base: Path, other: Corpus) -> Path:
    """A run that started from it; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    start(folder, other, config(start_from=str(base)))
    return folder


def test_run_starts_from_the_best_weights(whole: Path, base: Path, other: Corpus) -> None:
    run = RunDir(whole)
    first = run.read_metrics()[0]
    assert (first["step"], first["train_bits"]) == (0, None)
    training = run.load()[0].training
    assert (training.start_from, training.base_fingerprint) == (str(base), Base(base).fingerprint)
    assert [row["step"] for row in run.read_metrics()] == [0, 3, 6]
    alone = RunDir(whole.with_name("alone"))
    start(alone.path, other, config())
    assert run.read_losses()[0] < alone.read_losses()[0] - 0.1  # it knows how often each letter occurs


@pytest.mark.usefixtures("_no_texts")
def test_run_never_ends_worse_than_it_started(base: Path, make_corpus: Callable[..., Corpus], tmp_path: Path) -> None:
    misleading = make_corpus("d" * 200, WORDS * 4)
    result = start(tmp_path / "run", misleading, config(start_from=str(base), learning_rate=1.0))
    assert (result.best_step, result.ended) == (0, True)
    own, began = (load_network(RunDir(folder)).model.get_weights() for folder in (tmp_path / "run", base))
    for one, another in zip(own, began, strict=True):
        np.testing.assert_array_equal(one, another)
    assert result.held_out.bits_per_char == pytest.approx(
        RunDir(tmp_path / "run").read_metrics()[0]["held_out_part_bits"]
    )


@pytest.mark.usefixtures("_no_texts")
def test_run_goes_on_to_the_same_bits_when_the_base_is_gone(
    whole: Path, base: Path, other: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended before its first step, with nothing saved but what it started from."""
    gone = shutil.copytree(base, tmp_path / "gone")
    settings = config(start_from=str(gone))
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", Mock(side_effect=Killed))
        with pytest.raises(Killed):
            start(tmp_path / "run", other, settings)
    shutil.rmtree(gone)
    start(tmp_path / "run", other, RunDir(tmp_path / "run").load()[0], resume=True)
    np.testing.assert_array_equal(RunDir(tmp_path / "run").read_losses(), RunDir(whole).read_losses())
    saved = [tf.train.load_checkpoint(str(folder / "checkpoints" / "latest")) for folder in (tmp_path / "run", whole)]
    for name in saved[0].get_variable_to_shape_map():
        if not any(word in name for word in ("elapsed", "CHECKPOINTABLE", "save_counter")):
            np.testing.assert_array_equal(saved[0].get_tensor(name), saved[1].get_tensor(name), err_msg=name)


def test_run_killed_before_it_was_one_leaves_no_weights_behind(
    base: Path, other: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "write_config", Mock(side_effect=Killed))
        with pytest.raises(Killed):
            start(tmp_path / "run", other, config(start_from=str(base)))
    assert (tmp_path / "run" / "checkpoints").exists()
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", lambda _: None)
        start(tmp_path / "run", other, config())
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("changed", ["network", "vocabulary"])
def test_run_writes_nothing_where_it_cannot_start(
    changed: str, base: Path, other: Corpus, make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    settings, corpus = config(start_from=str(base)), other
    if changed == "network":
        settings = replace(settings, network=NetworkConfig(units=5))
    else:
        corpus = make_corpus(OTHER * 20 + "z", OTHER)
        assert corpus.vocabulary != Vocabulary(WORDS)
    with pytest.raises(ValueError, match="leave units out" if changed == "network" else "vocabulary"):
        start(tmp_path / "run", corpus, settings)
    assert not (tmp_path / "run").exists()


def test_canaries_of_unknown_characters_are_refused(base: Path, other: Corpus) -> None:
    from charflow.model.canaries import planted

    with pytest.raises(SettingError, match=r"^canaries have characters that the run .*: leave canaries out\.$"):
        planted(other, config(start_from=str(base), canaries=1))
