"""`charflow evaluate`: on the run's own tail, on other chats, beside the baselines."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from charflow.model.evaluation.baselines import baselines
from charflow.model.presets import preset
from charflow.pipeline.corpus.corpus import build_corpus
from charflow.pipeline.marks import END
from charflow.pipeline.sample_chat import write_sample_chat
from charflow.pipeline.vocabulary import Vocabulary

BASELINES = ["order-0", "order-1", "order-2", "order-3", "order-4", "gzip"]


@pytest.fixture(scope="module")
def other_chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another conversation of the same people."""
    path = tmp_path_factory.mktemp("other") / "other.csv"
    write_sample_chat(path, messages=60, seed=1)
    return path


@pytest.fixture
def moved_run(own_run: Path, sample_chat: str, tmp_path: Path) -> tuple[Path, Path]:
    """A run whose chat stands somewhere else than it did, and that place."""
    place = tmp_path / "elsewhere.csv"
    config = own_run / "config.toml"
    config.write_text(config.read_text().replace(sample_chat, str(place)))
    return own_run, place


def told_by(user: str, chat: Path) -> str:
    table = pd.read_csv(chat, keep_default_na=False, dtype=str)
    texts = table.loc[table["fromUser.id"] == user, "text"]
    return "".join(text.lower() + END for text in texts if text)


def test_evaluate_scores_the_held_out_tail_as_train_did(call: Callable, trained: tuple) -> None:
    folder, training = trained
    done = call("evaluate", folder, "--json")
    figures = done.json
    assert (done.status, done.err) == (0, "")
    assert (figures["run"], figures["context"]) == (str(folder), "stream")
    assert figures["bits_per_char"] == pytest.approx(training.json["bits_per_char"], abs=1e-5)
    assert figures["accuracy"] == pytest.approx(training.json["accuracy"], abs=1e-3)
    assert figures["characters"] == training.json["held_out_characters"]
    assert figures["unknown_characters"] == 0


def test_evaluate_has_the_baselines_beside(call: Callable, trained_run: Path, sample_chat: str) -> None:
    corpus = build_corpus(sample_chat, replace(preset("default").corpus, users=("mira",)))
    expected = baselines(
        corpus.train_ids,
        corpus.held_out_ids,
        vocabulary_size=corpus.vocabulary.size,
        decode=corpus.vocabulary.decode,
    )
    figures = call("evaluate", trained_run, "--json").json
    assert list(figures["baselines"]) == BASELINES
    assert figures["baselines"] == pytest.approx(expected)


def test_evaluate_shows_a_table_best_first_and_the_verdict(call: Callable, trained_run: Path) -> None:
    done = call("evaluate", trained_run)
    lines = [line.rsplit(maxsplit=1) for line in done.out.splitlines()[1:8]]
    assert {name for name, _ in lines} == {"charflow (stream)", *BASELINES}
    bits = [float(figure) for _, figure in lines]
    assert bits == sorted(bits)
    assert re.search(r"^accuracy \d+\.\d% on [\d,]+ characters$", done.out, re.MULTILINE)
    assert "predicts this text better than the model: train longer, or on more text.\n" in done.out


def test_evaluate_scores_other_runs_beside(call: Callable, people_runs: Path) -> None:
    ada, bo = people_runs / "ada", people_runs / "bo"
    own = call("evaluate", ada, "--json").json
    done = call("evaluate", ada, "--beside", ada, "--beside", bo, "--json")
    assert done.err == ""  # each left out its own tail only, but of the same files, by person
    assert done.json.pop("beside") == {str(ada): own["bits_per_char"], str(bo): pytest.approx(9, abs=8)}
    assert done.json["bits_per_char"] == own["bits_per_char"]
    shown = call("evaluate", ada, "--beside", bo).out
    assert re.search(rf"^{re.escape(str(bo))} +\d+\.\d{{3}}$", shown, re.MULTILINE)


def test_evaluate_says_which_run_may_have_learned_the_tail(
    call: Callable, refused: Callable, people_runs: Path, trained_run: Path
) -> None:
    done = call("evaluate", people_runs / "ada", "--beside", trained_run)
    assert done.err == f"May have learned these messages, which it did not leave out: {trained_run}.\n"
    assert "holds no run" in refused("evaluate", trained_run, "--beside", "nowhere")


def test_evaluate_gives_the_own_chat_the_same_figure_by_name(
    call: Callable, trained_run: Path, sample_chat: str
) -> None:
    by_name = call("evaluate", trained_run, sample_chat, "--json")
    assert by_name.status == 0
    assert by_name.json == call("evaluate", trained_run, "--json").json


def test_evaluate_scores_all_of_another_chat(call: Callable, trained_run: Path, other_chat: Path) -> None:
    figures = call("evaluate", trained_run, other_chat, "--json").json
    text = told_by("mira", other_chat)
    known = Vocabulary.load(trained_run / "vocabulary.txt").chars
    assert figures["characters"] == sum(char in known for char in text)
    assert figures["unknown_characters"] == len(text) - figures["characters"]
    assert list(figures["baselines"]) == BASELINES
    assert 1 < figures["bits_per_char"] < 6


def test_evaluate_scores_the_users_it_is_given(call: Callable, trained_run: Path, other_chat: Path) -> None:
    figures = call("evaluate", trained_run, other_chat, "--user", "olena", "--json").json
    assert figures["characters"] + figures["unknown_characters"] == len(told_by("olena", other_chat))
    assert figures["unknown_characters"] > figures["characters"] / 2  # Ukrainian, to a model of English
    shown = call("evaluate", trained_run, other_chat, "--user", "olena").out
    assert f", {figures['unknown_characters']:,} unknown ones left out" in shown


def test_evaluate_does_not_ignore_a_user_where_no_data_is_named(call: Callable, trained_run: Path) -> None:
    without, done = call("evaluate", trained_run, "--json"), call("evaluate", trained_run, "--user", "ada", "--json")
    assert done.status == 2 or done.json["characters"] != without.json["characters"]


def test_evaluate_sees_the_last_window_only_where_asked(call: Callable, trained_run: Path) -> None:
    stream, window = (call("evaluate", trained_run, "--context", c, "--json").json for c in ("stream", "window"))
    assert window["context"] == "window"
    assert window["bits_per_char"] != stream["bits_per_char"]
    assert window["bits_per_char"] == pytest.approx(stream["bits_per_char"], abs=0.1)
    assert "charflow (window)" in call("evaluate", trained_run, "--context", "window").out


def test_evaluate_works_on_other_data_when_its_own_is_gone(
    call: Callable, moved_run: tuple[Path, Path], other_chat: Path
) -> None:
    run, _ = moved_run
    done = call("evaluate", run, other_chat, "--json")
    assert (done.status, done.json["baselines"]) == (0, {})


@pytest.mark.slow
def test_evaluate_of_a_run_on_a_prepared_chat(
    call: Callable, sample_chat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ["--units", 8, "--window-length", 16, "--steps", 4, "--evaluations", 1]
    assert call("prepare", sample_chat, "--user", "mira", "--to", tmp_path / "corpus").status == 0
    trained = call("train", tmp_path / "corpus", "--out", tmp_path / "run", "--streaming", *small, "--json").json
    figures = call("evaluate", tmp_path / "run", "--json").json
    assert figures["bits_per_char"] == pytest.approx(trained["bits_per_char"], abs=1e-5)
    assert list(figures["baselines"]) == BASELINES
    monkeypatch.setattr("charflow.model.evaluation.run_evaluation._MOST_COUNTED", 100)
    done = call("evaluate", tmp_path / "run")
    assert "Without the run's training text, or with one too long to count, there are no baselines." in done.out
    shutil.rmtree(tmp_path / "corpus")
    gone = call("evaluate", tmp_path / "run")
    assert (gone.status, gone.err) == (2, f"charflow: {tmp_path}/corpus: no such file.\n")


def test_evaluate_says_that_its_own_data_is_gone(refused: Callable, moved_run: tuple[Path, Path]) -> None:
    run, place = moved_run
    assert refused("evaluate", run) == f"{place}: no such file."


def test_evaluate_refuses_its_own_data_when_it_has_changed(
    refused: Callable, moved_run: tuple[Path, Path], other_chat: Path
) -> None:
    run, place = moved_run
    shutil.copy(other_chat, place)
    message = refused("evaluate", run)
    assert message == f"{place}: changed since the run was trained; name the data to score."


def test_evaluate_takes_the_cache(
    call: Callable, trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = call("evaluate", trained_run, "--cache", tmp_path / "cache", "--json").json
    monkeypatch.setattr("charflow.pipeline.corpus.corpus.read_messages", None)  # reading again would fail
    assert call("evaluate", trained_run, "--cache", tmp_path / "cache", "--json").json == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["missing.csv"], "missing.csv: no such file."),
        (["--context", "all"], "--context must be stream or window, not 'all'."),
    ],
    ids=["missing file", "context"],
)
def test_evaluate_refuses(refused: Callable, trained_run: Path, options: list[str], message: str) -> None:
    assert refused("evaluate", trained_run, *options) == message


def test_evaluate_says_that_nobody_of_the_run_is_in_the_chat(
    refused: Callable, trained_run: Path, write_chat: Callable
) -> None:
    chat = write_chat("ada,a plan", "ada,another", "bram,NO")
    message = refused("evaluate", trained_run, chat)
    absent = "No messages from user {}: 0 of 3 rows. Most active: 'ada' (2), 'bram' (1)."
    assert message == absent.format("'mira'") + " The run was trained on them: name others with --user."
    assert refused("evaluate", trained_run, chat, "--user", "nobody") == absent.format("'nobody'")


def test_evaluate_of_another_chat_names_those_left_out_whom_it_lacks(
    call: Callable, own_run: Path, other_chat: Path
) -> None:
    settings = own_run / "config.toml"
    settings.write_text(settings.read_text().replace("drop_users = []", 'drop_users = ["buildbot ", "ada"]'))
    done = call("evaluate", own_run, other_chat, "--json")
    assert (done.status, done.err) == (0, "Not in this chat, of those whom the run left out: 'buildbot '.\n")


def test_evaluate_reads_another_chat_once(
    call: Callable, trained_run: Path, other_chat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from charflow.pipeline.formats import messages

    read, paths = messages.read_messages, []
    for home in ("model.evaluation.run_evaluation", "pipeline.corpus.corpus"):
        monkeypatch.setattr(f"charflow.{home}.read_messages", lambda *given: (paths.append(given[0]), read(*given))[1])
    assert call("evaluate", trained_run, other_chat, "--no-cache", "--json").status == 0
    assert [[file.path for file in files] for files in paths].count([str(other_chat)]) == 1


def test_evaluate_says_that_it_knows_no_character_of_the_chat(
    refused: Callable, trained_run: Path, write_chat: Callable
) -> None:
    chat = write_chat("olena,Привіт")
    message = refused("evaluate", trained_run, chat, "--user", "olena")
    assert message == "No character of the text is in the model's vocabulary."
