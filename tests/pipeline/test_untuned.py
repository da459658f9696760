"""Whoever drops an iterator must not wait for a thread that tunes it: it may sleep for up to a minute."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.corpus.explore import summarise_chat, summarise_user
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.formats.messages import read_messages
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.prepared.streaming import stream_windows
from charflow.pipeline.prepared.writing import prepare_corpus
from charflow.pipeline.windows import make_windows


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Notes of every dataset that is iterated whether tf.data would tune it."""
    found: list[bool] = []
    iterate = tf.data.Dataset.__iter__

    def noting(dataset: tf.data.Dataset) -> object:
        found.append(dataset.options().autotune.enabled is not False)
        return iterate(dataset)

    monkeypatch.setattr(tf.data.Dataset, "__iter__", noting)
    yield found


def explore(chat: str, _: Path) -> None:
    messages = read_messages(chat)
    summarise_chat(messages)
    corpus = Corpus.from_csv(chat, user="mira")
    summarise_user(messages, corpus, "mira", length=20, shift=3)


def window(chat: str, _: Path) -> None:
    next(iter(make_windows(np.arange(100), batch_size=4, epochs=None)))


def stream(chat: str, folder: Path) -> None:
    prepare_corpus([chat], CorpusSettings(), folder)
    next(iter(stream_windows(PreparedCorpus.open(folder), length=20, batch_size=4)))


@pytest.mark.parametrize("read", [explore, window, stream], ids=lambda read: read.__name__)
@pytest.mark.slow
def test_no_dataset_is_tuned_by_a_thread(
    read: Callable[[str, Path], None], sample_chat: str, tmp_path: Path, tuned: list[bool]
) -> None:
    read(sample_chat, tmp_path / "corpus")
    assert tuned, "nothing was iterated"
    assert not any(tuned)
