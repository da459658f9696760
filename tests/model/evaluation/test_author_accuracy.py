"""How often the author of held-out messages is told."""

from pathlib import Path

import numpy as np
import pytest

from charflow.model.evaluation import author_accuracy as module
from charflow.model.evaluation.author_accuracy import measure
from charflow.model.evaluation.authorship import Authors
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.errors import UserError


def test_measure_tells_people_who_say_one_thing(people_runs: Path) -> None:
    """Each has four messages held out: of twenty at a time there is nothing to try."""
    one, five = measure(Authors(people_runs), at_a_time=(1, 4, 20))
    assert (one.messages, one.tried, one.accuracy) == (1, 12, 1.0)
    assert one.confusion.tolist() == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
    assert (five.messages, five.tried, five.accuracy) == (4, 3, 1.0)
    assert one.n_grams == five.n_grams == 1.0


def test_measure_does_without_scikit_learn(people_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.ngram_classifier, "is_installed", lambda: False)
    assert [each.n_grams for each in measure(Authors(people_runs))] == [None]


def test_messages_are_whole_ones(people_runs: Path) -> None:
    learned, held_out = module._messages(RunDir(people_runs / "ada"), None)
    assert (learned, held_out) == (["a plan has a map"] * 36, ["a plan has a map"] * 4)


def test_summed_adds_up_so_many_at_a_time() -> None:
    nats = np.array([[1.0, 2, 3, 4, 5], [5, 4, 3, 2, 1]])
    assert module._summed(nats, 2).tolist() == [[3, 7], [9, 5]]
    assert module._summed(nats, 1).tolist() == nats.tolist()


def test_joined_leaves_out_what_messages_answer() -> None:
    from charflow.pipeline.marks import REPLY

    assert list(module._joined([f"who?{REPLY}me", "a", "b"], 2)) == ["me\na"]


def test_accuracy_counts_each_person_alike() -> None:
    assert module._accuracy(np.array([[98, 0, 0], [1, 1, 0], [0, 0, 0]])) == 0.75


def test_measure_needs_messages_that_end(people_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authors = Authors(people_runs)
    monkeypatch.setattr(module.RunDir, "load", lambda run, own=RunDir.load: (_without_ends(own(run)[0]), own(run)[1]))
    with pytest.raises(UserError, match="ada has not learned where messages end"):
        measure(authors)


def _without_ends(config):
    from charflow.pipeline.tables import override

    return override(config, {"corpus": {"text": {"ends": False}}})
