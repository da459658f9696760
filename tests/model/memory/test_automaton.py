"""The automaton's tables against looking each context up from its longest end down."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charflow.model.memory.automaton import Automaton, build_automaton
from charflow.model.memory.counting import Counts, Kept, count_contexts
from tests.model.memory.test_counting import V, spelt

TEXTS = st.lists(st.integers(1, V - 1), max_size=50)


def counts_of(text: list[int], contexts: int = 1000, occurrences: int = 1) -> Counts:
    return count_contexts(lambda: [(np.array(text, np.int64), None)], V, Kept(3, contexts, occurrences))


def node_after(automaton: Automaton, read: Sequence[int]) -> int:
    node = 0
    for char in read:
        node = automaton.following[automaton.rows[node], automaton.columns[char]]
    return int(node)


@given(text=TEXTS, read=st.lists(st.integers(0, V - 1), max_size=8), contexts=st.integers(1, 20))
def test_the_node_is_the_longest_known_context(text: list[int], read: list[int], contexts: int) -> None:
    known, _ = spelt(counts := counts_of(text, contexts))
    node = node_after(build_automaton(counts, V), read)
    assert known[node] == max((tuple(read[i:]) for i in range(len(read) + 1) if tuple(read[i:]) in known), key=len)


@given(text=TEXTS, occurrences=st.integers(1, 3))
def test_probabilities_are_those_of_the_recursion(text: list[int], occurrences: int) -> None:
    known, shares = spelt(counts := counts_of(text, occurrences=occurrences))

    def probability(context: tuple[int, ...], char: int) -> float:
        own = {new: share for (same, new), share in shares.items() if same == context}
        shorter = probability(context[1:], char) if context else 1 / V
        return own.get(char, 0.0) + (1 - sum(own.values())) * shorter

    found = np.exp(build_automaton(counts, V).log_probs)
    expected = [[probability(context, char) for char in range(V)] for context in known]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_a_bucket_has_contexts_of_one_order_that_occur_about_as_often() -> None:
    counts = counts_of([1, 2] * 20 + [3])
    automaton = build_automaton(counts, V)
    known, _ = spelt(counts)
    place = {context: automaton.buckets[node] for node, context in enumerate(known)}
    assert place[1,] == place[2,]  # 20 and 20
    assert len({place[()], place[1,], place[2, 1], place[1, 2, 1]}) == 4
    assert automaton.buckets.max() < automaton.n_buckets
    assert automaton.order == 3


def test_contexts_that_do_not_go_on_have_no_row_of_their_own() -> None:
    counts = counts_of([1, 2, 3, 1, 2, 3, 1])
    automaton = build_automaton(counts, V)
    goes_on = set((counts.keys[1:] // V).tolist())
    assert 1 < len(automaton.following) == len(goes_on) < len(counts.keys)
    own = [row not in automaton.rows[:node] for node, row in enumerate(automaton.rows)]
    assert own == [node in goes_on for node in range(len(counts.keys))]
    assert all(
        automaton.rows[node] == automaton.rows[counts.suffixes[node]] for node in range(1, len(own)) if not own[node]
    )


def test_no_text_leaves_all_characters_alike() -> None:
    automaton = build_automaton(counts_of([]), V)
    assert np.exp(automaton.log_probs[0]) == pytest.approx([1 / V] * V)
    assert node_after(automaton, [1, 2, 3]) == 0


@given(text=TEXTS, read=st.lists(st.integers(1, V - 1), max_size=8))
def test_rare_characters_have_a_column_together(text: list[int], read: list[int]) -> None:
    counts = counts_of(text := [1, 1, 2, 2, 1, *text])
    exact, automaton = (build_automaton(counts, V, columns) for columns in (V, 3))
    assert (automaton.log_probs.shape[1], np.bincount(automaton.columns).tolist()) == (3, [1, 1, V - 2])
    rare = automaton.columns == 2
    assert not rare[np.argmax(np.bincount(text[:-1], minlength=V))]
    found, whole = (np.exp(each.log_probs)[:, each.columns] for each in (automaton, exact))
    np.testing.assert_allclose(found[:, ~rare], whole[:, ~rare], rtol=1e-5)
    np.testing.assert_allclose(found[:, rare].sum(axis=1), whole[:, rare].sum(axis=1), rtol=1e-5)
    frequent = [id for id in read if not rare[id]]
    assert node_after(automaton, frequent) == node_after(exact, frequent)
    assert node_after(automaton, [*read, np.flatnonzero(rare)[-1]]) == 0
