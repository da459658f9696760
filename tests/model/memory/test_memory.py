"""The tables of a memory: as small as they are, they say what the automaton says."""

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.memory.automaton import Automaton, build_automaton
from charflow.model.memory.counting import Kept, count_contexts
from charflow.model.memory.memory import Memory, pack_following

V = 40
TEXT = (np.random.default_rng(4).zipf(1.4, 6000) % (V - 1) + 1).astype(np.int64)


@pytest.fixture(scope="module", params=[V, 25], ids=["a column each", "rare ones together"])
def automaton(request: pytest.FixtureRequest) -> Automaton:
    return build_automaton(count_contexts(lambda: [(TEXT, None)], V, Kept(4, 900, 2)), V, request.param)


@pytest.fixture(scope="module")
def memory(automaton: Automaton) -> Memory:
    return Memory(automaton)


def test_a_column_takes_a_byte_and_two_more_where_contexts_go_on(memory: Memory, automaton: Automaton) -> None:
    assert memory.n_nodes > 500
    columns = automaton.log_probs.size + 2 * automaton.following.size
    assert columns < memory.n_bytes <= columns + 16 * memory.n_nodes + 12 * V


def test_every_step_leads_where_the_automaton_leads(memory: Memory, automaton: Automaton) -> None:
    nodes, ids = (each.reshape(-1) for each in np.mgrid[: memory.n_nodes, :V].astype(np.int32))
    found = memory.tables().advance(tf.constant(nodes), tf.constant(ids))
    np.testing.assert_array_equal(found, automaton.following[automaton.rows[nodes], automaton.columns[ids]])


def test_walking_gives_the_node_before_each_id(memory: Memory, automaton: Automaton) -> None:
    rows = TEXT[:300].reshape(3, 100)
    found = memory.walk(rows)
    assert (found.shape, found.dtype, found[:, 0].tolist()) == ((3, 100), np.int32, [0, 0, 0])
    before, after = found[:, :-1].reshape(-1), found[:, 1:].reshape(-1)
    columns = automaton.columns[rows[:, :-1].reshape(-1)]
    np.testing.assert_array_equal(automaton.following[automaton.rows[before], columns], after)


@pytest.mark.parametrize(("most", "dtype"), [((1 << 16) - 1, np.int16), (1 << 16, np.int32)])
def test_following_is_wider_where_a_character_leads_to_more(most: int, dtype: type) -> None:
    newest = np.append(np.zeros(most + 1, np.int32), 1)  # nodes 1 to `most` end with column 0's character, one with 1's
    following = np.stack([np.arange(most + 1), np.tile([0, most + 1], most)[: most + 1]], axis=1).astype(np.int32)
    packed, first, nodes = pack_following(following, newest, 2)
    assert packed.dtype == dtype
    np.testing.assert_array_equal(nodes[first + packed.reshape(-1, 2)], following)


@pytest.mark.slow
def test_bytes_cost_no_bits(memory: Memory, automaton: Automaton) -> None:
    memory.gate.assign(np.ones_like(memory.gate))
    memory.weigh()
    nodes = memory.walk(TEXT[np.newaxis])[0]
    exact = automaton.log_probs[nodes][:, automaton.columns]
    found = tf.nn.log_softmax(memory.tables().joined(tf.zeros([len(TEXT), V]), tf.constant(nodes))).numpy()
    losses = [-np.take_along_axis(each, TEXT[:, np.newaxis], axis=1).mean() / np.log(2) for each in (exact, found)]
    assert losses[1] == pytest.approx(losses[0], abs=5e-4)
    assert np.abs(np.exp(found) - np.exp(exact)).max() < 0.01
