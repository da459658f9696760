"""Makes of counts the tables of an automaton, which a character moves from one context to the next.

A node is the longest known context at some place of a text. `remembering` steps through the tables with a few gathers a
character; `gate` weighs what they say. C is the number of nodes, V the vocabulary size.
"""

from typing import NamedTuple

import numpy as np

from charflow.model.memory.counting import ROOT, Counts

_MOST_BITS = 15  # counts from 2 to this power on are alike


class Automaton(NamedTuple):
    """Tables, with a row for each node.

    Attributes:
        log_probs: of the next character, float32 [C, V].
        following: the node after each character, int32 [C, V].
        buckets: nodes of one order that occur about as often have one number, int32 [C], below `n_buckets`.
        n_buckets: how many there are.
        order: characters of the longest context.
    """

    log_probs: np.ndarray
    following: np.ndarray
    buckets: np.ndarray
    n_buckets: int
    order: int

    def walk(self, ids: np.ndarray) -> np.ndarray:
        """The node before each id of rows [R, T] that begin anew, int32 [R, T]."""
        nodes = np.full([ids.shape[1] + 1, len(ids)], ROOT, np.int32)
        for t, column in enumerate(ids.T):
            nodes[t + 1] = self.following[nodes[t], column]
        return nodes[:-1].T


def build_automaton(counts: Counts, vocabulary_size: int) -> Automaton:
    """Interpolates each context with the shorter ones that end it, and says where each character leads.

    Args:
        counts: of a text.
        vocabulary_size: V.
    """
    V, n_nodes = vocabulary_size, len(counts.keys)
    contexts, ids = np.divmod(counts.pairs, V)
    left = 1.0 - np.bincount(contexts, counts.shares, minlength=n_nodes)  # for shorter contexts to say
    parents, newest = np.divmod(counts.keys, V)
    probabilities = np.full([n_nodes, V], 1 / V, np.float32)
    following = np.full([n_nodes, V], ROOT, np.int32)
    orders = np.searchsorted(counts.ends, np.arange(n_nodes), "right")
    for order in range(len(counts.ends)):
        nodes = np.flatnonzero(orders == order)
        shorter = counts.suffixes[nodes]  # of the empty context itself, whose row says that all are alike
        probabilities[nodes] = probabilities[shorter] * left[nodes, np.newaxis]
        following[nodes] = following[shorter]
        own = orders[contexts] == order
        probabilities[contexts[own], ids[own]] += counts.shares[own]
        longer = np.flatnonzero(orders == order + 1)
        following[parents[longer], newest[longer]] = longer
    bits = np.log2(np.maximum(counts.totals, 1)).astype(np.int32).clip(max=_MOST_BITS)
    return Automaton(
        np.log(probabilities),
        following,
        (orders * (_MOST_BITS + 1) + bits).astype(np.int32),
        len(counts.ends) * (_MOST_BITS + 1),
        len(counts.ends) - 1,
    )
