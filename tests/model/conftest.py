"""Tiny networks and corpora that the tests of this package share.

`make_network` has random weights: what it says is arbitrary, but sure of itself. `make_chain` has weights set by hand,
so that the next character depends on the last one alone, with probabilities the test chose: a fake model whose
output is a word.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from charflow.model.config import NetworkConfig
from charflow.model.decoding.decoder import make_decoder
from charflow.model.decoding.generator import Generator
from charflow.model.decoding.settings import Limits
from charflow.model.decoding.text_model import TextModel
from charflow.model.network.network import Network
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.text_settings import TextSettings
from charflow.pipeline.vocabulary import CharacterLookup, Vocabulary
from tests.model.two_workers import launch
from tests.support import made_once

Follows = Mapping[str, Mapping[str, float]]


@pytest.fixture(scope="session")
def make_network() -> Callable[..., Network]:
    """Makes networks of 6 units with random weights and biases; one object for equal arguments: do not train it."""

    @cache
    def make(cell: str = "lstm", layers: int = 1, targets: str = "next", vocabulary_size: int = 5) -> Network:
        config = NetworkConfig(cell=cell, units=6, layers=layers, dropout=0.0)
        network = Network(config, vocabulary_size, targets=targets, seed=1)
        random = np.random.default_rng(7)
        for variable in network.model.trainable_variables:
            variable.assign(random.normal(scale=0.9, size=variable.shape))
        return network

    return make


@pytest.fixture(scope="session")
def make_chain() -> Callable[[str, Follows], Network]:
    """Makes LSTMs of which the next character depends on the last one alone.

    `follows["a"]` has the probabilities of what comes after "a"; `follows["?"]` is for what follows an unknown
    character. Before any character all are equally likely.
    """

    def make(chars: str, follows: Follows) -> Network:
        vocabulary = Vocabulary(chars)
        size = vocabulary.size
        network = Network(NetworkConfig(units=size, dropout=0.0), size, targets="next", seed=0)
        forget, remember, one = np.full(size, -100.0), np.full(size, 100.0), 100 * np.eye(size)
        network.layers[0].kernel.assign(np.concatenate([0 * one, 0 * one, one, 0 * one], axis=1))
        network.layers[0].recurrent.assign(np.zeros([size, 4 * size]))
        network.layers[0].bias.assign(np.concatenate([remember, forget, np.zeros(size), remember]))
        probabilities = np.full([size, size], 1e-30)
        for before, after in follows.items():
            for char, probability in after.items():
                probabilities[vocabulary.encode(before)[0], vocabulary.encode(char)[0]] = probability
        kernel, bias = network.model.get_layer("logits").trainable_variables
        kernel.assign(np.log(probabilities) / np.tanh(1))
        bias.assign(np.zeros(size))
        return network

    return make


@pytest.fixture(scope="session")
def make_generator(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Generator]:
    """Wraps a network for text, without a run folder."""

    def make(
        network: Network, chars: str, *, context: str = "stream", limits: Limits | None = None, **text: bool
    ) -> Generator:
        vocabulary = Vocabulary(chars)
        text_model = TextModel(
            make_decoder(network, context, 4),
            CharacterLookup(vocabulary),
            TextSettings(**text),
            limits or Limits(prompt_chars=1 << 20, completion_chars=256),
        )
        return Generator(text_model, vocabulary)

    return make


@pytest.fixture(scope="session")
def make_corpus() -> Callable[..., Corpus]:
    """Makes a corpus of a training text and a held-out text, without a CSV."""

    def make(train: str, held_out: str = "") -> Corpus:
        vocabulary = Vocabulary(train + held_out)
        return Corpus(
            ids=vocabulary.encode(train + held_out),
            split=len(train),
            vocabulary=vocabulary,
            rows=2,
            dropped={},
            messages=2,
            held_out_messages=1 if held_out else 0,
        )

    return make


@pytest.fixture(scope="session")
def launched(tmp_path_factory: pytest.TempPathFactory, sample_chat: str) -> Path:
    """The folder of a run that two launched workers trained; not to be changed."""

    def train(folder: Path) -> None:
        with launch(sample_chat, folder / "run") as process:
            _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors

    return made_once(tmp_path_factory, "launched", train) / "run"
