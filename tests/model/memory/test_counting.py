"""Counting in columns against dictionaries: the same contexts, pairs and shares, whole or in pieces."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charflow.model.memory import counting, tally
from charflow.model.memory.counting import MOST_PEOPLE, Counts, Kept, count_contexts

V = 4  # [UNK] and three characters; from V on ids are only read
Text = list[tuple[int, int]]  # ids and who wrote them
Context = tuple[int, ...]
PEOPLE = st.sampled_from([0, 7, MOST_PEOPLE - 1])
TEXTS = st.lists(st.tuples(st.integers(0, V + 1), PEOPLE), max_size=60)


def counted(text: Text, kept: Kept, cuts: tuple[int, ...] = (), *, writers: bool = True) -> Counts:
    ids, people = (np.array([row[column] for row in text], np.int64) for column in (0, 1))
    pieces = zip(np.split(ids, cuts), np.split(people, cuts), strict=True)
    return count_contexts(lambda held=[*pieces]: [(ids, people if writers else None) for ids, people in held], V, kept)


def spelt(counts: Counts, V: int = V) -> tuple[list[Context], dict[tuple[Context, int], float]]:
    """The contexts, in order, and the share of each pair."""
    contexts: list[Context] = [()]
    for key in counts.keys[1:].tolist():
        contexts.append((*contexts[key // V], key % V))
    pairs = {
        (contexts[key // V], key % V): share
        for key, share in zip(counts.pairs.tolist(), counts.shares.tolist(), strict=True)
    }
    return contexts, pairs


def reference(text: Text, kept: Kept) -> dict[tuple[Context, int], float]:
    """The share of each kept pair, counted anew for each order in dictionaries; of any number of contexts."""
    known, shares = {()}, {}
    for order in range(kept.order + 1):
        counts, before, people = Counter(), defaultdict(set), defaultdict(set)
        for i, (new, writer) in enumerate(text):
            context = tuple(id for id, _ in text[i - order : i]) if i >= order else None
            if context in known and 0 < new < V and all(0 < id < V for id in context):
                counts[context, new] += 1
                people[context, new].add(writer)
                before[context, new].add(min(text[i - order - 1][0], V) if i > order else V)
        wanted = {pair: n if order == kept.order else len(before[pair]) for pair, n in counts.items()}
        n = [0, *(sum(count == k for count in wanted.values()) for k in (1, 2, 3))]
        n.append(sum(count >= 4 for count in wanted.values()))
        shares |= discounted(wanted, n, {p for p in counts if is_kept(counts[p], len(people[p]), kept)})
        known |= {(*context, new) for context, new in shares if len(context) == order}
    return shares


def is_kept(occurrences: int, people: int, kept: Kept) -> bool:
    return occurrences >= kept.occurrences or people >= kept.people


def discounted(counts: dict, n: list[int], kept: set) -> dict:
    found = {}
    for (context, new), count in counts.items():
        k = min(count, 3)
        discount = k - (k + 1) * n[1] / (n[1] + 2 * n[2]) * n[k + 1] / n[k] if n[1] + n[2] and n[k] else 0.0
        if not 0 < discount < k:
            discount = k / 2
        total = sum(others for (same, _), others in counts.items() if same == context)
        if (context, new) in kept:
            found[context, new] = (count - discount) / total
    return found


@given(text=TEXTS, order=st.integers(0, 3), occurrences=st.integers(1, 3), people=st.integers(2, 3))
def test_count_contexts_equals_dictionaries(text: Text, order: int, occurrences: int, people: int) -> None:
    kept = Kept(order=order, contexts=1000, occurrences=occurrences, people=people)
    contexts, pairs = spelt(counted(text, kept))
    expected = reference(text, kept)
    assert pairs == pytest.approx(expected)
    assert set(contexts) == {(), *(context for context, _ in expected)}
    assert contexts == sorted(contexts, key=len)


@given(text=TEXTS, cuts=st.lists(st.integers(0, 60), max_size=4).map(sorted), contexts=st.integers(1, 6))
def test_count_contexts_does_not_depend_on_the_pieces(text: Text, cuts: list[int], contexts: int) -> None:
    kept = Kept(order=2, contexts=contexts, occurrences=2)
    whole = counted(text, kept)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_AT_ONCE", 1)  # or short pieces are joined
        patch.setattr(tally, "_MOST_DENSE", 0)  # too many numbers for a table
        pieces = counted(text, kept, tuple(cuts))
    for name, part in whole._asdict().items():
        np.testing.assert_array_equal(part, getattr(pieces, name), err_msg=name)


@given(text=TEXTS, most=st.integers(1, 12))
def test_a_kept_context_has_its_ends_and_beginnings_kept(text: Text, most: int) -> None:
    contexts, pairs = spelt(counted(text, Kept(order=3, contexts=most, occurrences=1)))
    assert len(contexts) <= most
    assert set(contexts) >= {context[1:] for context in contexts} | {context[:-1] for context in contexts}
    assert {context for context, _ in pairs} >= set(contexts[1:])  # each says something


def test_the_most_frequent_contexts_are_kept() -> None:
    text = [(id, 7) for id in [1, 2] * 5 + [1, 3] * 3 + [2, 2]]
    assert spelt(counted(text, Kept(order=2, contexts=4, occurrences=2)))[0] == [(), (1,), (2,), (1, 2)]


def test_a_pair_needs_enough_people_or_occurrences() -> None:
    ids = [1, 2, 1, 2, 1, 2, 3]
    kept = Kept(order=0, contexts=9, occurrences=4, people=3)
    one, three = [(id, 7) for id in ids], [(id, 7 + i // 2) for i, id in enumerate(ids)]
    assert set(spelt(counted(one, kept))[1]) == set()
    assert set(spelt(counted(three, kept))[1]) == {((), 1), ((), 2)}  # 7, 8 and 9 wrote both
    assert set(spelt(counted(three, kept, writers=False))[1]) == set()
    assert set(spelt(counted(one, kept._replace(occurrences=3)))[1]) == {((), 1), ((), 2)}
