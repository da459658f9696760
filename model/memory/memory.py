"""What a model remembers of its training text beside its network: an automaton of counts, and how far it is trusted.

`run.run_memory` counts and keeps it, `decoding.remembering` steps through it: 3 bytes a context and column. B is the
batch, C the number of nodes, V the vocabulary size, M the number of columns of the tables (see `automaton`).
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from charflow.model.memory.automaton import Automaton
from charflow.model.memory.gate import NETWORK_ALONE, fit_gate

# Of the logarithms in a row, so that one takes a byte: the error is a fifth of a percent of the row's range at most.
_STEPS, _LEAST_STEP = 255, 1e-6


class Tables(NamedTuple):
    """The memory as tensors of a graph: what a step gathers from.

    Attributes:
        columns: of each character, int32 [V].
        ranks: how far a column's logarithm is below the likeliest one's, in steps of its row, uint8 [C, M].
        trust: of each node a, and -b times a step of its row, float32 [C, 2].
        following: the node after one of a column, as its place among those that the column leads to, uint16, or int32
            where that is too small, [C * M].
        first: of each column's nodes in `nodes`, int32 [M].
        nodes: which each column leads to, those of one column side by side, int32.
    """

    columns: tf.Tensor
    ranks: tf.Tensor
    trust: tf.Tensor
    following: tf.Tensor
    first: tf.Tensor
    nodes: tf.Tensor

    def advance(self, node: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """The nodes after these ids, int32 [B]."""
        columns = tf.gather(self.columns, ids) if self._are_fewer else ids
        place = tf.cast(tf.gather(self.following, node * self.first.shape[0] + columns), tf.int32)
        return tf.gather(self.nodes, tf.gather(self.first, columns) + place)

    def joined(self, logits: tf.Tensor, node: tf.Tensor) -> tf.Tensor:
        """Logits of network and counts together, [B, V]."""
        trust, ranks = tf.gather(self.trust, node), tf.cast(tf.gather(self.ranks, node), tf.float32)
        counts = ranks * trust[:, 1:]  # [B, M]
        return logits * trust[:, :1] + (tf.gather(counts, self.columns, axis=1) if self._are_fewer else counts)

    @property
    def _are_fewer(self) -> bool:
        """Whether some characters have a column together."""
        return self.first.shape[0] < self.columns.shape[0]


def pack_following(following: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Writes the node after each column in two bytes: `following`, `first` and `nodes` of `Tables`.

    A column leads to the contexts that end with its character, a small part of all.

    >>> pack_following(np.array([[0, 900], [0, 900], [500, 900]]))[0].tolist()
    [0, 0, 0, 0, 1, 0]
    """
    nodes, places = zip(*(np.unique(column, return_inverse=True) for column in following.T), strict=True)
    lengths = np.array([len(each) for each in nodes])
    packed = np.stack(places, axis=1).reshape(-1)
    first = (np.cumsum(lengths) - lengths).astype(np.int32)
    small = lengths.max() <= np.iinfo(np.uint16).max + 1
    return packed.astype(np.uint16 if small else np.int32), first, np.concatenate(nodes).astype(np.int32)


class Memory:
    """An automaton and its gate, as variables; until the gate is fitted the network is trusted alone.

    Args:
        automaton: of the training text.

    Attributes:
        automaton: likewise.
        gate: a and b of each bucket, float32 [buckets, 2]; checkpoints keep it with the weights that it was fitted to.
    """

    def __init__(self, automaton: Automaton) -> None:
        self.automaton = automaton
        below = automaton.log_probs.max(axis=1, keepdims=True) - automaton.log_probs  # what rows share changes nothing
        self._steps = np.maximum(below.max(axis=1) / _STEPS, _LEAST_STEP)
        alone = np.tile(NETWORK_ALONE, [automaton.n_buckets, 1])
        self.gate = tf.Variable(alone, trainable=False, dtype=tf.float32, name="gate")
        following, first, nodes = pack_following(automaton.following)
        packed = {
            "columns": automaton.columns,
            "ranks": np.round(below / self._steps[:, np.newaxis]).astype(np.uint8),
            "trust": np.zeros([len(below), len(NETWORK_ALONE)], np.float32),
            "following": following,
            "first": first,
            "nodes": nodes,
        }
        self._tables = {name: tf.Variable(each, trainable=False, name=name) for name, each in packed.items()}
        self.weigh()

    @property
    def weights(self) -> list[tf.Variable]:
        """What decoding reads."""
        return list(self._tables.values())

    @property
    def reach(self) -> int:
        """How many characters before the next one matter."""
        return self.automaton.order

    @property
    def n_nodes(self) -> int:
        """C."""
        return len(self.automaton.log_probs)

    @property
    def n_bytes(self) -> int:
        """Of the tables."""
        return sum(each.dtype.size * each.shape.num_elements() for each in self.weights)

    def tables(self) -> Tables:
        """The tables, read once for the graph that is being traced."""
        return Tables(*map(tf.convert_to_tensor, self.weights))

    def fit(self, logits: np.ndarray, ids: np.ndarray, judged: np.ndarray) -> None:
        """Finds how far the counts are trusted beside a network, on text that neither has learned from.

        Args:
            logits: of the network for each id, float32 [R, T, V].
            ids: the text in R rows, int [R, T], each read from its beginning.
            judged: which of them to fit to, bool [R, T].
        """
        nodes = self.automaton.walk(ids)[judged]
        buckets = self.automaton.buckets[nodes]
        log_probs = self.automaton.log_probs_of(nodes)
        self.gate.assign(fit_gate(logits[judged], log_probs, ids[judged], buckets, self.automaton.n_buckets))
        self.weigh()

    def weigh(self) -> None:
        """Puts the gate into the tables: after it was restored."""
        trust, weight = self.gate.numpy()[self.automaton.buckets].T
        self._tables["trust"].assign(np.stack([trust, -weight * self._steps], axis=1))
