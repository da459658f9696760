"""A decoding context with a memory of counts beside it: the state has the memory's node, too.

`make_decoder` makes it; whatever reads, writes, scores or packs a state need not know. B is the batch, V the vocabulary
size.
"""

import copy

import tensorflow as tf

from charflow.model.decoding.contexts import Context
from charflow.model.memory.counting import ROOT
from charflow.model.memory.memory import Memory, Tables
from charflow.model.network.cells import State


class Remembering(Context):
    """Reads with another context, and walks through the memory's automaton; the last part of a state is the node.

    Args:
        context: of the network.
        memory: of its training text; fewer than 2**24 nodes, which is as far as float32 counts.
    """

    _tables: Tables  # of the copy that `prepared` makes

    def __init__(self, context: Context, memory: Memory) -> None:
        self._context, self._memory = context, memory

    @property
    def weights(self) -> list[tf.Variable]:
        return [*self._context.weights, *self._memory.weights]

    def prepared(self) -> "Remembering":
        ready = copy.copy(self)
        ready._context, ready._tables = self._context.prepared(), self._memory.tables()
        return ready

    def fixed(self) -> "Remembering":
        return Remembering(self._context.fixed(), self._memory)

    @property
    def reach(self) -> int | None:
        reach = self._context.reach
        return None if reach is None else max(reach, self._memory.reach)

    @property
    def state_size(self) -> int:
        return self._context.state_size + 1

    def zero_state(self, batch: tf.Tensor) -> State:
        return (*self._context.zero_state(batch), tf.fill([batch], ROOT))

    def advance(self, state: State, ids: tf.Tensor) -> State:
        *read, node = state
        return (*self._context.advance(tuple(read), ids), self._tables.advance(node, ids))

    def output(self, state: State) -> tf.Tensor:
        return self._context.output(state[:-1])

    def joined(self, logits: tf.Tensor, state: State) -> tf.Tensor:
        return self._tables.joined(logits, state[-1])

    def unpack(self, packed: tf.Tensor) -> State:
        node = tf.clip_by_value(tf.cast(packed[:, -1], tf.int32), ROOT, self._memory.n_nodes - 1)
        return (*self._context.unpack(packed[:, :-1]), node)
