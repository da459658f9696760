"""The n-gram baselines against a slow reading of the Witten-Bell recursion, gzip against gzip itself."""

import gzip
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.model.evaluation.baselines import baselines, gzip_bits_per_char, ngram_bits_per_char
from charflow.pipeline.errors import UserError

SYMBOLS = st.integers(0, 3)
ORDERS = st.integers(0, 4)


def reference_probability(train: list[int], context: list[int], character: int, V: int) -> float:
    """p(character | context) by the recursion as printed, counting anew each time."""
    lower = reference_probability(train, context[1:], character, V) if context else 1 / V
    k = len(context)
    followers = Counter(train[i] for i in range(k, len(train)) if train[i - k : i] == context)
    if not followers:
        return lower
    return (followers[character] + len(followers) * lower) / (followers.total() + len(followers))


def reference_bits(train: list[int], held_out: list[int], order: int, V: int) -> float:
    history = list(train)
    bits = []
    for character in held_out:
        context = history[max(0, len(history) - order) :]
        bits.append(-np.log2(reference_probability(train, context, character, V)))
        history.append(character)
    return float(np.mean(bits))


def bits_per_char(train: str, held_out: str, order: int, V: int = 256) -> float:
    return ngram_bits_per_char(
        np.frombuffer(train.encode("latin-1"), np.uint8),
        np.frombuffer(held_out.encode("latin-1"), np.uint8),
        order=order,
        vocabulary_size=V,
    )


@given(
    train=st.lists(SYMBOLS, min_size=1, max_size=30),
    held_out=st.lists(SYMBOLS, min_size=1, max_size=12),
    order=ORDERS,
    unused=st.integers(0, 2),
)
@pytest.mark.slow
def test_ngram_equals_the_slow_recursion(train: list[int], held_out: list[int], order: int, unused: int) -> None:
    V = 4 + unused
    bits = ngram_bits_per_char(np.array(train, np.uint8), np.array(held_out, np.uint8), order=order, vocabulary_size=V)
    assert bits == pytest.approx(reference_bits(train, held_out, order, V), rel=1e-12)


@given(train=st.lists(SYMBOLS, min_size=1, max_size=20), context=st.lists(SYMBOLS, max_size=4))
def test_probabilities_over_the_vocabulary_sum_to_one(train: list[int], context: list[int]) -> None:
    assert sum(reference_probability(train, context, c, 6) for c in range(6)) == pytest.approx(1)


@pytest.mark.slow
@given(train=st.lists(SYMBOLS, min_size=1, max_size=20), order=ORDERS)
def test_ngram_probabilities_of_one_held_out_character_sum_to_one(train: list[int], order: int) -> None:
    bits = [
        ngram_bits_per_char(np.array(train, np.uint8), np.array([c], np.uint8), order=order, vocabulary_size=6)
        for c in range(6)
    ]
    assert sum(2**-b for b in bits) == pytest.approx(1)


def test_ngram_by_hand() -> None:
    # after "aab": p(a) = (2 + 2 * 1/4) / (3 + 2) = 0.5; 'b' was never followed, so order 1 gives the same
    assert ngram_bits_per_char(
        np.array([0, 0, 1], np.uint8), np.array([0], np.uint8), order=1, vocabulary_size=4
    ) == pytest.approx(1)


@pytest.mark.parametrize("order", range(5))
def test_ngram_of_a_constant_text_is_nearly_free(order: int) -> None:
    assert bits_per_char("a" * 10_000, "a" * 100, order) == pytest.approx(0, abs=0.002)


@pytest.mark.parametrize("order", range(3))
def test_ngram_of_uniform_noise_is_near_log2_of_the_vocabulary(order: int) -> None:
    noise = np.random.default_rng(7).integers(0, 16, 220_000).astype(np.uint8)
    bits = ngram_bits_per_char(noise[:200_000], noise[200_000:], order=order, vocabulary_size=16)
    assert bits == pytest.approx(4, abs=0.06)


def test_ngram_of_a_higher_order_is_better_on_a_repetitive_text() -> None:
    by_order = [bits_per_char("to be or not to be, " * 200, "to be or not to be, " * 5, k) for k in range(5)]
    assert by_order == sorted(by_order, reverse=True)
    assert by_order[0] > 2.5
    assert by_order[4] < 0.3


def test_ngram_context_of_the_first_held_out_character_is_the_end_of_the_training_text() -> None:
    assert bits_per_char("ab" * 500, "a", 1) < 0.1
    assert bits_per_char("ab" * 500, "b", 1) > 5


def test_ngram_learns_nothing_from_the_held_out_text() -> None:
    assert bits_per_char("a", "z" * 1000, 4) == pytest.approx(bits_per_char("a", "z", 4))


def test_ngram_of_a_character_never_seen_in_training_is_finite() -> None:
    assert bits_per_char("aaaa", "z", 4) == pytest.approx(reference_bits([97] * 4, [122], 4, 256), rel=1e-12)


def test_ngram_tells_contexts_of_a_large_alphabet_apart() -> None:
    rng = np.random.default_rng(3)
    words = rng.integers(65_000, 65_535, (12, 5))  # packed 16 bits a symbol, five of these overflow 64 bits
    train = words[rng.integers(0, 12, 40)].ravel().astype(np.uint16)
    held_out = words[rng.integers(0, 12, 8)].ravel().astype(np.uint16)
    bits = ngram_bits_per_char(train, held_out, order=4, vocabulary_size=65_535)
    assert bits == pytest.approx(reference_bits(train.tolist(), held_out.tolist(), 4, 65_535), rel=1e-12)


@pytest.mark.slow
@settings(max_examples=30)
@given(
    train=st.text(st.characters(codec="utf-8"), max_size=50),
    held_out=st.text(st.characters(codec="utf-8"), min_size=1, max_size=50),
)
def test_gzip_is_what_gzip_adds(train: str, held_out: str) -> None:
    alone = len(gzip.compress(train.encode(), 9, mtime=0))
    both = len(gzip.compress((train + held_out).encode(), 9, mtime=0))
    assert gzip_bits_per_char(train, held_out) == 8 * (both - alone) / len(held_out)


def test_gzip_divides_by_characters_not_bytes() -> None:
    held_out = "".join(chr(0x1F600 + i % 64) for i in np.random.default_rng(0).integers(0, 64, 500))
    assert gzip_bits_per_char("", held_out) > 6  # 4 bytes a character: a byte count would give under 3


def test_gzip_does_not_see_beyond_its_window() -> None:
    rng = np.random.default_rng(1)
    page, filler = ("".join(map(chr, rng.integers(33, 127, n))) for n in (2_000, 40_000))
    assert gzip_bits_per_char(page, page) < 0.5
    assert gzip_bits_per_char(page + filler, page) > 5


def test_baselines_gathers_every_order_and_gzip() -> None:
    train_text, held_out_text = "the cat sat on the mat. " * 20, "the cat sat. "
    train, held_out = (np.frombuffer(text.encode(), np.uint8) for text in (train_text, held_out_text))
    figures = baselines(train, held_out, vocabulary_size=128, decode=lambda ids: bytes(ids).decode())
    expected = {f"order-{k}": ngram_bits_per_char(train, held_out, order=k, vocabulary_size=128) for k in range(5)}
    assert figures == expected | {"gzip": gzip_bits_per_char(train_text, held_out_text)}
    assert list(figures) == ["order-0", "order-1", "order-2", "order-3", "order-4", "gzip"]


def test_empty_held_out_text_is_refused() -> None:
    message = r"No held-out text: .* got 0\. Use more messages or another held-out share\."
    some, none = np.zeros(3, np.uint8), np.zeros(0, np.uint8)
    with pytest.raises(UserError, match=message):
        ngram_bits_per_char(some, none, order=2, vocabulary_size=2)
    with pytest.raises(UserError, match=message):
        baselines(some, none, vocabulary_size=2, decode=str)
    with pytest.raises(UserError, match=message):
        gzip_bits_per_char("abc", "")


def test_empty_training_text_is_refused() -> None:
    with pytest.raises(UserError, match="No training text"):
        ngram_bits_per_char(np.zeros(0, np.uint8), np.zeros(3, np.uint8), order=2, vocabulary_size=2)


@pytest.mark.parametrize(
    ("held_out", "order", "message"),
    [
        pytest.param([0, 5], 1, r"held-out ids must be in \[0, 5\), got 0 to 5", id="id outside"),
        pytest.param([0], -1, "order must be 0 or more, got -1", id="negative order"),
    ],
)
def test_wrong_arguments_are_refused(held_out: list[int], order: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ngram_bits_per_char(np.zeros(3, np.uint8), np.array(held_out, np.uint8), order=order, vocabulary_size=5)
