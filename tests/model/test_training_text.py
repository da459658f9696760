"""Which text a run is given: from files, from a prepared corpus, whole, in parts or on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charflow.model.config import Config, TrainingConfig
from charflow.model.training_text import TextInMemory, TextOnDisk, TrainingText, read_text
from charflow.pipeline.corpus.cache import CorpusCache
from charflow.pipeline.corpus.corpus import build_corpus
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.prepared.writing import prepare_corpus
from charflow.pipeline.vocabulary import Vocabulary
from charflow.pipeline.windows import Share


def config(**training: Any) -> Config:
    return Config(training=TrainingConfig(window_length=8, window_shift=3, batch_size=4, steps=1, **training))


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("chat") / "chat.csv"
    path.write_text("fromUser.id,text\n" + "ada,a plan for mira\nbot,\n" * 40)
    return str(path)


@pytest.fixture(scope="module")
def prepared(chat: str, tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    return prepare_corpus(chat, CorpusSettings(), tmp_path_factory.mktemp("prepared"))


@pytest.fixture(params=["files", "prepared", "on disk"])
def text(request: pytest.FixtureRequest, chat: str, prepared: PreparedCorpus) -> TrainingText:
    data = [chat] if request.param == "files" else prepared
    return read_text(data, config(streaming=request.param == "on disk"))


@pytest.mark.slow
def test_every_text_tells_and_gives_what_the_corpus_holds(text: TrainingText, chat: str) -> None:
    corpus = build_corpus(chat, CorpusSettings())
    assert text.corpus.facts() == corpus.facts()
    assert text.vocabulary == corpus.vocabulary
    assert (text.train_characters, text.held_out_characters) == (corpus.split, len(corpus.ids) - corpus.split)
    assert text.count_windows(config().training) == len(range(0, corpus.split - 8, 3))
    np.testing.assert_array_equal(text.piece(30, 40), corpus.ids[30:70])
    np.testing.assert_array_equal(text.piece(corpus.split - 5, 40), corpus.train_ids[-5:])
    np.testing.assert_array_equal(text.end(9), corpus.train_ids[-9:])
    np.testing.assert_array_equal(text.held_out(12), corpus.held_out_ids[:12])
    inputs, targets = next(iter(text.windows(config().training, 4, 0, Share())))
    assert (inputs.shape, targets.shape) == ((4, 8), (4, 8))
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["files", "prepared", "a part", "on disk"])
def test_read_text_reads_in_another_vocabulary(kind: str, chat: str, prepared: PreparedCorpus) -> None:
    """Of the letters those of "mira" are unknown, and the others have other ids."""
    vocabulary = Vocabulary("\N{SNOWMAN} aflnopxyz" + "".join(map(chr, range(0x4E00, 0x4F00))))
    settings = config(streaming=kind == "on disk", shard_corpus=kind == "a part")
    text = read_text(
        [chat] if kind == "files" else prepared, settings, workers=1 + (kind == "a part"), vocabulary=vocabulary
    )
    corpus = build_corpus(chat, CorpusSettings(), vocabulary=vocabulary)
    assert text.vocabulary == vocabulary
    np.testing.assert_array_equal(text.held_out(99), corpus.held_out_ids[:99])
    np.testing.assert_array_equal(text.end(9), corpus.train_ids[-9:])
    np.testing.assert_array_equal(text.piece(3, 9), corpus.ids[3:12])
    inputs, targets = next(iter(text.windows(settings.training, 4, 0, Share())))
    plain = vocabulary.decode(corpus.ids)
    for row in np.concatenate([inputs, targets[:, -1:]], axis=1):
        assert vocabulary.decode(row) in plain
    assert text.corpus.fingerprint == (corpus if kind == "files" else prepared).fingerprint


def test_read_text_reads_in_the_vocabulary_of_the_run_that_is_started_from(chat: str, tmp_path: Path) -> None:
    Vocabulary("adn").save(tmp_path / "vocabulary.txt")
    assert read_text([chat], config(start_from=str(tmp_path))).vocabulary == Vocabulary("adn")
    assert read_text([chat], config(start_from="none")).vocabulary != Vocabulary("adn")


def test_read_text_holds_a_text_where_it_is_asked_to(chat: str, prepared: PreparedCorpus) -> None:
    assert isinstance(read_text([chat], config()), TextInMemory)
    assert isinstance(read_text(prepared, config()), TextInMemory)
    assert isinstance(read_text(prepared, config(streaming=True)), TextOnDisk)


def test_read_text_shares_a_prepared_corpus_out_among_workers(prepared: PreparedCorpus) -> None:
    whole = read_text(prepared, config(shard_corpus=True))
    parts = [read_text(prepared, config(shard_corpus=True), worker=worker, workers=2) for worker in range(2)]
    assert [part.corpus.facts() for part in parts] == [whole.corpus.facts()] * 2
    assert all(part.host_bytes < whole.host_bytes for part in parts)
    counts = {part.count_windows(config().training) for part in parts}
    assert counts == {whole.count_windows(config().training) // 2 * 2}
    np.testing.assert_array_equal(parts[1].end(9), whole.end(9))
    assert not np.array_equal(parts[0].piece(0, 40), parts[1].piece(0, 40))


def test_read_text_keeps_what_it_encoded(chat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_text([chat], config(), cache=CorpusCache(tmp_path))
    monkeypatch.setattr("charflow.pipeline.corpus.corpus.read_messages", None)  # reading again would fail
    assert read_text([chat], config(), cache=CorpusCache(tmp_path)).corpus.facts() == first.corpus.facts()


@pytest.mark.parametrize("setting", ["streaming", "shard_corpus"])
def test_read_text_refuses_settings_that_need_a_prepared_corpus(chat: str, setting: str) -> None:
    with pytest.raises(UserError, match=f"^{setting} needs a corpus that charflow prepare has written\\.$"):
        read_text([chat], config(**{setting: True}))


def test_read_text_lets_workers_share_no_pipe() -> None:
    message = r"^Workers cannot share standard input or a pipe: write the chat to a file that all can read\.$"
    with pytest.raises(UserError, match=message):
        read_text(["-"], config(), worker=1, workers=2)


def test_read_text_of_a_pipe_reads_it_where_one_worker_trains(chat: str, make_pipe: Callable[[bytes], Path]) -> None:
    pipe = str(make_pipe(Path(chat).read_bytes()))
    assert read_text([pipe], config()).corpus.fingerprint == read_text([chat], config()).corpus.fingerprint


@pytest.mark.slow
@pytest.mark.parametrize("way", ["files", "prepared"])
def test_a_memory_is_fitted_to_what_nobody_learns(chat: str, prepared: PreparedCorpus, way: str) -> None:
    whole = build_corpus(chat, CorpusSettings()).train_ids
    text = read_text([chat] if way == "files" else prepared, config(memory="person"))
    fitted = int(0.05 * len(whole))
    assert (text.fitted_characters, text.train_characters) == (fitted, len(whole) - fitted)
    np.testing.assert_array_equal(text.fitted(), whole[-fitted:])
    np.testing.assert_array_equal(text.piece(0, len(whole)), whole[:-fitted])
    np.testing.assert_array_equal(text.end(9), whole[-9:])
    assert text.count_windows(config().training) == len(range(0, len(whole) - fitted - 8, 3))
    assert read_text([chat], config()).fitted_characters == 0
