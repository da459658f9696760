"""Makes of counts the tables of an automaton, which a character moves from one context to the next.

A node is the longest known context at some place of a text. `memory` packs the tables and steps through them with a few
gathers a character; `gate` weighs what they say. The most frequent characters have a column each in the tables, all
others have one together, which says that they are alike and ends what is known. C is the number of nodes, I of those
that longer ones go on from, V the vocabulary size, M the number of columns.
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
        newest: the column of the character that each ends with, int32 [C]; 0 of the empty one.
        log_probs: of the next character, if it is one of a column, float32 [C, M].
        rows: where each has its row of `following`, int32 [C]: that of the longest end that goes on.
        following: the node after one of a column, int32 [I, M].
        buckets: nodes of one order that occur about as often have one number, int32 [C], below `n_buckets`.
        n_buckets: how many there are.
        order: characters of the longest context.
    """

    columns: np.ndarray
    newest: np.ndarray
    log_probs: np.ndarray
    rows: np.ndarray
    following: np.ndarray
    buckets: np.ndarray
    n_buckets: int
    order: int


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
    parents, newest = np.divmod(counts.keys, V)
    newest = np.append(0, columns[newest[1:]])
    starts = np.append(0, counts.ends)  # of each order
    orders = np.repeat(np.arange(len(counts.ends)), np.diff(starts))
    own_row = np.union1d(ROOT, parents[1:])
    rows = np.full(n_nodes, ROOT, np.int32)
    probabilities = np.tile(together / V, [n_nodes, 1])
    following = np.full([len(own_row), len(together)], ROOT, np.int32)
    for order in range(len(counts.ends)):
        nodes = slice(*starts[order : order + 2])
        shorter = counts.suffixes[nodes]  # of the empty context itself, whose row says that all are alike
        probabilities[nodes] = probabilities[shorter] * left[nodes, np.newaxis]
        own = orders[contexts] == order
        np.add.at(probabilities, (contexts[own], columns[ids[own]]), counts.shares[own])
        rows[nodes] = rows[shorter]
        go_on = slice(*np.searchsorted(own_row, starts[order : order + 2]))
        following[go_on] = following[rows[own_row[go_on]]]
        rows[own_row[go_on]] = np.arange(len(own_row))[go_on]
        longer = np.flatnonzero((orders == order + 1) & (together[newest] == 1))
        following[rows[parents[longer]], newest[longer]] = longer
    bits = np.log2(np.maximum(counts.totals, 1)).astype(np.int32).clip(max=_MOST_BITS)
    probabilities /= together
    return Automaton(
        columns,
        newest,
        np.log(probabilities, out=probabilities),
        rows,
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
