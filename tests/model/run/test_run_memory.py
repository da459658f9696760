"""The counts of a run in its folder: kept whole, and refused where they are damaged or another's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charflow.model.config import Config, TrainingConfig
from charflow.model.run.run_dir import RunDir
from charflow.model.run.run_memory import count_text, load_memory, make_memory, save_counts
from charflow.model.training_text import TextInMemory
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.errors import UserError

REMEMBERS = TrainingConfig(steps=1, memory="person", memory_order=2, memory_contexts=5)


@pytest.fixture
def text(make_corpus: Callable[..., Corpus]) -> TextInMemory:
    return TextInMemory(make_corpus("abcd " * 40 + "dcba " * 4, "abcd"), memory=True)


@pytest.fixture
def run_dir(tmp_path: Path, text: TextInMemory) -> RunDir:
    made = RunDir(tmp_path / "run")
    made.create(Config(training=REMEMBERS), text.corpus)
    save_counts(made, count_text(text, REMEMBERS, made))
    return made


def test_the_counts_come_back_as_they_were(run_dir: RunDir, text: TextInMemory) -> None:
    expected = make_memory(count_text(text, REMEMBERS, RunDir("none")), text.vocabulary.size)
    found = load_memory(run_dir)
    for name, part in expected.tables()._asdict().items():
        np.testing.assert_array_equal(part, getattr(found.tables(), name), err_msg=name)
    assert (found.n_nodes, found.reach) == (5, 2)


def test_a_run_that_goes_on_takes_what_it_has_counted(run_dir: RunDir, text: TextInMemory) -> None:
    assert isinstance(text.corpus, Corpus)
    other = TextInMemory(replace(text.corpus, ids=text.corpus.ids[::-1]), memory=True)
    first, again, anew = (count_text(other, REMEMBERS, each) for each in (run_dir, run_dir, RunDir("none")))
    np.testing.assert_array_equal(first.keys, again.keys)
    assert first.pairs.tolist() != anew.pairs.tolist()
    run_dir.memory_file.write_bytes(b"")
    np.testing.assert_array_equal(count_text(other, REMEMBERS, run_dir).pairs, anew.pairs)


def test_the_text_that_is_fitted_to_is_not_counted(text: TextInMemory) -> None:
    counts = count_text(text, REMEMBERS, RunDir("none"))
    assert counts.totals[0] == text.train_characters == 220 - 11
    np.testing.assert_array_equal(text.fitted(), text.corpus.train_ids[-11:])


def test_a_run_without_memory_has_none(tmp_path: Path, text: TextInMemory) -> None:
    off = replace(REMEMBERS, memory="off")
    run_dir = RunDir(tmp_path / "off")
    run_dir.create(Config(training=off), text.corpus)
    assert count_text(text, off, run_dir) is load_memory(run_dir) is None


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-40])])
def test_counts_that_are_missing_or_damaged_are_refused(run_dir: RunDir, damage: Callable[[Path], object]) -> None:
    damage(run_dir.memory_file)
    with pytest.raises(UserError, match=r"memory\.npz is missing or damaged: resume the run, which counts again\.$"):
        load_memory(run_dir)


def test_counts_of_other_settings_are_refused(run_dir: RunDir) -> None:
    run_dir.write_config(Config(training=replace(REMEMBERS, memory_count=3)))
    with pytest.raises(UserError, match=r"memory\.npz has the counts of another text or other settings: resume"):
        load_memory(run_dir)


def test_more_contexts_than_fit_are_refused(run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charflow.model.free_memory.free_memory", lambda: 10)
    with pytest.raises(UserError, match=r"^A memory of 5 contexts, 6 characters each, needs about .* memory_contexts"):
        load_memory(run_dir)
