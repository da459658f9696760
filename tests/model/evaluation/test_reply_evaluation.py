"""What a run that has learned to answer is judged on: the answers, with and without their questions read."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from charflow.model.config import Config, TrainingConfig
from charflow.model.decoding.decoder import make_decoder
from charflow.model.evaluation.evaluation import Evaluator
from charflow.model.evaluation.run_evaluation import held_out_text, judge, other_text
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.code_points import points_of
from charflow.pipeline.corpus.corpus import build_corpus
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.prepared.writing import prepare_corpus
from charflow.pipeline.read_only import ReadOnlyMarker, is_learned
from charflow.pipeline.text_settings import TextSettings

SETTINGS = CorpusSettings(users=("ada",), held_out=0.25, text=TextSettings(reply=True))


def write(path: Path, *rows: str) -> str:
    path.write_text("\n".join(("fromUser.id,text", *rows)) + "\n")
    return str(path)


@pytest.fixture
def chat(tmp_path: Path) -> str:
    return write(tmp_path / "chat.csv", *["mira,cc", "ada,ab cab", "bo,abba", "mira,a cab", "ada,ba"] * 30)


@pytest.fixture
def run_dir(chat: str, tmp_path: Path) -> RunDir:
    run_dir = RunDir(tmp_path / "run")
    config = Config(data=(chat,), corpus=SETTINGS, training=TrainingConfig(window_length=4, steps=1))
    run_dir.create(config, build_corpus(chat, SETTINGS))
    return run_dir


@pytest.mark.slow
def test_judge_scores_the_answers_with_and_without_their_questions(run_dir: RunDir, make_network: Callable) -> None:
    vocabulary = run_dir.load()[1]
    network = make_network("lstm", 1, vocabulary_size=vocabulary.size)
    decoder = make_decoder(network, "stream", 4, vocabulary.never_written)
    text = held_out_text(run_dir)
    judged = judge(decoder, vocabulary, text)
    whole = "cc\x02ab cab\x03a cab\x02ba\x03" * 30
    tail = whole[whole.index("a cab\x02", len(whole) * 3 // 4 - 9) :]  # 15 of 60 messages
    before = whole[: -len(tail)][-100:]
    assert vocabulary.decode(text.ids) == tail
    answers = re.sub("[^\x02\x03]*\x02", "", tail)
    assert text.available == judged.found.characters == len(answers) == judged.without_question.characters
    assert judged.without_question.bits_per_char != pytest.approx(judged.found.bits_per_char, abs=1e-3)
    unasked, run_up = (
        vocabulary.ids_of(ReadOnlyMarker()(points_of(re.sub("[^\x02\x03]*\x02", "\x02", part))))
        for part in (tail, before)
    )
    again = Evaluator(decoder)(unasked, before=run_up)
    assert judged.without_question.bits_per_char == pytest.approx(again.bits_per_char, abs=1e-5)
    assert judged.baselines["order-4"] < judged.baselines["order-0"]


@pytest.mark.slow
def test_held_out_answers_of_a_prepared_corpus_are_counted(run_dir: RunDir, chat: str, tmp_path: Path) -> None:
    corpus = build_corpus(chat, SETTINGS)
    prepared = prepare_corpus(chat, SETTINGS, tmp_path / "to", shard_size=100)
    assert prepared.count_learned(prepared.split, prepared.characters) == held_out_text(run_dir).available
    assert prepared.count_learned(3, 150) == corpus.count_learned(3, 150) == (corpus.ids[3:150] < 7).sum()


@pytest.mark.slow
def test_other_text_has_the_questions_of_the_other_chat_in_the_runs_vocabulary(run_dir: RunDir, tmp_path: Path) -> None:
    other = write(tmp_path / "other.csv", "mira,Cab?", "ada,AB!", "mira,no", "bo,bac", "ada,c", "ada,a")
    text, vocabulary = other_text(run_dir, [other]), run_dir.load()[1]
    assert vocabulary.decode(text.ids) == "cab\ufffd\x02ab\ufffd\x03bac\x02c\x03\x02a\x03"
    assert vocabulary.decode(text.ids[is_learned(text.ids, vocabulary.size)]) == "ab\ufffd\x03c\x03a\x03"
    assert text.available == 8
