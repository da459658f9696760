"""What a run is judged on: its own tail, another chat, and what it may learn of either."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charflow.model.canaries import planted
from charflow.model.config import Config, TrainingConfig
from charflow.model.decoding.decoder import make_decoder
from charflow.model.evaluation.run_evaluation import check_comparable, held_out_text, judge, other_text
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.corpus.corpus import Corpus, build_corpus
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.prepared.writing import prepare_corpus
from charflow.pipeline.text_settings import TextSettings
from charflow.pipeline.vocabulary import Vocabulary

SETTINGS = CorpusSettings(users=("ada",), drop_users=("bot",), held_out=0.25)


def write(path: Path, *rows: str) -> str:
    path.write_text("\n".join(("fromUser.id,text", *rows)) + "\n")
    return str(path)


@pytest.fixture
def chat(tmp_path: Path) -> str:
    return write(tmp_path / "chat.csv", "bot,built", *["ada,ab cab", "mira,cc"] * 20)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunDir]:
    """Writes the folder of a run that was trained on some data, without training."""

    def make(data: str, corpus: Corpus | PreparedCorpus) -> RunDir:
        run_dir = RunDir(tmp_path / "run")
        config = Config(data=(data,), corpus=SETTINGS, training=TrainingConfig(window_length=4, steps=1))
        run_dir.create(config, corpus)
        return run_dir

    return make


@pytest.fixture
def run_dir(chat: str, make_run: Callable) -> RunDir:
    return make_run(chat, build_corpus(chat, SETTINGS))


@pytest.mark.slow
def test_held_out_text_is_the_tail_of_the_runs_own_data(run_dir: RunDir, chat: str) -> None:
    corpus, text = build_corpus(chat, SETTINGS), held_out_text(run_dir)
    np.testing.assert_array_equal(text.ids, corpus.held_out_ids)
    np.testing.assert_array_equal(text.before, corpus.train_ids[-100:])
    np.testing.assert_array_equal(text.train_ids, corpus.train_ids)
    assert (text.available, text.absent) == (len(corpus.held_out_ids), ())


def test_held_out_text_of_a_prepared_corpus(
    chat: str, make_run: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare_corpus(chat, SETTINGS, tmp_path / "prepared")
    run_dir = make_run(str(prepared.folder), prepared)
    text = held_out_text(run_dir)
    np.testing.assert_array_equal(text.ids, prepared.held_out_ids)
    np.testing.assert_array_equal(text.train_ids, prepared.read(0, prepared.split))
    monkeypatch.setattr("charflow.model.evaluation.run_evaluation._MOST_COUNTED", prepared.split - 1)
    assert held_out_text(run_dir).train_ids is None


@pytest.mark.slow
@pytest.mark.parametrize("way", ["own", "named"])
def test_text_of_a_run_with_canaries_is_that_with_canaries(chat: str, tmp_path: Path, way: str) -> None:
    training = TrainingConfig(window_length=4, steps=1, canaries=2, canary_repeats=5)
    config = Config(data=(chat,), corpus=SETTINGS, training=training)
    corpus, run_dir = planted(build_corpus(chat, SETTINGS), config), RunDir(tmp_path / "run")
    run_dir.create(config, corpus)
    text = held_out_text(run_dir) if way == "own" else other_text(run_dir, [chat])
    np.testing.assert_array_equal(text.ids, corpus.held_out_ids)
    np.testing.assert_array_equal(text.train_ids, corpus.train_ids)
    assert "my secret number is" in corpus.vocabulary.decode(text.train_ids)


def test_held_out_text_refuses_data_that_is_another_or_none(run_dir: RunDir, chat: str) -> None:
    write(Path(chat), "ada,ab", "bot,c")
    with pytest.raises(UserError, match=r"chat\.csv: changed since the run was trained; name the data to score\.$"):
        held_out_text(run_dir)
    Path(chat).unlink()
    with pytest.raises(UserError, match=r"chat\.csv: no such file\.$"):
        held_out_text(run_dir)


def test_held_out_text_cannot_be_read_from_a_pipe_again(make_run: Callable, chat: str) -> None:
    with pytest.raises(UserError, match="standard input or a pipe, which cannot be read again"):
        held_out_text(make_run("-", build_corpus(chat, SETTINGS)))


@pytest.mark.slow
def test_other_text_of_the_runs_own_files_is_its_tail(run_dir: RunDir, chat: str) -> None:
    own, named = held_out_text(run_dir), other_text(run_dir, [chat])
    for name in ("ids", "before", "train_ids"):
        np.testing.assert_array_equal(getattr(named, name), getattr(own, name))
    assert named.available == own.available


@pytest.mark.slow
def test_other_text_is_every_message_in_the_runs_vocabulary(run_dir: RunDir, tmp_path: Path) -> None:
    other = write(tmp_path / "other.csv", "bot,x", "ada,AB!", "mira,no", "ada,c")
    text = other_text(run_dir, [other])
    assert run_dir.load()[1].decode(text.ids) == "ab\ufffd c"
    assert run_dir.load()[1].decode(text.before) == " "
    assert text.available == 5
    np.testing.assert_array_equal(text.train_ids, held_out_text(run_dir).train_ids)


@pytest.mark.slow
def test_other_text_takes_other_users_and_columns(run_dir: RunDir, tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("who;what\nbot;x\nmira;ba\n")
    csv = {"user_column": "who", "text_column": "what", "delimiter": ";"}
    text = other_text(run_dir, [str(path)], users=["mira"], csv=csv)
    assert run_dir.load()[1].decode(text.ids) == "ba"


@pytest.mark.slow
def test_other_text_names_whom_the_run_left_out_and_the_chat_lacks(run_dir: RunDir, tmp_path: Path) -> None:
    assert other_text(run_dir, [write(tmp_path / "other.csv", "ada,ab", "ada,c")]).absent == ("bot",)


@pytest.mark.slow
def test_other_text_says_where_nobody_of_the_run_wrote(run_dir: RunDir, tmp_path: Path) -> None:
    other = [write(tmp_path / "other.csv", "mira,ab", "bot,c")]
    with pytest.raises(UserError, match=r"The run was trained on them: name others with users\.$"):
        other_text(run_dir, other)
    with pytest.raises(UserError, match=r"^No messages from user 'eve'.*\(1\)\.$"):
        other_text(run_dir, other, users=["eve"])


@pytest.mark.slow
def test_other_text_without_the_runs_own_files_has_nothing_to_count(run_dir: RunDir, chat: str, tmp_path: Path) -> None:
    Path(chat).unlink()
    assert other_text(run_dir, [write(tmp_path / "other.csv", "ada,ab", "bot,c")]).train_ids is None


@pytest.mark.slow
def test_judge_has_baselines_where_there_is_a_text_to_count(
    run_dir: RunDir, chat: str, tmp_path: Path, make_network: Callable
) -> None:
    vocabulary = run_dir.load()[1]
    decoder = make_decoder(make_network("lstm", 1, vocabulary_size=vocabulary.size), "stream", 4)
    text = held_out_text(run_dir)
    judged = judge(decoder, vocabulary, text)
    assert judged.found.characters == len(text.ids)
    assert judged.without_question is None
    assert list(judged.baselines) == ["order-0", "order-1", "order-2", "order-3", "order-4", "gzip"]
    assert list(judge(decoder, vocabulary, text, least_order=6).baselines)[5:7] == ["order-5", "order-6"]
    Path(chat).unlink()
    other = other_text(run_dir, [write(tmp_path / "other.csv", "ada,ab", "bot,c")])
    assert judge(decoder, vocabulary, other).baselines == {}


@pytest.mark.slow
def test_judge_scores_other_runs_on_the_same_text(run_dir: RunDir, make_network: Callable) -> None:
    """One whose vocabulary has the same characters in another order, and one that lacks most of them."""
    vocabulary, text = run_dir.load()[1], held_out_text(run_dir)
    network = make_network("lstm", 1, vocabulary_size=vocabulary.size)
    small = make_network("lstm", 1, vocabulary_size=2)
    others = {
        "same": (make_decoder(network, "stream", 4), vocabulary),
        "small": (make_decoder(small, "stream", 4), Vocabulary(vocabulary.chars[0])),
    }
    judged = judge(make_decoder(network, "stream", 4), vocabulary, text, others=others)
    assert judged.others["same"] == judged.found
    found, written = judged.others["small"], vocabulary.decode(text.ids)
    assert found.characters == written.count(vocabulary.chars[0])
    assert found.characters + found.unknown_characters == len(text.ids)


@pytest.fixture
def kept_apart(chat: str, tmp_path: Path) -> Callable[..., RunDir]:
    """Writes the folder of a run that was trained on the chat, the tail of each person left out."""

    def make(name: str, **changes: Any) -> RunDir:
        settings = replace(SETTINGS, **{"held_out_by": "person", **changes})
        run_dir = RunDir(tmp_path / name)
        config = Config(data=(chat,), corpus=settings, training=TrainingConfig(window_length=4, steps=1))
        run_dir.create(config, build_corpus(chat, settings))
        return run_dir

    return make


@pytest.mark.parametrize(
    ("changes", "alike"),
    [
        ({}, True),
        ({"users": ()}, True),
        ({"users": (), "held_out": 0.5}, True),
        ({"users": (), "held_out": 0.2}, False),
        ({"users": (), "held_out_by": "messages"}, False),
    ],
    ids=["same text", "everybody", "longer tails", "shorter tails", "one tail of all"],
)
def test_runs_are_comparable_where_neither_learned_the_tail(
    kept_apart: Callable[..., RunDir], changes: dict[str, Any], *, alike: bool
) -> None:
    assert check_comparable(kept_apart("own"), kept_apart("other", **changes)) == alike


def test_runs_that_read_text_otherwise_are_not_comparable(kept_apart: Callable[..., RunDir]) -> None:
    own, other = kept_apart("own"), kept_apart("other", text=TextSettings(lowercase=False))
    with pytest.raises(UserError, match=r"/other reads text otherwise than .*/own \(lowercase\): their figures"):
        check_comparable(own, other)
