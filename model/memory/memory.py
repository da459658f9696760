"""What a model remembers of its training text beside its network: an automaton of counts, and how far it is trusted.

`run.run_memory` counts and keeps it, `decoding.remembering` steps through it. A context takes a byte a column, and two
more where longer ones go on from it. B is the batch, C the number of nodes, I of those that longer ones go on from, V
the vocabulary size, M the number of columns of the tables (see `automaton`).
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from charflow.model.memory.automaton import Automaton
from charflow.model.memory.counting import ROOT
from charflow.model.memory.gate import NETWORK_ALONE, fit_gate

# Of the logarithms in a row, so that one takes a byte: the error is a fifth of a percent of the row's range at most.
_STEPS, _LEAST_STEP = 255, 1e-6
_AT_ONCE = 1 << 14  # rows, so that what is made of them stays small


class Tables(NamedTuple):
    """The memory as tensors of a graph: what a step gathers from.

    Attributes:
        columns: of each character, int32 [V].
        ranks: how far a column's logarithm is below the likeliest one's, in steps of its row, uint8 [C, M].
        trust: of each node a, and -b times a step of its row, float32 [C, 2].
        rows: where the row of each node begins in `following`, int32 [C]: that of the longest end that goes on.
        following: the node after one of a column, as its place among those that the column leads to, int16 and counted
            from the least such number on, or int32 where that is too small, [I * M].
        first: of each column's nodes in `nodes`, for such places, int32 [M].
        nodes: which each column leads to, those of one column side by side, int32.
    """

    columns: tf.Tensor
    ranks: tf.Tensor
    trust: tf.Tensor
    rows: tf.Tensor
    following: tf.Tensor
    first: tf.Tensor
    nodes: tf.Tensor

    def advance(self, node: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """The nodes after these ids, int32 [B]."""
        columns = tf.gather(self.columns, ids) if self._are_fewer else ids
        place = tf.cast(tf.gather(self.following, tf.gather(self.rows, node) + columns), tf.int32)
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


def pack_following(following: np.ndarray, newest: np.ndarray, n_columns: int) -> tuple[np.ndarray, ...]:
    """Writes the node after each column in two bytes: `following`, `first` and `nodes` of `Tables`.

    A column leads to contexts that end with its character, a small part of all, or to the empty one.

    Args:
        following: int32 [I, M].
        newest: the column of the character that each node ends with, [C]; of node 0, the empty one, it is not read.
        n_columns: M.

    >>> pack_following(np.array([[0, 2], [1, 3]]), np.array([0, 0, 1, 1]), 2)[0].tolist()
    [-32768, -32767, -32767, -32766]
    """
    ends_with = np.argsort(newest[1:], kind="stable") + 1
    lengths = np.bincount(newest[1:], minlength=n_columns)
    first = np.cumsum(lengths) - lengths
    places = np.zeros(len(newest), np.int32)  # among those of one column, after the empty context
    places[ends_with] = np.arange(1, len(newest)) - np.repeat(first, lengths)
    small = np.iinfo(np.int16)  # LiteRT gathers no uint16
    least, kind = (small.min, np.int16) if lengths.max() <= small.max - small.min else (0, np.int32)
    packed = (places + least).astype(kind)[following].reshape(-1)
    first_places = (first + np.arange(n_columns) - least).astype(np.int32)
    return packed, first_places, np.insert(ends_with, first, 0).astype(np.int32)


class Memory:
    """An automaton and its gate, as variables; until the gate is fitted the network is trusted alone.

    Args:
        automaton: of the training text.

    Attributes:
        gate: a and b of each bucket, float32 [buckets, 2]; checkpoints keep it with the weights that it was fitted to.
        reach: how many characters before the next one matter.
        n_nodes: C.
    """

    def __init__(self, automaton: Automaton) -> None:
        n_nodes, n_columns = automaton.log_probs.shape
        self.reach, self.n_nodes = automaton.order, n_nodes
        self._buckets = automaton.buckets
        self._steps = np.maximum(np.ptp(automaton.log_probs, axis=1) / _STEPS, _LEAST_STEP)
        alone = np.tile(NETWORK_ALONE, [automaton.n_buckets, 1])
        self.gate = tf.Variable(alone, trainable=False, dtype=tf.float32, name="gate")
        following, first, nodes = pack_following(automaton.following, automaton.newest, n_columns)
        packed = {
            "columns": automaton.columns,
            "ranks": _ranks(automaton.log_probs, self._steps),
            "trust": np.zeros([n_nodes, len(NETWORK_ALONE)], np.float32),
            "rows": automaton.rows * np.int32(n_columns),
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
        nodes = self.walk(ids)[judged]
        ranks = self._tables["ranks"].numpy()[nodes]
        log_probs = (ranks * -self._steps[nodes, np.newaxis])[:, self._tables["columns"].numpy()]
        self.gate.assign(fit_gate(logits[judged], log_probs, ids[judged], self._buckets[nodes], self.gate.shape[0]))
        self.weigh()

    def walk(self, ids: np.ndarray) -> np.ndarray:
        """The node before each id of rows [R, T] that begin anew, int32 [R, T]."""
        tables, nodes = self.tables(), [tf.fill([len(ids)], ROOT)]
        for column in tf.unstack(tf.cast(ids[:, :-1], tf.int32), axis=1):
            nodes.append(tables.advance(nodes[-1], column))
        return tf.stack(nodes, axis=1).numpy()

    def weigh(self) -> None:
        """Puts the gate into the tables: after it was restored."""
        trust, weight = self.gate.numpy()[self._buckets].T
        self._tables["trust"].assign(np.stack([trust, -weight * self._steps], axis=1))


def _ranks(log_probs: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """How far each logarithm is below its row's likeliest, which changes nothing, in steps of the row, uint8 [C, M]."""
    ranks = np.empty(log_probs.shape, np.uint8)
    for start in range(0, len(ranks), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        below = log_probs[part].max(axis=1, keepdims=True) - log_probs[part]
        ranks[part] = np.round(below / steps[part, np.newaxis])
    return ranks
