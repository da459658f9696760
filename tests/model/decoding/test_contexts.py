"""Both contexts against the Keras model: fast reading gives what feeding it the text gives."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.decoding.contexts import ContextKind
from charflow.model.decoding.decoder import Decoder, make_decoder
from charflow.model.network.network import Network

LENGTH = 4  # of the window
TEXT = np.random.default_rng(2).integers(0, 5, 3 * LENGTH + 3).astype(np.int32)  # [UNK] among them
each_network = pytest.mark.parametrize(
    ("cell", "layers"), [("lstm", 1), ("lstm", 2), ("gru", 2)], ids=["lstm", "2 lstm", "2 gru"]
)
each_kind = pytest.mark.parametrize("kind", ["stream", "window"])


def keras_logits(network: Network, kind: ContextKind, text: np.ndarray) -> np.ndarray:
    """The readable reference: the Keras model on the whole text, or on its last LENGTH characters."""
    seen = text if kind == "stream" else text[-LENGTH:]
    return network.model(seen[np.newaxis]).numpy()[0]


def read(decoder: Decoder, texts: list[np.ndarray]) -> tuple[tf.Tensor, ...]:
    ids = tf.ragged.constant(texts, inner_shape=(), dtype=tf.int32)
    state = decoder.context.zero_state(len(texts))
    return decoder.read(state, ids.to_tensor(), tf.cast(ids.row_lengths(), tf.int32))


def assert_same_state(found: tuple[tf.Tensor, ...], expected: tuple[tf.Tensor, ...], **tolerance: float) -> None:
    assert [part.dtype for part in found] == [part.dtype for part in expected]
    for part, expected_part in zip(found, expected, strict=True):
        np.testing.assert_allclose(part, expected_part, **tolerance)


@pytest.mark.slow
@each_kind
@each_network
def test_read_of_any_length_equals_the_keras_model(
    make_network: Callable, cell: str, layers: int, kind: ContextKind
) -> None:
    network = make_network(cell, layers)
    decoder = make_decoder(network, kind, LENGTH)
    lengths = range(1, len(TEXT) + 1)  # shorter than the window, as long, longer, past 2 and 3 windows
    found = decoder.logits(read(decoder, [TEXT[:length] for length in lengths])).numpy()
    for length in lengths:
        expected = keras_logits(network, kind, TEXT[:length])
        np.testing.assert_allclose(found[length - 1, 1:], expected[1:], atol=1e-5, err_msg=f"{length} characters")


@each_kind
@each_network
def test_read_in_pieces_equals_read_at_once(make_network: Callable, cell: str, layers: int, kind: ContextKind) -> None:
    decoder = make_decoder(make_network(cell, layers), kind, LENGTH)
    state = decoder.context.zero_state(1)
    for piece in (TEXT[:3], TEXT[3:3], TEXT[3:4], TEXT[4:]):
        state = decoder.read(state, tf.constant(piece[np.newaxis]), tf.constant([len(piece)]))
    assert_same_state(state, read(decoder, [TEXT]), atol=1e-6)


@each_kind
def test_read_leaves_a_row_of_no_characters_as_it_is(make_network: Callable, kind: ContextKind) -> None:
    decoder = make_decoder(make_network("lstm", 2), kind, LENGTH)
    before = read(decoder, [TEXT[:6], TEXT[:3]])
    after = decoder.read(before, tf.constant([[1, 2], [3, 4]]), tf.constant([2, 0]))
    assert_same_state(tuple(part[1:] for part in after), tuple(part[1:] for part in before), rtol=0)
    assert not np.array_equal(after[0][0], before[0][0])


@each_kind
def test_read_ignores_what_stands_after_a_row_s_length(make_network: Callable, kind: ContextKind) -> None:
    decoder = make_decoder(make_network("gru"), kind, LENGTH)
    states = [
        decoder.read(decoder.context.zero_state(2), tf.constant([[1, 2, 3, 4], [3, *padding]]), tf.constant([4, 1]))
        for padding in ([0, 0, 0], [4, 2, 1])
    ]
    assert_same_state(*states, rtol=0)


@each_kind
@each_network
@pytest.mark.parametrize("n_read", [0, 3, LENGTH, 2 * LENGTH, 2 * LENGTH + 1], ids=lambda n: f"{n} read")
def test_unpack_undoes_pack(make_network: Callable, cell: str, layers: int, kind: ContextKind, n_read: int) -> None:
    context = make_decoder(make_network(cell, layers), kind, LENGTH).context
    decoder = make_decoder(make_network(cell, layers), kind, LENGTH)
    state = decoder.read(context.zero_state(2), tf.constant([TEXT, TEXT[::-1]]), tf.constant([n_read, 1]))
    packed = context.pack(state)
    assert packed.dtype == tf.float32
    assert packed.shape == [2, context.state_size]
    assert_same_state(context.unpack(packed), state, rtol=0)


@each_kind
@each_network
def test_pack_of_the_state_before_any_character_is_zeros(
    make_network: Callable, cell: str, layers: int, kind: ContextKind
) -> None:
    context = make_decoder(make_network(cell, layers), kind, LENGTH).context
    np.testing.assert_array_equal(context.pack(context.zero_state(3)), np.zeros([3, context.state_size]))


@pytest.mark.parametrize(
    ("cell", "layers", "kind", "expected"),
    [
        ("lstm", 1, "stream", 2 * 6),
        ("lstm", 2, "stream", 4 * 6),
        ("gru", 2, "stream", 2 * 6),
        ("lstm", 2, "window", 4 * 6 * LENGTH + 1),
        ("gru", 1, "window", 6 * LENGTH + 1),
    ],
    ids=["lstm stream", "2 lstm stream", "2 gru stream", "2 lstm window", "gru window"],
)
def test_state_size_counts_every_float(
    make_network: Callable, cell: str, layers: int, kind: ContextKind, expected: int
) -> None:
    assert make_decoder(make_network(cell, layers), kind, LENGTH).context.state_size == expected


def test_window_of_one_character_sees_only_the_last(make_network: Callable) -> None:
    network = make_network("lstm")
    decoder = make_decoder(network, "window", 1)
    found = decoder.logits(read(decoder, [np.array([1, 2, 3]), np.array([4, 4, 0, 2, 3]), np.array([3])])).numpy()
    expected = network.model(np.array([[3]])).numpy()[0]
    np.testing.assert_allclose(found[:, 1:], np.tile(expected[1:], [3, 1]), atol=1e-6)


@pytest.mark.slow
def test_window_counts_up_to_its_length_and_from_there_modulo_it(make_network: Callable) -> None:
    decoder = make_decoder(make_network("gru"), "window", 3)
    *_, count = decoder.read(decoder.context.zero_state(1), tf.constant([[1, 2] * 150]), tf.constant([300]))
    assert 3 <= int(count[0]) < 6
