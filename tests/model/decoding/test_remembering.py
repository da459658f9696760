"""A memory beside either context: by hand at each place of a text, and the same in whatever pieces it is read."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.decoding.contexts import ContextKind
from charflow.model.decoding.decoder import Decoder, make_decoder
from charflow.model.memory.automaton import Automaton, build_automaton
from charflow.model.memory.counting import Kept, count_contexts
from charflow.model.memory.memory import Memory

V, LENGTH, ORDER = 5, 4, 2
TEXT = np.random.default_rng(2).integers(1, V, 20).astype(np.int32)
LEARNED = np.array([1, 2, 3, 4, 1, 2, 3, 1, 2, 1] * 9)
each_kind = pytest.mark.parametrize("kind", ["stream", "window"])


@pytest.fixture(scope="module")
def automaton() -> Automaton:
    return build_automaton(count_contexts(lambda: [(LEARNED, None)], V, Kept(ORDER, 100, 2)), V)


@pytest.fixture(scope="module")
def memory(automaton: Automaton) -> Memory:
    memory = Memory(automaton)
    gate = np.random.default_rng(5).uniform(0.2, 0.9, memory.gate.shape)
    memory.gate.assign(gate)
    memory.weigh()
    return memory


@pytest.fixture(scope="module")
def make(make_network: Callable, memory: Memory) -> Callable[..., Decoder]:
    return lambda kind, beside=memory: make_decoder(make_network("lstm", 2), kind, LENGTH, memory=beside)


def read(decoder: Decoder, ids: np.ndarray, state: tuple | None = None) -> tuple[tf.Tensor, ...]:
    state = decoder.context.zero_state(1) if state is None else state
    return decoder.read(state, tf.constant(ids[np.newaxis]), tf.constant([len(ids)]))


@each_kind
def test_logits_join_network_and_counts_by_the_gate(
    make: Callable, memory: Memory, automaton: Automaton, kind: ContextKind
) -> None:
    joined, alone = make(kind), make(kind, None)
    nodes = memory.walk(np.append(TEXT, 1)[np.newaxis])[0]
    assert len(set(automaton.buckets[nodes])) > 3
    for length in (0, 1, 3, len(TEXT)):
        node = nodes[length]
        a, b = memory.gate.numpy()[automaton.buckets[node]]
        network = tf.nn.log_softmax(alone.logits(read(alone, TEXT[:length]))).numpy()[0]
        counts = automaton.log_probs[node]
        expected = tf.nn.softmax(a * network + b * counts).numpy()
        found = tf.nn.softmax(joined.logits(read(joined, TEXT[:length]))).numpy()[0]
        half_a_step = np.ptp(counts) / 255 / 2
        np.testing.assert_allclose(found, expected, rtol=1e-4 + 2 * b * half_a_step, err_msg=f"after {length}")
        assert found[0] == 0.0  # [UNK] stays impossible


@each_kind
def test_the_node_does_not_depend_on_the_pieces_nor_on_packing(make: Callable, kind: ContextKind) -> None:
    decoder, state = make(kind), None
    for piece in (TEXT[:3], TEXT[3:3], TEXT[3:]):
        state = read(decoder, piece, state)
        packed = decoder.context.pack(state)
        assert packed.shape == [1, decoder.context.state_size]
        state = decoder.context.unpack(packed)
    whole = read(decoder, TEXT)
    assert [part.dtype for part in state] == [part.dtype for part in whole]
    assert int(state[-1][0]) == int(whole[-1][0]) > 0
    np.testing.assert_allclose(decoder.logits(state), decoder.logits(whole), atol=1e-5)


@each_kind
def test_before_any_character_the_state_is_zeros(make: Callable, kind: ContextKind) -> None:
    context = make(kind).context
    np.testing.assert_array_equal(context.pack(context.zero_state(3)), np.zeros([3, context.state_size]))


def test_a_node_that_is_none_becomes_one(make: Callable, memory: Memory) -> None:
    context = make("stream").context
    packed = np.zeros([3, context.state_size], np.float32)
    packed[:, -1] = -7.0, 1.5, 2.0**24
    assert context.unpack(packed)[-1].numpy().tolist() == [0, 1, memory.n_nodes - 1]


@pytest.mark.parametrize(("kind", "length", "reach"), [("stream", 4, None), ("window", 4, 4), ("window", 1, ORDER)])
def test_reach_is_that_of_whichever_sees_farther(
    make_network: Callable, memory: Memory, kind: ContextKind, length: int, reach: int | None
) -> None:
    assert make_decoder(make_network(), kind, length, memory=memory).context.reach == reach


@each_kind
def test_predict_gives_the_logits_before_each_character(make: Callable, kind: ContextKind) -> None:
    decoder = make(kind)
    found = decoder.predict(decoder.context.zero_state(1), TEXT[np.newaxis])
    assert found.shape == [1, len(TEXT), V]
    for t in (0, 1, len(TEXT) - 1):
        expected = decoder.logits(read(decoder, TEXT[:t]))
        np.testing.assert_allclose(found[:, t, 1:], expected[:, 1:], rtol=1e-4)


def test_a_memory_that_was_not_fitted_changes_nothing(make: Callable, automaton: Automaton) -> None:
    fresh = Memory(automaton)
    found, alone = (each.logits(read(each, TEXT)).numpy() for each in (make("stream", fresh), make("stream", None)))
    np.testing.assert_array_equal(found, alone)
