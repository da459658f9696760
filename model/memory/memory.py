"""What a model remembers of its training text beside its network: an automaton of counts, and how far it is trusted.

`run.run_memory` counts and keeps it, `decoding.remembering` steps through it. B is the batch, C the number of nodes, V
the vocabulary size.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from charflow.model.memory.automaton import Automaton
from charflow.model.memory.gate import NETWORK_ALONE, fit_gate


class Tables(NamedTuple):
    """The memory as tensors of a graph: what a step gathers from.

    Attributes:
        scores: what is added to the network's logits, float32 [C, V]: b times the log-probabilities of the counts.
        trust: what the network's logits are multiplied by, float32 [C]: a.
        following: the node after each character, int32 [C * V].
        vocabulary_size: V.
    """

    scores: tf.Tensor
    trust: tf.Tensor
    following: tf.Tensor
    vocabulary_size: int

    def advance(self, node: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """The nodes after these ids, int32 [B]."""
        return tf.gather(self.following, node * self.vocabulary_size + ids)

    def joined(self, logits: tf.Tensor, node: tf.Tensor) -> tf.Tensor:
        """Logits of network and counts together, [B, V]."""
        return logits * tf.gather(self.trust, node)[:, tf.newaxis] + tf.gather(self.scores, node)


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
        n_nodes, self._vocabulary_size = automaton.log_probs.shape
        alone = np.tile(NETWORK_ALONE, [automaton.n_buckets, 1])
        self.gate = tf.Variable(alone, trainable=False, dtype=tf.float32, name="gate")
        self._scores = tf.Variable(tf.zeros_like(automaton.log_probs), trainable=False, name="scores")
        self._trust = tf.Variable(tf.ones([n_nodes]), trainable=False, name="trust")
        self._following = tf.Variable(automaton.following.reshape(-1), trainable=False, name="following")

    @property
    def weights(self) -> list[tf.Variable]:
        """What decoding reads."""
        return [self._scores, self._trust, self._following]

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
        scores, trust, following = map(tf.convert_to_tensor, self.weights)
        return Tables(scores, trust, following, self._vocabulary_size)

    def fit(self, logits: np.ndarray, ids: np.ndarray, judged: np.ndarray) -> None:
        """Finds how far the counts are trusted beside a network, on text that neither has learned from.

        Args:
            logits: of the network for each id, float32 [R, T, V].
            ids: the text in R rows, int [R, T], each read from its beginning.
            judged: which of them to fit to, bool [R, T].
        """
        nodes = self.automaton.walk(ids)[judged]
        buckets = self.automaton.buckets[nodes]
        log_probs = self.automaton.log_probs[nodes]
        self.gate.assign(fit_gate(logits[judged], log_probs, ids[judged], buckets, self.automaton.n_buckets))
        self.weigh()

    def weigh(self) -> None:
        """Puts the gate into the tables: after it was restored."""
        trust, weight = self.gate.numpy()[self.automaton.buckets].T
        self._trust.assign(trust)
        self._scores.assign(weight[:, np.newaxis] * self.automaton.log_probs)
