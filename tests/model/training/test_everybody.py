"""Everybody first: for whom it pays, once for all of them, and whole or not at all."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from charflow.model.config import Config
from charflow.model.distributed.strategy import make_strategy
from charflow.model.presets import preset
from charflow.model.run.base import Base
from charflow.model.run.run_dir import RunDir
from charflow.model.training import everybody as module
from charflow.model.training.configure import configure
from charflow.model.training.everybody import Everybody
from charflow.model.training.report import Listener, Result
from charflow.model.training.start import start_run
from charflow.model.training_text import read_text
from charflow.pipeline.corpus.cache import CorpusCache
from charflow.pipeline.errors import UserError
from charflow.pipeline.tables import override

PEOPLE = {"mira": "oh my dears, oh", "ada": "a plan, a plan!", "bo": "no, bo says no"}


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chat") / "chat.csv"
    rows = [*PEOPLE.items()] * 20 + [("cy", "who else is here?")] * 150
    path.write_text("fromUser.id,text\n" + "".join(f'{user},"{text}"\n' for user, text in rows))
    return path


@pytest.fixture(autouse=True)
def _little_text_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST", 1000)
    monkeypatch.setattr(module, "_MIN_COUNT", 2)
    monkeypatch.setattr(module, "_A_SECOND", 5_000)
    monkeypatch.setattr(module, "_LEAST_SECONDS", 0.05)


@pytest.fixture
def cache(tmp_path: Path) -> CorpusCache:
    return CorpusCache(tmp_path / "cache")


TINY = {"network": {"units": 4}, "training": {"time_limit": 0.2, "window_length": 8, "batch_size": 4, "evaluations": 2}}


def config(chat: Path, *users: str, **changes: Any) -> Config:
    return override(configure([str(chat)], {"corpus": {"users": users}, **TINY}), changes)


def before(settings: Config, cache: CorpusCache | None) -> Everybody | None:
    return Everybody.before(settings, read_text(settings.data, settings, cache=cache), cache)


def learn(everybody: Everybody) -> Result | None:
    return everybody.learn(make_strategy("one-device"), Mock(spec=Listener))


def test_everybody_is_a_run_on_all_for_three_quarters_of_the_time(chat: Path, cache: CorpusCache) -> None:
    settings = config(chat, "mira")
    found = before(settings, cache)
    assert (found.config.corpus.users, found.config.corpus.min_count) == ((), 2)
    assert found.config.training == replace(settings.training, start_from="none", time_limit=0.75 * 0.2)
    assert found.text.corpus.messages == 210
    assert found.time_left == pytest.approx(0.05)
    assert not found.is_known


@pytest.mark.parametrize("kind", ["person", "everybody"])
def test_everybody_has_no_memory_and_learns_nothing_that_one_s_is_fitted_to(
    kind: str, chat: Path, cache: CorpusCache
) -> None:
    settings = config(chat, "mira", training={"memory": kind})
    text = read_text(settings.data, settings)
    found = Everybody.before(settings, text, cache)
    assert (found.config.training.memory, text.fitted_characters) == ("off", 14)
    chars = found.text.vocabulary
    learned = chars.decode(found.text.piece(0, 1 << 20)).count("oh my dears, oh")
    assert (found.config.corpus.held_out, learned) == (pytest.approx(0.19), 17)
    own = text.vocabulary.decode(text.piece(0, 1 << 20)).count("oh my dears, oh")
    assert own == 17  # of 18 that are not held out: the last is fitted to
    changes = found.before_one({"corpus": {"users": ("mira",)}, "training": {"memory": kind}})
    assert changes["corpus"]["held_out"] == 0.1
    assert changes["training"]["memory"] == kind


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"start_from": "none"}},
        {"training": {"steps": 5}},
        {"training": {"epochs": 1}},
        {"training": {"time_limit": 0.0, "steps": 5}},
        {"training": {"time_limit": 0.04}},
        {"training": {"canaries": 1}},
        {"corpus": {"users": ()}},
        {"corpus": {"users": ("cy",)}},  # who wrote most of it
        {"corpus": {"users": tuple(PEOPLE)}},
        {"corpus": {"fraction": 0.5}},
        {"corpus": {"held_out_by": "messages"}},
        {"corpus": {"text": {"reply": True}}},
    ],
    ids=str,
)
def test_everybody_is_left_out_where(changes: dict, chat: Path, cache: CorpusCache) -> None:
    assert before(config(chat, "mira", **changes), cache) is None


def test_everybody_is_left_out_of_the_recipe_a_prepared_corpus_and_a_small_chat(
    chat: Path, cache: CorpusCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert before(replace(preset("tutorial"), data=(str(chat),)), cache) is None
    monkeypatch.setattr(module, "_LEAST", 5000)
    assert before(config(chat, "mira"), cache) is None


def test_everybody_is_left_out_where_the_person_alone_fills_the_time(chat: Path, cache: CorpusCache) -> None:
    settings = config(chat, "mira")
    most = read_text(settings.data, settings, cache=cache).train_characters / 5_000
    assert before(config(chat, "mira", training={"time_limit": most * 1.01}), cache)
    assert before(config(chat, "mira", training={"time_limit": most * 0.99}), cache) is None


def test_everybody_is_learned_once(chat: Path, cache: CorpusCache) -> None:
    first = before(config(chat, "mira"), cache)
    assert learn(first).ended
    second = before(config(chat, "ada"), cache)
    assert (second.run_dir.path, second.is_known) == (first.run_dir.path, True)
    assert learn(second) is None
    others = [config(chat, "ada", network={"units": 5}), config(chat, "ada", training={"seed": 1})]
    assert len({before(other, cache).run_dir.path for other in others} | {first.run_dir.path}) == 3


def test_everybody_goes_before_a_run_that_starts_from_there(chat: Path, cache: CorpusCache, tmp_path: Path) -> None:
    first = before(config(chat, "mira"), cache)
    learn(first)
    changes = first.before_one({"corpus": {"users": ("mira",), "min_count": 1}, **TINY})
    settings = configure([str(chat)], changes)
    assert (settings.training.start_from, settings.training.epochs) == (str(first.run_dir.path), 1)
    text = read_text(settings.data, settings, cache=cache)
    start_run(settings, text, RunDir(tmp_path / "run"), make_strategy("one-device"), Mock(spec=Listener))
    training = RunDir(tmp_path / "run").load()[0].training
    assert training.base_fingerprint == Base(first.run_dir.path).fingerprint


def test_everybody_that_was_interrupted_goes_on_and_what_is_damaged_is_made_anew(
    chat: Path, cache: CorpusCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = before(config(chat, "mira"), cache)
    with monkeypatch.context() as patch:
        patch.setattr("charflow.model.training.trainer.Trainer.train", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            learn(first)
    assert first.run_dir.config_file.exists()
    assert not first.is_known
    started = Mock(side_effect=start_run)
    monkeypatch.setattr(module, "start_run", started)
    assert learn(first).ended
    shutil.rmtree(first.run_dir.checkpoints)
    assert learn(first).ended
    assert [call.kwargs["resume"] for call in started.call_args_list] == [True, False]


def test_everybody_without_a_cache_is_for_this_process(chat: Path, cache: CorpusCache) -> None:
    found = before(config(chat, "mira"), None)
    assert learn(found).ended
    assert not cache.folder.exists()


def test_everybody_in_a_cache_that_cannot_be_written_says_so(
    chat: Path, cache: CorpusCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = before(config(chat, "mira"), cache)
    (cache.folder / "bases").touch()
    with pytest.raises(
        UserError, match=r"^The corpus cache \S+/bases cannot be written \(File exists\): free some room"
    ):
        learn(found)
