"""Makes of counts the tables of an automaton, which a character moves from one context to the next.

A node is the longest known context at some place of a text. `remembering` steps through the tables with a few gathers a
character; `gate` weighs what they say. The most frequent characters have a column each in the tables, all others have
one together, which says that they are alike and ends what is known. C is the number of nodes, V the vocabulary size, M
the number of columns.
"""

from typing import NamedTuple

import numpy as np

from charflow.model.memory.counting import ROOT, Counts

MOST_COLUMNS = 64  # of the 231 characters of a large chat; one each won 0.004 to 0.009 bits, 48 lost 0.003 to 0.013
_MOST_BITS = 15  # counts from 2 to this power on are alike


class Automaton(NamedTuple):
    """Tables, with a row for each node.

    Attributes:
        columns: of each character, int32 [V].
        log_probs: of the next character, if it is one of a column, float32 [C, M].
        following: the node after one of a column, int32 [C, M].
        buckets: nodes of one order that occur about as often have one number, int32 [C], below `n_buckets`.
        n_buckets: how many there are.
        order: characters of the longest context.
    """

    columns: np.ndarray
    log_probs: np.ndarray
    following: np.ndarray
    buckets: np.ndarray
    n_buckets: int
    order: int

    def walk(self, ids: np.ndarray) -> np.ndarray:
        """The node before each id of rows [R, T] that begin anew, int32 [R, T]."""
        nodes = np.full([ids.shape[1] + 1, len(ids)], ROOT, np.int32)
        for t, column in enumerate(ids.T):
            nodes[t + 1] = self.following[nodes[t], self.columns[column]]
        return nodes[:-1].T

    def log_probs_of(self, nodes: np.ndarray) -> np.ndarray:
        """What comes after these nodes, [n], float32 [n, V]."""
        return self.log_probs[nodes][:, self.columns]


def build_automaton(counts: Counts, vocabulary_size: int, most_columns: int = MOST_COLUMNS) -> Automaton:
    """Interpolates each context with the shorter ones that end it, and says where each character leads.

    Args:
        counts: of a text.
        vocabulary_size: V.
        most_columns: M, at most.
    """
    V, n_nodes = vocabulary_size, len(counts.keys)
    contexts, ids = np.divmod(counts.pairs, V)
    left = 1.0 - np.bincount(contexts, counts.shares, minlength=n_nodes)  # for shorter contexts to say
    columns = _columns(counts, V, most_columns)
    together = np.bincount(columns).astype(np.float32)  # characters of each column
    M = len(together)
    parents, newest = np.divmod(counts.keys, V)
    probabilities = np.tile(together / V, [n_nodes, 1])
    following = np.full([n_nodes, M], ROOT, np.int32)
    orders = np.searchsorted(counts.ends, np.arange(n_nodes), "right")
    for order in range(len(counts.ends)):
        nodes = np.flatnonzero(orders == order)
        shorter = counts.suffixes[nodes]  # of the empty context itself, whose row says that all are alike
        probabilities[nodes] = probabilities[shorter] * left[nodes, np.newaxis]
        following[nodes] = following[shorter]
        own = orders[contexts] == order
        np.add.at(probabilities, (contexts[own], columns[ids[own]]), counts.shares[own])
        longer = np.flatnonzero((orders == order + 1) & (together[columns[newest]] == 1))
        following[parents[longer], columns[newest[longer]]] = longer
    bits = np.log2(np.maximum(counts.totals, 1)).astype(np.int32).clip(max=_MOST_BITS)
    return Automaton(
        columns,
        np.log(probabilities / together),
        following,
        (orders * (_MOST_BITS + 1) + bits).astype(np.int32),
        len(counts.ends) * (_MOST_BITS + 1),
        len(counts.ends) - 1,
    )


def _columns(counts: Counts, V: int, most: int) -> np.ndarray:
    """The column of each character, int32 [V]; the most frequent ones are those after which most stands."""
    if most >= V:
        return np.arange(V, dtype=np.int32)
    single = slice(*counts.ends[:2]) if len(counts.ends) > 1 else slice(0)  # contexts of one character
    frequency = np.zeros(V, np.int64)
    frequency[counts.keys[single] % V] = counts.totals[single]
    columns = np.full(V, most - 1, np.int32)
    columns[np.argsort(-frequency, kind="stable")[: most - 1]] = np.arange(most - 1)
    return columns
