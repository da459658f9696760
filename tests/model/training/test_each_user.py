"""A run for each person: the same as theirs alone, kept, gone on with, and no matter what befalls another's."""

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from charflow.model.distributed.strategy import make_strategy
from charflow.model.run.base import Base
from charflow.model.run.run_dir import RunDir
from charflow.model.training import each_user as module
from charflow.model.training import everybody
from charflow.model.training.each_user import EachListener, EachUser, Outcome
from charflow.model.training.report import Result
from charflow.model.training_text import read_text
from charflow.pipeline.errors import SettingError, UserError

TINY = {
    "network": {"units": 4},
    "training": {"steps": 2, "window_length": 8, "batch_size": 4, "evaluations": 1, "start_from": "none"},
}
pytestmark = pytest.mark.usefixtures("_no_texts")


@pytest.fixture
def each(people_chat: Path, tmp_path: Path) -> Callable[..., EachUser]:
    def make(*, training: dict[str, Any] | None = None, **options: Any) -> EachUser:
        changes = {**TINY, "training": {**TINY["training"], **(training or {})}}
        return EachUser([str(people_chat)], changes, tmp_path / "people", **{"min_messages": 40, **options})

    return make


def outcomes(each: EachUser) -> list[Outcome]:
    return list(each.train(make_strategy("one-device"), Mock(spec=EachListener)))


def test_each_user_are_those_who_have_enough_messages(each: Callable[..., EachUser]) -> None:
    found = each()
    assert [(person.user, person.messages) for person in found.people] == [("ada", 40), ("bo", 40), ("Mira K.", 40)]
    assert found.left_out == 1
    assert [found.folder_of(person).name for person in found.people] == ["ada", "bo", "mira-k-36a7cf"]


def test_each_user_learns_what_a_run_of_theirs_alone_would(each: Callable[..., EachUser]) -> None:
    made = outcomes(each())
    assert [each.state for each in made] == ["trained"] * 3
    for outcome in made:
        config = RunDir(outcome.run).load()[0]
        assert config.corpus.users == (outcome.person.user,)
        alone = read_text(config.data, config)
        assert RunDir(outcome.run).corpus_facts() == alone.corpus.facts()
        assert outcome.characters == alone.learned_characters


def test_each_user_reads_the_chat_once(each: Callable[..., EachUser], monkeypatch: pytest.MonkeyPatch) -> None:
    read = Mock(side_effect=module.read_messages)
    monkeypatch.setattr(module, "read_messages", read)
    monkeypatch.setattr("charflow.pipeline.corpus.corpus.read_messages", read)
    outcomes(each())
    assert read.call_count == 1


def test_each_user_keeps_what_is_there_and_goes_on_with_what_was_cut_short(
    each: Callable[..., EachUser], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = outcomes(each())
    cut = RunDir(first[1].run)
    cut.result_file.unlink()
    monkeypatch.setattr(module, "with_memory", None)  # a run that is there remembers what it did
    again = outcomes(each(training={"steps": 3}))
    assert [outcome.state for outcome in again] == ["kept", "trained", "kept"]
    assert [RunDir(outcome.run).read_result()["step"] for outcome in again] == [2, 3, 2]
    assert again[0].bits_per_char == first[0].bits_per_char


def test_each_user_refuses_a_folder_of_runs_with_other_settings(each: Callable[..., EachUser]) -> None:
    outcomes(each())
    again = outcomes(each(training={"batch_size": 2}))
    assert [outcome.state for outcome in again] == ["failed"] * 3
    assert "A resumed run keeps its settings: leave batch_size out" in again[0].why


def test_each_user_goes_on_after_one_fails(each: Callable[..., EachUser], tmp_path: Path) -> None:
    (tmp_path / "people" / "bo").mkdir(parents=True)
    (tmp_path / "people" / "bo" / "letter.txt").write_text("dear bo")
    made = outcomes(each())
    assert [outcome.state for outcome in made] == ["trained", "failed", "trained"]
    assert "bo holds other files" in made[1].why


@pytest.mark.parametrize("ended", [True, False], ids=["which had just ended", "cut short"])
def test_each_user_ends_with_the_run_that_a_signal_came_in(
    each: Callable[..., EachUser], monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    start = module.start_run

    def stopped(*arguments: Any, **options: Any) -> Result:
        result = start(*arguments, **options)
        return replace(result, reason="finished" if ended else "interrupted", signal=signal.SIGINT)

    monkeypatch.setattr(module, "start_run", stopped)
    assert [outcome.state for outcome in outcomes(each())] == ["trained" if ended else "interrupted"]


def test_each_user_learns_everybody_first_once(each: Callable[..., EachUser], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(everybody, "_LEAST", 1000)
    monkeypatch.setattr(everybody, "_TIMES", 2)
    monkeypatch.setattr(everybody, "_A_SECOND", 50_000)
    monkeypatch.setattr(everybody, "_LEAST_SECONDS", 0.05)
    found = each(training={"start_from": "", "steps": 0, "time_limit": 0.2})
    assert found.everybody is not None
    found.everybody.learn(make_strategy("one-device"), Mock())
    made = outcomes(found)
    assert found.base == found.everybody.run_dir.path
    starts = {RunDir(outcome.run).load()[0].training.start_from for outcome in made}
    assert starts == {str(Base(found.base).run_dir.path)}
    assert all(outcome.base_bits_per_char >= outcome.bits_per_char for outcome in made)


def test_each_user_needs_somebody_with_enough_messages(each: Callable[..., EachUser]) -> None:
    with pytest.raises(SettingError, match=r"Nobody has 41 messages: lower min_messages. Most active: 'ada' \(40\)"):
        each(min_messages=41)


def test_each_user_needs_a_folder_that_is_no_run(each: Callable[..., EachUser], tmp_path: Path) -> None:
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "config.toml").touch()
    with pytest.raises(UserError, match="people holds a run: name another folder"):
        each()
