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
from charflow.model.run.run_memory import load_memory
from charflow.model.training import everybody as module
from charflow.model.training.configure import configure
from charflow.model.training.everybody import Everybody, with_memory
from charflow.model.training.report import Listener, Result
from charflow.model.training.start import start_run
from charflow.model.training_text import read_text
from charflow.pipeline.corpus.cache import CorpusCache
from charflow.pipeline.errors import UserError
from charflow.pipeline.tables import override

PEOPLE = {"mira": "oh my dears, oh", "ada": "a plan, a plan!", "bo": "no, bo says no"}


pytestmark = pytest.mark.usefixtures("_no_texts")


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


def beside(settings: Config, cache: CorpusCache | None) -> Everybody | None:
    return Everybody.beside(settings, read_text(settings.data, settings, cache=cache), cache)


def learn(everybody: Everybody) -> Result | None:
    return everybody.learn(make_strategy("one-device"), Mock(spec=Listener))


def test_everybody_is_a_run_on_all_for_three_quarters_of_the_time(chat: Path, cache: CorpusCache) -> None:
    settings = config(chat, "mira")
    found = beside(settings, cache)
    assert (found.config.corpus.users, found.config.corpus.min_count) == ((), 2)
    assert found.config.training == replace(settings.training, start_from="none", time_limit=0.75 * 0.2, memory="off")
    assert found.text.corpus.messages == 210
    assert found.time_left == pytest.approx(0.05)
    assert found.comes_first
    assert not found.is_known


@pytest.mark.parametrize(
    ("wanted", "found"), [("auto", "everybody"), ("everybody", "everybody"), ("person", "person"), ("off", "off")]
)
def test_everybody_is_one_whatever_the_person_remembers(
    wanted: str, found: str, chat: Path, cache: CorpusCache
) -> None:
    plain = beside(config(chat, "mira"), cache)
    of_one = beside(config(chat, "mira", training={"memory": wanted, "memory_contexts": 7}), cache)
    assert (of_one.config.training.memory, of_one.run_dir.path) == ("off", plain.run_dir.path)
    training = {"memory": wanted, "memory_contexts": 7}
    changes = of_one.before_one({"corpus": {"users": ("mira",)}, "training": training})
    assert (changes["training"]["memory"], changes["training"]["memory_contexts"]) == (found, 7)


def test_several_people_have_no_memory_by_themselves(chat: Path, cache: CorpusCache) -> None:
    assert beside(config(chat, "mira", "ada"), cache).memory == "off"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, "everybody"),
        ({"training": {"memory": "off"}}, "off"),
        ({"training": {"memory": "person"}}, "person"),
        ({"training": {"start_from": ""}}, "off"),
        ({"corpus": {"users": ()}}, "off"),
        ({"corpus": {"users": ("mira", "ada")}}, "off"),
        ({"corpus": {"held_out_by": "messages"}}, "off"),
        ({"corpus": {"text": {"reply": True}}}, "off"),
        ({"training": {"streaming": True}}, "off"),
        ({"data": ("-",)}, "off"),
    ],
    ids=str,
)
def test_with_memory_is_everybody_s_beside_a_base_on_everybody(
    changes: dict, found: str, chat: Path, base: Mock
) -> None:
    settings = config(chat, "mira", training={"start_from": "base"})
    assert with_memory(override(settings, changes)).training.memory == found


@pytest.mark.parametrize(
    ("users", "characters", "found"), [((), 1000, "everybody"), (("ada",), 1000, "off"), ((), 999, "off")]
)
def test_with_memory_is_off_beside_other_bases(
    users: tuple, characters: int, found: str, chat: Path, base: Mock
) -> None:
    base.config.corpus.users, base.run_dir.corpus_facts.return_value = users, {"train_characters": characters}
    assert with_memory(config(chat, "mira", training={"start_from": "base"})).training.memory == found


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """A run on everybody, as far as it is looked at."""
    base = Mock()
    base.config.corpus.users, base.run_dir.corpus_facts.return_value = (), {"train_characters": 1000}
    monkeypatch.setattr(module, "Base", lambda folder: base)
    return base


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
    assert beside(config(chat, "mira", **changes), cache) is None


def test_everybody_is_left_out_of_the_recipe_a_prepared_corpus_and_a_small_chat(
    chat: Path, cache: CorpusCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert beside(replace(preset("tutorial"), data=(str(chat),)), cache) is None
    monkeypatch.setattr(module, "_LEAST", 5000)
    assert beside(config(chat, "mira"), cache) is None


def test_who_fills_the_time_alone_has_everybody_s_counts_only(chat: Path, cache: CorpusCache) -> None:
    settings = config(chat, "mira")
    most = read_text(settings.data, settings, cache=cache).train_characters / 5_000
    some, more = (beside(config(chat, "mira", training={"time_limit": most * by}), cache) for by in (1.01, 0.99))
    assert (some.comes_first, more.comes_first) == (True, False)
    for wanted, found in (("auto", "everybody"), ("off", "off")):
        changes = {"start_from": "", "memory": wanted}
        alone = with_memory(config(chat, "mira", training=changes), beside_everybody=True).training
        assert (alone.memory, alone.starts) == (found, False)


def test_everybody_is_learned_once(chat: Path, cache: CorpusCache) -> None:
    first = beside(config(chat, "mira"), cache)
    assert learn(first).ended
    second = beside(config(chat, "ada"), cache)
    assert (second.run_dir.path, second.is_known) == (first.run_dir.path, True)
    assert learn(second) is None
    others = [config(chat, "ada", network={"units": 5}), config(chat, "ada", training={"seed": 1})]
    assert len({beside(other, cache).run_dir.path for other in others} | {first.run_dir.path}) == 3


def test_everybody_goes_before_a_run_that_starts_from_there(chat: Path, cache: CorpusCache, tmp_path: Path) -> None:
    first = beside(config(chat, "mira"), cache)
    learn(first)
    changes = first.before_one({"corpus": {"users": ("mira",), "min_count": 1}, **TINY})
    settings = configure([str(chat)], changes)
    assert (settings.training.start_from, settings.training.epochs) == (str(first.run_dir.path), 1)
    text = read_text(settings.data, settings, cache=cache)
    start_run(settings, text, RunDir(tmp_path / "run"), make_strategy("one-device"), Mock(spec=Listener))
    training = RunDir(tmp_path / "run").load()[0].training
    assert (training.memory, load_memory(RunDir(tmp_path / "run")) is not None) == ("everybody", True)
    assert training.base_fingerprint == Base(first.run_dir.path).fingerprint


def test_everybody_that_was_interrupted_goes_on_and_what_is_damaged_is_made_anew(
    chat: Path, cache: CorpusCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = beside(config(chat, "mira"), cache)
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
    found = beside(config(chat, "mira"), None)
    assert learn(found).ended
    assert not cache.folder.exists()


def test_everybody_in_a_cache_that_cannot_be_written_says_so(
    chat: Path, cache: CorpusCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = beside(config(chat, "mira"), cache)
    (cache.folder / "bases").touch()
    with pytest.raises(
        UserError, match=r"^The corpus cache \S+/bases cannot be written \(File exists\): free some room"
    ):
        learn(found)
