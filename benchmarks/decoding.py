"""How fast a network writes here: beside the simplest loop there is, what its products alone take, and the recipe.

`charflow bench decode` prints it. B is the batch, U the units, G the gates, V the vocabulary size.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import tensorflow as tf

from charflow.benchmarks import recipe
from charflow.benchmarks.comparison import LIMIT, OURS, PEER, Candidate, Comparison, Kind, by_turns
from charflow.model.config import NetworkConfig
from charflow.model.decoding.contexts import ContextKind
from charflow.model.decoding.decoder import Decoder, make_decoder
from charflow.model.decoding.sampling import draw, uniforms
from charflow.model.decoding.writer import Writer
from charflow.model.network.network import Network
from charflow.model.presets import preset

_TEMPERATURE = 0.8
_NOTHING = np.zeros(0, np.int32)  # that is read before
_RECIPE_CHARS = 40  # of a turn: it writes some tens a second


def measure_decoding(
    config: NetworkConfig, vocabulary_size: int, batch_sizes: Sequence[int], *, chars: int, turns: int, xla: bool
) -> Iterator[Comparison]:
    """Lets a new network write `chars` characters in each row of a batch, one batch size after the other."""
    decoder = _untrained(config, vocabulary_size)
    count = (4 if config.cell == "lstm" else 3) * (2 * config.layers - 1)
    matrices = [tf.random.stateless_normal([config.units, config.units], [0, k]) / config.units for k in range(count)]
    dense = tf.random.stateless_normal([config.units, vocabulary_size], [1, 0])
    writer, compiled_writer = Writer(decoder), Writer(decoder, xla=True)
    bare, compiled, products = (
        tf.function(way, jit_compile=jit, autograph=False)
        for way, jit in ((_bare_loop, False), (_bare_loop, True), (_products, False))
    )
    for size in batch_sizes:
        ways: list[tuple[str, Kind, Callable[[], object]]] = [
            ("charflow", OURS, _writing(writer, size, chars)),
            ("a bare loop", PEER, partial(bare, decoder, size, chars)),
            ("products alone", LIMIT, partial(products, matrices, dense, size, chars)),
        ]
        if xla:
            ways.insert(1, ("charflow, XLA", OURS, _writing(compiled_writer, size, chars)))
            ways.insert(3, ("a bare loop, XLA", PEER, partial(compiled, decoder, size, chars)))
        yield Comparison(
            what="writing one text" if size == 1 else f"writing {size:,} texts at once",
            unit="characters/s",
            about=f"{config.cell.upper()}, {config.layers} x {config.units} units, {vocabulary_size} characters, in "
            "graph mode where it does not say XLA, by which charflow writes a few texts at once and no more. The bare "
            "loop is the shortest that writes the same texts (scores, softmax, draw, step); the products are the "
            "step's matrix products and nothing else.",
            ways=by_turns(
                [Candidate(name=name, kind=kind, work=_waited(way), amount=size * chars) for name, kind, way in ways],
                turns,
            ),
        )


def _untrained(config: NetworkConfig, vocabulary_size: int) -> Decoder:
    network = Network(config, vocabulary_size, targets="all", seed=0)
    return make_decoder(network, "stream", recipe.LENGTH).fixed()


def _writing(writer: Writer, size: int, chars: int | Sequence[int]) -> Callable[[], object]:
    """What writes other texts each time: by XLA some are written twice, and the same ones always."""
    seeds = itertools.count(step=size)

    def write() -> object:
        first = next(seeds)
        return writer(_NOTHING, chars, temperatures=[_TEMPERATURE] * size, seeds=range(first, first + size))

    return write


def _waited(way: Callable[[], object]) -> Callable[[], object]:
    """What a way gives, when it is there."""
    return lambda: np.asarray(way())


def measure_lengths(config: NetworkConfig, vocabulary_size: int, size: int, *, chars: int, turns: int) -> Comparison:
    """Lets a new network write texts of different lengths at once, `chars` the longest, as they come together on a
    server."""
    decoder = _untrained(config, vocabulary_size)
    lengths = [round(length) for length in np.linspace(chars / 20, chars, size)]
    amount, mean = sum(lengths), round(sum(lengths) / size)
    writer, bare = Writer(decoder), tf.function(_bare_loop, autograph=False)
    ways: list[tuple[str, Kind, Callable[[], object], int]] = [
        ("charflow", OURS, _writing(writer, size, lengths), amount),
        ("a bare loop, all to the longest", PEER, partial(bare, decoder, size, chars), amount),
        ("texts of the same length", LIMIT, _writing(writer, size, mean), size * mean),
    ]
    return Comparison(
        what=f"writing {size:,} texts of different lengths",
        unit="characters/s",
        about="The lengths go from a twentieth of the longest to it; what is written beyond a text's end does not "
        "count. Texts that are done make room for the others; the limit is as many characters without any of that.",
        ways=by_turns(
            [Candidate(name=name, kind=kind, work=_waited(way), amount=each) for name, kind, way, each in ways], turns
        ),
    )


def measure_recipe(vocabulary_size: int, *, chars: int, turns: int, xla: bool) -> Comparison:
    """Lets the recipe's own network write one text, by both of charflow's contexts and by the recipe's loop."""
    network = Network(preset("tutorial").network, vocabulary_size, targets="next", seed=0)
    alphabet = [chr(ord("!") + k) for k in range(vocabulary_size)]
    model, begun = recipe.build_model(len(alphabet)), alphabet[0] * recipe.LENGTH

    def by(context: ContextKind, *, compiled: bool = False) -> Candidate:
        writer = Writer(make_decoder(network, context, recipe.LENGTH, never=()).fixed(), xla=compiled)
        name = f"charflow, {context}{', XLA' if compiled else ''}"
        return Candidate(name=name, kind=OURS, work=_writing(writer, 1, chars), amount=chars)

    return Comparison(
        what="writing with the recipe's network",
        unit="characters/s",
        about="LSTM of 128 units, one text. The recipe calls `predict` on the last 40 characters for each one; "
        "charflow's context `window` sees those 40, too, and `stream` carries the state along.",
        ways=by_turns(
            [
                by("stream"),
                *([by("stream", compiled=True)] if xla else []),
                by("window"),
                Candidate(
                    name="recipe",
                    kind=PEER,
                    work=lambda: recipe.generate(model, alphabet, begun, _RECIPE_CHARS, 0.5),
                    amount=_RECIPE_CHARS,
                ),
            ],
            turns,
        ),
    )


def _bare_loop(decoder: Decoder, batch_size: int, chars: int) -> tf.Tensor:
    """Writes ids, int32 [B, chars], as `Writer` does, one step a turn and with nothing known of them but the ids."""
    stepper = decoder.stepper()
    numbers = uniforms(tf.range(batch_size, dtype=tf.int64), tf.zeros([batch_size], tf.int64), tf.constant(chars))

    def step(t, state, written):  # type: ignore[no-untyped-def]
        ids = draw(tf.nn.softmax(stepper.logits(state) / _TEMPERATURE), numbers[t])
        return t + 1, stepper.advance(state, ids), written.write(t, ids)

    start = (0, decoder.context.zero_state(batch_size), tf.TensorArray(tf.int32, chars, element_shape=[batch_size]))
    return tf.transpose(tf.while_loop(lambda t, *_: t < chars, step, start)[2].stack())


def _products(matrices: list[tf.Tensor], dense: tf.Tensor, batch_size: int, chars: int) -> tf.Tensor:
    """Does the products of so many steps, each on what the one before gave: with [U, U] each, and [U, V]."""

    def step(t, h, scores):  # type: ignore[no-untyped-def]
        return t + 1, tf.add_n([h @ each for each in matrices]), scores + h @ dense

    start = (0, tf.ones([batch_size, dense.shape[0]]), tf.zeros([batch_size, dense.shape[1]]))
    return tf.while_loop(lambda t, *_: t < chars, step, start)[2]
