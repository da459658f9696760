"""Windows against the tutorial recipe's loops and against nested `Dataset.window`."""

import doctest
from itertools import chain

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.pipeline import windows
from charflow.pipeline.errors import UserError
from charflow.pipeline.vocabulary import Vocabulary
from charflow.pipeline.windows import Share, count_windows, make_windows

ALPHABET = Vocabulary("abcdefgh")
few = settings(max_examples=20)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[str, int, int, int]:
    """A text, a window length that leaves a next character, a shift and a batch size."""
    text = draw(st.text("abcdefgh", min_size=2, max_size=60))
    length = draw(st.integers(1, len(text) - 1))
    return text, length, draw(st.integers(1, 12)), draw(st.integers(1, 9))


def recipe_windows(text: str, maxlen: int, step: int) -> tuple[list[str], list[str]]:
    sentences = []
    next_chars = []
    for i in range(0, len(text) - maxlen, step):
        sentences.append(text[i : i + maxlen])
        next_chars.append(text[i + maxlen])
    return sentences, next_chars


def recipe_one_hot(text: str, maxlen: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    chars = sorted(set(text))
    char_indices = {char: i for i, char in enumerate(chars)}
    sentences, next_chars = recipe_windows(text, maxlen, step)
    x = np.zeros((len(sentences), maxlen, len(chars)), dtype=bool)
    y = np.zeros((len(sentences), len(chars)), dtype=bool)
    for i, sentence in enumerate(sentences):
        for t, char in enumerate(sentence):
            x[i, t, char_indices[char]] = True
        y[i, char_indices[next_chars[i]]] = True
    return x, y


def nested_windows(ids: np.ndarray, length: int, shift: int, batch_size: int) -> tf.data.Dataset:
    """The readable reference in tf.data: [B, T + 1]."""
    return (
        tf.data.Dataset.from_tensor_slices(ids)
        .window(length + 1, shift=shift, drop_remainder=True)
        .flat_map(lambda window: window.batch(length + 1))
        .batch(batch_size)
    )


def batches(ids: np.ndarray, **options) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(make_windows(ids, **options).as_numpy_iterator())


def starts(ids: np.ndarray, **options) -> list[list[int]]:
    """The first id of each window, by batch; where ids count up from 0, where the window starts."""
    return [inputs[:, 0].tolist() for inputs, _ in batches(ids, **options)]


def flat(rows: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(rows))


def test_windows_examples_hold() -> None:
    assert doctest.testmod(windows) == (0, 3)


@given(cut=cuts())
def test_count_windows_equals_the_recipe(cut: tuple[str, int, int, int]) -> None:
    text, length, shift, _ = cut
    assert count_windows(len(text), length=length, shift=shift) == len(recipe_windows(text, length, shift)[0])


@pytest.mark.slow
@few
@given(cut=cuts())
def test_make_windows_equals_the_recipe(cut: tuple[str, int, int, int]) -> None:
    text, length, shift, batch_size = cut
    sentences, next_chars = recipe_windows(text, length, shift)
    made = batches(ALPHABET.encode(text), length=length, shift=shift, batch_size=batch_size)
    assert [ALPHABET.decode(window) for inputs, _ in made for window in inputs] == sentences
    assert [ALPHABET.decode(targets) for _, targets in made] == [
        "".join(next_chars[i : i + batch_size]) for i in range(0, len(next_chars), batch_size)
    ]


@few
@given(cut=cuts())
@pytest.mark.slow
def test_make_windows_one_hot_equals_the_recipe(cut: tuple[str, int, int, int]) -> None:
    text, length, shift, batch_size = cut
    vocabulary = Vocabulary(text)
    x, y = recipe_one_hot(text, length, shift)
    made = make_windows(vocabulary.encode(text), length=length, shift=shift, batch_size=batch_size).map(
        lambda inputs, targets: (tf.one_hot(inputs, vocabulary.size), tf.one_hot(targets, vocabulary.size))
    )
    inputs, targets = (np.concatenate(part) for part in zip(*made.as_numpy_iterator()))
    assert not inputs[..., 0].any()  # the recipe has no [UNK]
    assert not targets[..., 0].any()
    np.testing.assert_array_equal(inputs[..., 1:], x)
    np.testing.assert_array_equal(targets[..., 1:], y)


@few
@given(cut=cuts())
@pytest.mark.slow
def test_make_windows_of_all_targets_equals_nested_windows(cut: tuple[str, int, int, int]) -> None:
    text, length, shift, batch_size = cut
    ids = ALPHABET.encode(text)
    reference = list(nested_windows(ids, length, shift, batch_size).as_numpy_iterator())
    made = batches(ids, length=length, shift=shift, batch_size=batch_size, targets="all")
    assert len(made) == len(reference)
    for (inputs, targets), expected in zip(made, reference):
        np.testing.assert_array_equal(inputs, expected[:, :-1])
        np.testing.assert_array_equal(targets, expected[:, 1:])


@few
@given(cut=cuts(), seed=st.integers(-(2**63), 2**63 - 1))
@pytest.mark.slow
def test_make_windows_shuffled_is_a_permutation_with_the_right_targets(
    cut: tuple[str, int, int, int], seed: int
) -> None:
    text, length, shift, batch_size = cut
    ids = np.arange(len(text))
    made = batches(ids, length=length, shift=shift, batch_size=batch_size, shuffle_seed=seed)
    first = [start for inputs, _ in made for start in inputs[:, 0]]
    assert sorted(first) == list(range(0, len(text) - length, shift))
    assert all((targets == inputs[:, 0] + length).all() for inputs, targets in made)


def test_make_windows_shuffles_each_epoch_anew() -> None:
    made = flat(starts(np.arange(101), length=1, shift=1, batch_size=10, shuffle_seed=5, epochs=3))
    epochs = [made[:100], made[100:200], made[200:]]
    assert [sorted(epoch) for epoch in epochs] == [list(range(100))] * 3
    assert len({tuple(epoch) for epoch in [*epochs, range(100)]}) == 4


def test_make_windows_keeps_an_epoch_apart_from_the_next() -> None:
    made = starts(np.arange(11), length=1, shift=1, batch_size=4, shuffle_seed=5, epochs=2)
    assert [len(batch) for batch in made] == [4, 4, 2, 4, 4, 2]


def test_make_windows_order_is_decided_by_the_seed() -> None:
    options = {"length": 1, "shift": 1, "batch_size": 100}
    first, again, other = (starts(np.arange(101), shuffle_seed=seed, **options) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_make_windows_order_does_not_depend_on_the_batch_size() -> None:
    by_3, by_7 = (flat(starts(np.arange(90), batch_size=size, shuffle_seed=1, epochs=2)) for size in (3, 7))
    assert by_3 == by_7


@few
@given(
    first_step=st.integers(0, 12),
    batch_size=st.integers(1, 8),
    seed=st.none() | st.integers(0, 9),
    drop_remainder=st.booleans(),
)
@pytest.mark.slow
def test_make_windows_continues_exactly_at_first_step(
    first_step: int, batch_size: int, seed: int | None, drop_remainder: bool
) -> None:
    options = {
        "length": 4,
        "shift": 2,
        "batch_size": batch_size,
        "shuffle_seed": seed,
        "epochs": 3,
        "drop_remainder": drop_remainder,
    }
    ids = np.arange(20)  # 8 windows
    assert starts(ids, **options, first_step=first_step) == starts(ids, **options)[first_step:]


@pytest.mark.parametrize("seed", [None, 3], ids=["in order", "shuffled"])
def test_make_windows_without_epochs_repeats_for_ever(seed: int | None) -> None:
    options = {"length": 2, "shift": 3, "batch_size": 4, "shuffle_seed": seed}
    endless = make_windows(np.arange(30), epochs=None, **options)
    taken = [inputs[:, 0].tolist() for inputs, _ in endless.take(15).as_numpy_iterator()]
    assert taken == starts(np.arange(30), epochs=5, **options)


def test_make_windows_drops_the_short_batch_of_every_epoch() -> None:
    options = {"length": 1, "shift": 1, "batch_size": 4, "epochs": 2}
    assert starts(np.arange(11), drop_remainder=True, **options) == [[0, 1, 2, 3], [4, 5, 6, 7]] * 2


@pytest.mark.parametrize(
    ("dtype", "largest"),
    [(np.uint8, 255), (np.uint16, 65535), (np.uint32, 2**32 - 1), (np.int64, 2**40)],
    ids=["uint8", "uint16", "uint32", "int64"],
)
def test_make_windows_keeps_the_dtype_of_the_ids(dtype: type, largest: int) -> None:
    ids = np.array([0, 1, largest - 1, largest, 2], dtype)
    dataset = make_windows(ids, length=3, shift=1, batch_size=2, targets="all")
    assert [part.dtype for part in dataset.element_spec] == [dtype, dtype]
    ((inputs, targets),) = dataset.as_numpy_iterator()
    np.testing.assert_array_equal(inputs, [ids[:3], ids[1:4]], strict=True)
    np.testing.assert_array_equal(targets, [ids[1:4], ids[2:5]], strict=True)


@pytest.mark.parametrize(
    ("targets", "drop_remainder", "shapes"),
    [
        ("next", False, [[None, 5], [None]]),
        ("all", False, [[None, 5], [None, 5]]),
        ("next", True, [[2, 5], [2]]),
        ("all", True, [[2, 5], [2, 5]]),
    ],
    ids=["next", "all", "next of full batches", "all of full batches"],
)
def test_make_windows_declares_its_shapes(targets: str, drop_remainder: bool, shapes: list) -> None:
    dataset = make_windows(
        np.arange(20), length=5, shift=3, batch_size=2, targets=targets, drop_remainder=drop_remainder
    )
    assert [part.shape.as_list() for part in dataset.element_spec] == shapes


def test_make_windows_default_is_the_recipe_of_40_characters_every_3() -> None:
    ((inputs, targets),) = batches(np.arange(50), batch_size=9)
    assert inputs[:, 0].tolist() == [0, 3, 6, 9]
    assert inputs.shape == (4, 40)
    assert targets.tolist() == [40, 43, 46, 49]


@pytest.mark.parametrize("seed", [None, 0, -1], ids=["in order", "seed 0", "seed -1"])
def test_make_windows_of_the_shortest_text_is_one_window(seed: int | None) -> None:
    ((inputs, targets),) = batches(np.arange(5), length=4, shift=3, batch_size=8, shuffle_seed=seed)
    assert inputs.tolist() == [[0, 1, 2, 3]]
    assert targets.tolist() == [4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, r"^length must be at least 1, not 0\.$"),
        ({"shift": -2}, r"^shift must be at least 1, not -2\.$"),
        ({"length": 20}, r"^The text has 20 characters: too short for one window of 20 and the character after it\. "),
        ({"batch_size": 0}, r"^batch_size must be at least 1, not 0\.$"),
        ({"epochs": 0}, r"^epochs must be at least 1, not 0\.$"),
        ({"first_step": -1}, r"^first_step must be at least 0, not -1\.$"),
        ({"targets": "last"}, r"^targets must be next or all, not 'last'\.$"),
        ({"batch_size": 1000, "drop_remainder": True}, r"^6 windows cannot fill a batch of 1,000\.$"),
    ],
    ids=["length", "shift", "short text", "batch size", "epochs", "first step", "targets", "no full batch"],
)
def test_make_windows_refuses_when_called(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_windows(np.arange(20), **{"length": 4, "shift": 3, "batch_size": 2, **options})


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (np.zeros((4, 5), np.uint8), r"uint8 of shape \[4, 5\]"),
        (np.zeros(9), r"float64 of shape \[9\]"),
        (np.zeros(9, bool), r"bool of shape \[9\]"),
    ],
    ids=["two rows", "floats", "booleans"],
)
def test_make_windows_refuses_what_is_no_row_of_integers(ids: np.ndarray, found: str) -> None:
    with pytest.raises(UserError, match=rf"^ids must be one row of integers, not {found}\.$"):
        make_windows(ids, length=2, shift=1, batch_size=1)


def test_count_windows_shows_a_long_text_with_separators() -> None:
    with pytest.raises(UserError, match=r"^The text has 12,000 characters: too short for one window of 12000 "):
        count_windows(12_000, length=12_000)


def test_parts_of_a_batch_put_together_are_the_batch() -> None:
    options = {"length": 4, "shift": 3, "batch_size": 6, "shuffle_seed": 5, "epochs": 2, "drop_remainder": True}
    whole = batches(np.arange(60), **options)
    shares = [Share(first=0, count=1, total=3), Share(first=1, count=2, total=3)]
    parts = [batches(np.arange(60), **options, share=share) for share in shares]
    assert [inputs.shape for inputs, _ in parts[1]] == [(2, 4)] * 2 * len(whole)
    for step, pair in enumerate(whole):
        mine = [parts[0][step], *parts[1][2 * step : 2 * step + 2]]
        for which, expected in enumerate(pair):
            np.testing.assert_array_equal(np.concatenate([part[which] for part in mine]), expected)


@pytest.mark.parametrize(
    ("share", "message"),
    [
        ({"first": 1}, r"^There is no part 1 of 1: parts count from 0\.$"),
        ({"first": 2, "count": 2, "total": 3}, r"^There is no part 3 of 3: parts count from 0\.$"),
        ({"count": 0}, r"^count must be at least 1, not 0\.$"),
        ({"total": 4}, r"^A batch of 6 cannot be cut into 4 equal parts\.$"),
    ],
    ids=["one part", "beyond the last", "none", "uneven"],
)
def test_share_refuses_parts_that_a_batch_has_not(share: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_windows(np.arange(60), length=4, shift=3, batch_size=6, drop_remainder=True, share=Share(**share))


def test_make_windows_cuts_no_batch_that_may_be_short() -> None:
    with pytest.raises(UserError, match=r"^An epoch's last batch cannot be cut into 2 equal parts: leave it out\.$"):
        make_windows(np.arange(60), length=4, shift=3, batch_size=6, share=Share(total=2))
