"""`charflow who`: what it prints, and what it refuses."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import Outcome


def test_who_ranks_the_people(call: Callable[..., Outcome], people_runs: Path) -> None:
    shown = call("who", "oh my dears", "dears", "--among", people_runs)
    assert shown.status == 0
    head, first, *rest = shown.out.splitlines()
    assert head.split() == ["person", "bits/char", "posterior"]
    assert first.startswith("mira-k-36a7cf ")
    assert len(rest) == 2
    figures = call("who", "oh my dears", "dears", "--among", people_runs, "--json").json
    assert figures["messages"] == 2
    assert [f"{each['bits_per_char']:.3f}" for each in figures["people"]] == [
        line.split()[1] for line in (first, *rest)
    ]


def test_who_reads_a_chat_and_standard_input(
    call: Callable[..., Outcome], people_runs: Path, people_chat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_chat = call("who", "--file", people_chat, "--user", "bo", "--among", people_runs, "--json").json
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"no, bo said so\n" * 40)))
    of_lines = call("who", "-", "--among", people_runs, "--json").json
    assert of_chat == of_lines
    assert (of_chat["messages"], of_chat["people"][0]["person"]) == (40, "bo")


def test_who_measures_how_often_it_is_right(call: Callable[..., Outcome], people_runs: Path) -> None:
    pytest.importorskip("sklearn", reason="pip install 'charflow[authors]'")
    shown = call("who", "--held-out", "--among", people_runs)
    assert shown.status == 0, shown.err
    lines = [line.split() for line in shown.out.splitlines()]
    assert lines[1] == ["1", "12", "100.0%", "100.0%", "33.3%"]
    assert [line[2:] for line in lines[-3:]] == [["100", "·", "·"], ["·", "100", "·"], ["·", "·", "100"]]
    figures = call("who", "--held-out", "--among", people_runs, "--json").json
    assert figures["people"] == ["ada", "bo", "mira-k-36a7cf"]
    assert figures["held_out"][0]["confusion"] == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]


def test_who_says_that_scikit_learn_is_missing(
    call: Callable[..., Outcome], people_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charflow.model.evaluation.ngram_classifier.is_installed", lambda: False)
    shown = call("who", "--held-out", "--among", people_runs)
    assert shown.status == 0
    assert "pip install 'charflow[authors]'" in shown.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x", "--held-out"], "TEXT is of no use with --held-out: leave it out."),
        (["x", "--user", "mira"], "--user is of no use without --file: leave it out."),
        (["x", "--no-cache"], "--no-cache is of no use without --held-out: leave it out."),
        (["美羅"], "No character of the text is in the vocabulary of any of the models."),
        (["--file", "nowhere.csv"], "nowhere.csv: no such file."),
    ],
)
def test_who_refuses(refused: Callable[..., str], people_runs: Path, arguments: list[str], message: str) -> None:
    assert refused("who", *arguments, "--among", people_runs) == message


def test_who_needs_runs(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "has no runs in it" in refused("who", "x", "--among", tmp_path)
    assert "no such folder" in refused("who", "x", "--among", tmp_path / "nowhere")
