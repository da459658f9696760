"""The tables of a memory: as small as they are, they say what the automaton says."""

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.memory.automaton import build_automaton
from charflow.model.memory.counting import Kept, count_contexts
from charflow.model.memory.memory import Memory, pack_following

V = 40
TEXT = (np.random.default_rng(4).zipf(1.4, 6000) % (V - 1) + 1).astype(np.int64)


@pytest.fixture(scope="module", params=[V, 25], ids=["a column each", "rare ones together"])
def memory(request: pytest.FixtureRequest) -> Memory:
    return Memory(build_automaton(count_contexts(lambda: [(TEXT, None)], V, Kept(4, 900, 2)), V, request.param))


def test_a_context_and_column_take_three_bytes(memory: Memory) -> None:
    assert memory.n_nodes > 500
    assert 3 < memory.n_bytes / memory.automaton.log_probs.size < 3.7


def test_every_step_leads_where_the_automaton_leads(memory: Memory) -> None:
    nodes, ids = (each.reshape(-1) for each in np.mgrid[: memory.n_nodes, :V].astype(np.int32))
    found = memory.tables().advance(tf.constant(nodes), tf.constant(ids))
    np.testing.assert_array_equal(found, memory.automaton.following[:, memory.automaton.columns].reshape(-1))


@pytest.mark.parametrize(("most", "dtype"), [(1 << 16, np.uint16), ((1 << 16) + 1, np.int32)])
def test_following_is_wider_where_a_character_leads_to_more(most: int, dtype: type) -> None:
    following = np.stack([np.arange(most), np.full(most, 7)], axis=1).astype(np.int32)
    packed, first, nodes = pack_following(following)
    assert packed.dtype == dtype
    np.testing.assert_array_equal(nodes[first + packed.reshape(-1, 2)], following)


def test_bytes_cost_no_bits(memory: Memory) -> None:
    memory.gate.assign(np.tile(np.float32([1.0, 1.0]), [memory.automaton.n_buckets, 1]))
    memory.weigh()
    nodes = memory.automaton.walk(TEXT[np.newaxis])[0]
    exact = memory.automaton.log_probs_of(nodes)
    found = tf.nn.log_softmax(memory.tables().joined(tf.zeros([len(TEXT), V]), tf.constant(nodes))).numpy()
    losses = [-np.take_along_axis(each, TEXT[:, np.newaxis], axis=1).mean() / np.log(2) for each in (exact, found)]
    assert losses[1] == pytest.approx(losses[0], abs=5e-4)
    assert np.abs(np.exp(found) - np.exp(exact)).max() < 0.01
