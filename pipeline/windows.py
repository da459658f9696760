"""Cuts an encoded corpus into fixed-length training windows.

`corpus` turns text into ids; this module turns ids into (inputs, targets); `trainer` consumes them.
B is the batch size, T the window length, N the number of ids. Window i starts at character i * shift; there is a
window for every start that leaves at least one character after it.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from charflow.pipeline.errors import UserError, counted
from charflow.pipeline.settings import Count, Natural, Seed, Targets, Total, check, checked
from charflow.pipeline.untuned import untuned
from charflow.sentences import Sentence


@dataclass(frozen=True, kw_only=True)
class Share:
    """Which of the equal parts of each global batch are wanted: replica r of R trains on part r.

    Attributes:
        first: the first part.
        count: how many from there on, one after the other.
        total: R, parts in a batch.
    """

    first: Natural = 0
    count: Count = 1
    total: Count = 1

    def __post_init__(self) -> None:
        check(self)
        if self.first + self.count > self.total:
            raise UserError(f"There is no part {self.first + self.count - 1} of {self.total}: parts count from 0.")

    def size_of(self, batch_size: int) -> int:
        """Windows in each part of a batch.

        Raises:
            UserError: it cannot be shared out evenly.
        """
        if batch_size % self.total:
            raise UserError(f"A batch of {batch_size:,} cannot be cut into {self.total} equal parts.")
        return batch_size // self.total


WHOLE = Share()


@checked
def count_windows(n_ids: Total, *, length: Count = 40, shift: Count = 3) -> int:
    """Counts the windows of `length` characters, one every `shift`, that have a next character.

    >>> count_windows(10, length=4, shift=3)  # they start at 0 and 3
    2

    Raises:
        UserError: length or shift is below 1, or the text is shorter than one window and its target.
    """
    if n_ids <= length:
        raise UserError(
            f"The text has {counted(n_ids, 'character')}: "
            f"too short for one window of {length} and the character after it.",
            advice=Sentence("Take more messages, or a smaller {window_length}."),
        )
    return len(range(0, n_ids - length, shift))


@checked
def make_windows(
    ids: np.ndarray,
    *,
    length: Count = 40,
    shift: Count = 3,
    batch_size: Count,
    targets: Targets = "next",
    shuffle_seed: Seed | None = None,
    epochs: Count | None = 1,
    first_step: Total = 0,
    drop_remainder: bool = False,
    share: Share = WHOLE,
) -> tf.data.Dataset:
    """Makes batches of windows, each a pure function of (shuffle_seed, epoch, step).

    Shuffling is exact, without a buffer: step t of epoch e takes places `t * B` to `t * B + B - 1` of a pseudo-random
    permutation of all windows that depends on (shuffle_seed, e) alone (`tf.random.experimental.index_shuffle`).
    Starting at `first_step` therefore continues exactly, without replaying what came before.

    Args:
        ids: the corpus, an integer array [N].
        length: T, characters in a window.
        shift: distance between the starts of neighbouring windows.
        batch_size: B, windows in a batch.
        targets: "next" for the character after each window, "all" for the character after each position.
        shuffle_seed: seed of the permutations; None keeps the windows in text order.
        epochs: passes over all windows; None repeats for ever.
        first_step: batches to leave out at the start, counted over all epochs.
        drop_remainder: leave out each epoch's last batch where it has fewer than B windows.
        share: the parts of each batch to yield, each as an element of its own; all of it by default.

    Returns:
        A dataset of `(inputs, targets)`: inputs [B, T] of the dtype of `ids`, targets [B] or [B, T] likewise; of a
        share with R parts [B / R, T].

    Raises:
        UserError: a size below 1, an unknown kind of targets, or a text shorter than one window.

    >>> dataset = make_windows(np.arange(8), length=3, shift=2, batch_size=2)
    >>> [(x.tolist(), y.tolist()) for x, y in dataset.as_numpy_iterator()]
    [([[0, 1, 2], [2, 3, 4]], [3, 5]), ([[4, 5, 6]], [7])]
    """
    ids = np.asarray(ids)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise UserError(f"ids must be one row of integers, not {ids.dtype} of shape {list(ids.shape)}.")
    if share.total > 1 and not drop_remainder:
        raise UserError(f"An epoch's last batch cannot be cut into {share.total} equal parts: leave it out.")
    size = share.size_of(batch_size)
    n_windows = count_windows(len(ids), length=length, shift=shift)
    steps = n_windows // batch_size if drop_remainder else -(-n_windows // batch_size)
    if not steps:
        raise UserError(f"{counted(n_windows, 'window')} cannot fill a batch of {batch_size:,}.")

    shift = min(shift, len(ids))  # there is one window then, and no row is longer than the text
    rows = _rows_of(ids, shift)
    last_place = steps * epochs * share.count if epochs is not None else np.iinfo(np.int64).max

    @tf.autograph.experimental.do_not_convert
    def batch(place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        step, part = place // share.count, share.first + place % share.count
        epoch, step_in_epoch = step // steps, step % steps
        first = step_in_epoch * batch_size + part * size
        windows = tf.range(first, tf.minimum(first + size, n_windows))  # [B / R]
        if drop_remainder:
            windows = tf.ensure_shape(windows, [size])
        if shuffle_seed is not None:
            windows = permuted(windows, shuffle_seed, epoch, n_windows)
        return cut_windows(rows, windows, length=length, targets=targets)

    return (
        tf.data.Dataset.range(first_step * share.count, last_place)
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(untuned())
    )


def rows_per_window(length: int, shift: int) -> int:
    """A window, its target included, as rows of `shift` ids."""
    return -(-(length + 1) // shift)


def cut_windows(rows: tf.Tensor, first: tf.Tensor, *, length: int, targets: Targets) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts windows out of a text that stands as rows of `shift` ids, [., shift].

    Args:
        rows: the text.
        first: the row that each window starts with, int64 [B].
        length: T.
        targets: as for `make_windows`.

    Returns:
        inputs [B, T] and targets [B] or [B, T].
    """
    shift = rows.shape[1]
    count = rows_per_window(length, shift)
    picked = tf.gather(rows, first[:, tf.newaxis] + tf.range(count, dtype=tf.int64))
    text = tf.reshape(picked, [-1, count * shift])[:, : length + 1]  # [B, T + 1]
    return text[:, :-1], (text[:, -1] if targets == "next" else text[:, 1:])


def permuted(places: tf.Tensor, seed: int, number: tf.Tensor, count: tf.Tensor | int) -> tf.Tensor:
    """What stands at `places`, int64 [.], of permutation `number` of 0 to count - 1."""
    seeds = tf.stack([tf.constant(seed, tf.int64), tf.cast(number, tf.int64)])
    return tf.random.experimental.index_shuffle(places, seeds, tf.cast(count, tf.int64) - 1)


def _rows_of(ids: np.ndarray, shift: int) -> tf.Tensor:
    """Views the corpus as rows of `shift` ids, so that a window is a few consecutive rows.

    Gathering rows moves 390 times the windows a second of nested `Dataset.window`.
    """
    padding = -len(ids) % shift
    padded = np.concatenate([ids, np.zeros(padding, ids.dtype)]) if padding else ids
    return tf.constant(padded.reshape(-1, shift))  # [ceil(N / shift), shift]
