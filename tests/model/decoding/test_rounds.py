"""Rows that have ended make room: what a round is given, and that the texts are those of rows written alone."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.decoding import rounds
from charflow.model.decoding.decoder import Decoder, make_decoder
from charflow.model.decoding.rounds import in_rounds
from charflow.model.decoding.settings import LONGEST_STOP
from charflow.model.decoding.writing import SamplingOptions, Written
from charflow.model.network.cells import State
from tests.model.decoding.test_decoder import options_of

ROWS = 40


def where_all_begin(rows: int) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.zeros([rows, LONGEST_STOP], tf.int32), tf.zeros([rows], tf.int64)


def counting(seen: list[tuple[int, int]]) -> rounds.Piece:
    """Writes in each row the numbers of its characters, and notes how many rows it got, and from which one on."""

    def piece(state: State, tail: tf.Tensor, position: tf.Tensor, options: SamplingOptions, few: tf.Tensor) -> Written:
        seen.append((len(position), int(position[0])))
        most = options.max_chars.numpy()
        steps = next(steps for steps in range(max(most) + 1) if (most > steps).sum() <= int(few))
        length = np.minimum(most, steps)
        inside = np.arange(steps) < length[:, np.newaxis]
        ids = np.where(inside, np.arange(steps) + position.numpy()[:, np.newaxis] + 1, 0)
        return Written(
            ids=tf.constant(ids, tf.int32),
            length=tf.constant(length),
            log_prob=tf.constant(-length, tf.float32),
            stopped=tf.zeros([len(most)], tf.bool),
            state=(state[0] + length[:, np.newaxis],),
            tail=tail + length[:, np.newaxis],
            left=options.messages,
        )

    return piece


def test_each_round_has_the_rows_that_go_on() -> None:
    most, seen = np.random.default_rng(0).permutation(ROWS), []
    options = options_of(*({"max_chars": int(chars)} for chars in most))
    written = in_rounds(counting(seen), (tf.zeros([ROWS, 1]),), *where_all_begin(ROWS), options)
    assert seen == [(39, 0), (19, 20), (9, 30)]  # the last of less than twice the fewest rows: to its end
    expected = np.arange(1, ROWS) * (np.arange(1, ROWS) <= most[:, np.newaxis])
    np.testing.assert_array_equal(written.ids, expected)
    for found in (written.length, -written.log_prob, written.state[0][:, 0], written.tail[:, 0]):
        np.testing.assert_array_equal(found, most)


@pytest.mark.parametrize("rows", [0, 1, 2 * rounds._FEWEST - 1])
def test_few_rows_are_one_round(rows: int) -> None:
    seen: list[tuple[int, int]] = []
    options = options_of(*({"max_chars": 1 + row} for row in range(rows)))
    written = in_rounds(counting(seen), (tf.zeros([rows, 1]),), *where_all_begin(rows), options)
    assert seen == [(rows, 0)][: bool(rows)]
    assert written.length.numpy().tolist() == options.max_chars.numpy().tolist()


def test_rows_without_characters_are_in_no_round() -> None:
    seen: list[tuple[int, int]] = []
    written = in_rounds(counting(seen), (tf.zeros([2, 1]),), *where_all_begin(2), options_of(*[{"max_chars": 0}] * 2))
    assert seen == []
    assert written.ids.shape == [2, 0]


@pytest.fixture(scope="module")
def write(make_network: Callable) -> Callable[..., Written]:
    """Writes a row for each dictionary of options, in a graph that is traced once."""
    decoder: Decoder = make_decoder(make_network("lstm", 2), "stream", 4).fixed()

    def run(options: SamplingOptions, after_end: bool) -> Written:
        rows = tf.size(options.seed)
        return decoder.write(
            decoder.context.zero_state(rows),
            tf.zeros([rows, LONGEST_STOP], tf.int32),
            tf.zeros([rows], tf.int64),
            options,
            after_end=after_end,
        )

    traced = tf.function(run, autograph=False, reduce_retracing=True)
    return lambda rows, after_end=True: traced(options_of(*rows), after_end)


KINDS = {
    "lengths": {},
    "messages": {"end_id": 3},
    "several messages": {"end_id": 3, "messages": 3},
    "a stop string": {"stop": [2, 4]},
    "samplers": {"top_k": 3},
    "greedy": {"temperature": 0.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("after_end", [True, False], ids=["states of all", "states of those that go on"])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_in_rounds_are_as_alone(write: Callable, kind: str, after_end: bool) -> None:
    rows = [{"seed": row, "max_chars": 1 + 7 * row % ROWS, **KINDS[kind]} for row in range(ROWS)]
    together = write(rows, after_end)
    for row in range(0, ROWS, 3):
        alone = write(rows[row : row + 1])
        length = int(alone.length[0])
        assert together.length[row] == length
        np.testing.assert_array_equal(together.ids[row, :length], alone.ids[0, :length])
        assert not together.ids[row, length:].numpy().any()
        for name in ("stopped", "left", "tail"):
            np.testing.assert_array_equal(getattr(together, name)[row], getattr(alone, name)[0], name)
        np.testing.assert_allclose(together.log_prob[row], alone.log_prob[0], rtol=1e-4)
        for part, expected in zip(together.state, alone.state, strict=True) if after_end else ():
            np.testing.assert_allclose(part[row], expected[0], atol=1e-5)
