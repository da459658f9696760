"""Writing by XLA against the graph's loops, which say what is right."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.decoding import compiled_loop
from charflow.model.decoding.compiled_loop import MOST_ROWS
from charflow.model.decoding.decoder import Decoder, make_decoder
from charflow.model.decoding.sampling_loops import warmth
from charflow.model.decoding.settings import LONGEST_STOP
from charflow.model.decoding.writer import Writer
from charflow.model.decoding.writing import Written
from tests.model.decoding.test_decoder import options_of

pytestmark = pytest.mark.slow
ROWS = {
    "plain": [{"seed": 3}],
    "different lengths": [{"seed": 3, "max_chars": 7}, {"seed": 4, "max_chars": 0}, {"seed": 5}],
    "a stop string": [{"stop": [4], "seed": 3}, {"seed": 3}],
    "messages": [{"end_id": 3, "messages": 2, "seed": 3}, {"end_id": 3, "seed": 2}],
    "greedy": [{"temperature": 0.0}, {"temperature": float("nan")}, {"temperature": 1e-4}],
    "no characters": [{"max_chars": 0}],
    "samplers": [{"top_k": 2, "seed": 3}],
    "more rows than are compiled": [{"seed": seed} for seed in range(MOST_ROWS + 1)],
}


@pytest.fixture(scope="module")
def decoders(make_network: Callable) -> dict[str, Decoder]:
    network = make_network("lstm", 2)
    return {kind: make_decoder(network, kind, 4).fixed() for kind in ("stream", "window")}


@pytest.fixture(scope="module")
def write(decoders: dict[str, Decoder]) -> Callable[..., Written]:
    """Writes one row for each dictionary of options, after two characters."""

    def run(kind, xla, options):
        decoder, rows = decoders[kind], tf.size(options.seed)
        state = decoder.read(decoder.context.zero_state(rows), tf.tile([[1, 3]], [rows, 1]), tf.fill([rows], 2))
        nothing = tf.zeros([rows, LONGEST_STOP], tf.int32), tf.zeros([rows], tf.int64)
        return decoder.write(state, *nothing, options, xla=xla)

    specs = tf.nest.map_structure(lambda one: tf.TensorSpec([None, *one.shape[1:]], one.dtype), options_of({}))
    traced = {  # once for any number of rows
        (kind, xla): tf.function(partial(run, kind, xla), input_signature=[specs], autograph=False)
        for kind in decoders
        for xla in (True, False)
    }
    return lambda kind, xla, rows: traced[kind, xla](options_of(*rows))


def assert_same(found: Written, expected: Written) -> None:
    for name in ("ids", "length", "stopped", "tail", "left"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    np.testing.assert_allclose(found.log_prob, expected.log_prob, rtol=1e-4)
    for part, wanted in zip(found.state, expected.state, strict=True):
        np.testing.assert_allclose(part, wanted, atol=1e-5)


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("kind", ["stream", "window"])
def test_xla_writes_what_the_graph_writes(write: Callable, kind: str, rows: list[dict]) -> None:
    found, expected = write(kind, True, rows), write(kind, False, rows)
    width = found.ids.shape[1]  # rows that all end early have fewer columns in the graph
    ids = tf.pad(expected.ids, [[0, 0], [0, width - expected.ids.shape[1]]])
    assert_same(found, expected._replace(ids=ids))


def test_xla_is_used_for_few_rows_without_samplers(decoders: dict[str, Decoder], monkeypatch) -> None:
    """Where every row is doubtful the graph writes it again: with another loop there, one sees which wrote."""
    unknown = lambda written, *_: written._replace(ids=written.ids * 0 - 1)  # noqa: E731
    monkeypatch.setattr(compiled_loop, "_replaced", unknown)
    monkeypatch.setattr(compiled_loop, "_SUMS_APART", 2.0)
    writer = Writer(decoders["stream"], xla=True)
    write = lambda rows: writer(np.zeros(0, np.int32), 5, temperatures=[1.0] * rows, seeds=range(rows))  # noqa: E731
    assert (write(MOST_ROWS) == -1).all()
    assert (write(MOST_ROWS + 1) >= 0).all()


def test_rows_in_doubt_are_written_by_the_graph(decoders: dict[str, Decoder], monkeypatch) -> None:
    """With a loop that writes something else, the rows in doubt are still right."""
    monkeypatch.setattr(compiled_loop, "weigh", lambda logits, sharpness: tf.exp(-logits))
    doubt = tf.constant([True, False, True])
    written = compiled_loop._write
    monkeypatch.setattr(compiled_loop, "_write", lambda *given: (written(*given)[0], doubt))
    given = (np.array([1, 3], np.int32), 30)
    settings = {"temperatures": [0.9, 0.3, 1.0], "seeds": range(3)}
    found = Writer(decoders["stream"], xla=True)(*given, **settings)
    expected = Writer(decoders["stream"])(*given, **settings)
    assert (found == expected).all(axis=1).tolist() == doubt.numpy().tolist()


@pytest.mark.parametrize(
    ("temperature", "logits", "number", "doubtful"),
    [
        (1.0, [0.0, 0.0], 0.5 + 2e-6, True),
        (1.0, [0.0, 0.0], 0.5 - 2e-6, True),
        (1.0, [0.0, 0.0], 0.5 + 1e-5, False),
        (0.1, [0.0, 0.0], 0.5 + 1e-5, True),  # colder, so that scores that differ matter more
        (1.0, [-1e30, 0.0], 0.5, False),
        (0.0, [0.0, 1e-5], 0.9, True),
        (0.0, [0.0, 1e-3], 0.5, False),
        (float("nan"), [0.0, 0.0], 0.1, True),
    ],
)
def test_a_row_is_in_doubt_near_a_boundary(
    temperature: float, logits: list[float], number: float, doubtful: bool
) -> None:
    choose = compiled_loop._choosing(options_of({"temperature": temperature}))
    _, (noted,) = choose(tf.constant([logits]), tf.constant([number]), (tf.constant([False]),))
    assert noted.numpy().tolist() == [doubtful]
    _, (still,) = choose(tf.constant([logits]), tf.constant([number]), (tf.constant([True]),))
    assert still.numpy().tolist() == [True]


def test_warmth_of_what_is_no_number_is_greedy() -> None:
    warm, sharpness = warmth(tf.constant([float("nan"), 0.5, 0.0]))
    assert warm.numpy().tolist() == [False, True, False]
    assert sharpness.numpy().ravel().tolist() == pytest.approx([1e38, 2.0, 1e38])


def test_texts_of_every_length_are_the_same(decoders: dict[str, Decoder]) -> None:
    """One that is longer than there is room for is compiled for another size."""
    given = {"temperatures": [0.8], "seeds": [4]}
    writer, graph = Writer(decoders["stream"], xla=True), Writer(decoders["stream"])
    nothing = np.zeros(0, np.int32)
    for chars in (3, 40, compiled_loop._LEAST_ROOM + 1):
        np.testing.assert_array_equal(writer(nothing, chars, **given), graph(nothing, chars, **given))
