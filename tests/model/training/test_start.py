"""Starting a run and going on with it: in which order its folder is looked at, locked and written."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from charflow.model.config import Config, NetworkConfig, TrainingConfig
from charflow.model.distributed.strategy import make_strategy
from charflow.model.run.run_dir import RunDir
from charflow.model.training.report import Result
from charflow.model.training.start import start_run
from charflow.model.training_text import TextInMemory
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.errors import UserError

WORDS = "abcd "


class Listener:
    """Remembers what it is told, and looks at the folder when it is."""

    def __init__(self, run_dir: RunDir) -> None:
        self._run_dir, self.seen, self.damaged = run_dir, [], []

    def _see(self, what: str) -> None:
        self.seen.append((what, self._run_dir.config_file.exists()))

    def resumed(self, step: int, elapsed: float, damaged: Sequence[str]) -> None:
        self._see(f"resumed at {step}")
        self.damaged = list(damaged)

    def planned(self, plan: object) -> None:
        self._see("planned")

    def ending(self, doing: str, share: float = 0.0) -> None: ...

    def counting(self, seconds: float | None) -> None: ...

    def advanced(self, report: object) -> None:
        with pytest.raises(UserError, match="already holds a run"):  # and may not be used by another
            self._run_dir.check_free()

    def evaluated(self, row: object) -> None: ...

    def sampled(self, sample: object) -> None: ...


def config(**training: Any) -> Config:
    changes = {"window_length": 8, "batch_size": 8, "steps": 2, "evaluations": 1, **training}
    return Config(network=NetworkConfig(units=4, dropout=0.0), training=TrainingConfig(**changes))


@pytest.fixture(scope="module")
def corpus(make_corpus: Callable[..., Corpus]) -> Corpus:
    return make_corpus(WORDS * 20, WORDS * 4)


def start(run_dir: RunDir, corpus: Corpus, settings: Config, *, resume: bool = False) -> tuple[Result, Listener]:
    heard = Listener(run_dir)
    result = start_run(settings, TextInMemory(corpus), run_dir, make_strategy("one-device"), heard, resume=resume)
    return result, heard


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> RunDir:
    """A run of two steps; not to be changed."""
    run_dir = RunDir(tmp_path_factory.mktemp("runs") / "a")
    result, heard = start(run_dir, corpus, config())
    assert (result.reason, result.step) == ("finished", 2)
    assert heard.seen == [("planned", True)]
    return run_dir


@pytest.fixture
def own(started: RunDir, tmp_path: Path) -> RunDir:
    """A copy of that run, to be changed."""
    return RunDir(shutil.copytree(started.path, tmp_path / "own"))


def test_start_run_writes_what_the_run_is(started: RunDir, corpus: Corpus) -> None:
    settings, vocabulary = started.load()
    assert (settings, vocabulary) == (config(memory="off"), corpus.vocabulary)  # which is what auto has become
    assert started.corpus_facts() == corpus.facts()
    assert started.read_placement()["workers"] == 1


def test_start_run_goes_on_and_writes_the_new_limit(own: RunDir, corpus: Corpus) -> None:
    result, heard = start(own, corpus, config(steps=5), resume=True)
    assert (result.reason, result.step) == ("finished", 5)
    assert heard.seen == [("resumed at 2", True), ("planned", True)]
    assert own.load()[0].training.steps == 5


def test_start_run_tells_of_damaged_checkpoints(own: RunDir, corpus: Corpus) -> None:
    (data,) = (own.checkpoints / "latest").glob("*.data-*")
    for name in ("ckpt-1.index", "ckpt-1.data-00000-of-00001"):
        shutil.copy(next((own.checkpoints / "latest").glob(f"*{name[6:]}")), own.checkpoints / "latest" / name)
    data.write_bytes(b"")
    _, heard = start(own, corpus, config(steps=3), resume=True)
    assert heard.damaged == ["ckpt-2"]


def test_start_run_refuses_a_folder_that_holds_a_run(own: RunDir, corpus: Corpus) -> None:
    with pytest.raises(UserError, match=r"already holds a run: pass resume to continue it, or name another folder\.$"):
        start(own, corpus, config())


def test_start_run_refuses_to_go_on_with_another_text(own: RunDir, make_corpus: Callable) -> None:
    before = own.config_file.read_bytes()
    with pytest.raises(UserError, match="was trained on another text"):
        start(own, make_corpus(WORDS * 21, WORDS * 4), config(steps=9), resume=True)
    assert own.config_file.read_bytes() == before


def test_start_run_refuses_to_go_on_with_other_parts_of_the_text(own: RunDir, corpus: Corpus) -> None:
    own.write_placement({"workers": 3})
    with pytest.raises(UserError, match=r"^The corpus of \S+ was shared by 3 workers: resume with as many\.$"):
        start(own, corpus, config(steps=9, shard_corpus=True), resume=True)
    assert start(own, corpus, config(steps=3), resume=True)[0].step == 3  # where it was not, their number may change


def test_start_run_leaves_no_folder_where_the_settings_do_not_fit(tmp_path: Path, corpus: Corpus) -> None:
    with pytest.raises(UserError, match="too short for one window"):
        start(RunDir(tmp_path / "a"), corpus, config(window_length=500))
    assert not (tmp_path / "a").exists()


def test_start_run_of_a_worker_that_is_not_the_chief_writes_nothing(
    tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charflow.model.training.start.placement", lambda _: SimpleNamespace(chief=False, workers=2))
    trained = SimpleNamespace(train=lambda: "trained")
    monkeypatch.setattr("charflow.model.training.start.Trainer", lambda *_: trained)
    assert start_run(config(), TextInMemory(corpus), RunDir(tmp_path / "a"), None, None) == "trained"
    assert not (tmp_path / "a").exists()
