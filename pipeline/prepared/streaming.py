"""Cuts training windows out of a prepared corpus on disk, shuffled, in bounded memory.

`corpus` says where the ids are; `trainer` consumes the windows. A block is K consecutive windows, read in one go
with the characters that its last windows share with the next block, so none is lost. An epoch puts the blocks in a
random order and deals them out into groups. A group is the shuffle buffer: its blocks are read interleaved, and its
windows come in a random order. Both orders are permutations that `tf.random.experimental.index_shuffle` computes from
a seed, so the place of a step (epoch, group, step in the group) is arithmetic, and starting at any step costs reading
one group.
B is the batch size, b the rows of one part of it, T the window length, G the blocks in a group.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from charflow.pipeline.errors import UserError, counted
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.settings import Count, Seed, Targets, Total, checked
from charflow.pipeline.untuned import untuned
from charflow.pipeline.windows import WHOLE, Share, count_windows, cut_windows, permuted, rows_per_window

MEMORY = 64 << 20
_GROUPS_IN_MEMORY = 4  # one is trained on, one waits, and one is put together out of its blocks
_BLOCK_BYTES = 256 << 10  # long enough for a disk to read at full speed
_BLOCKS_PER_GROUP = 64  # where memory is small, blocks are smaller, so that a group still mixes many places
_PARALLEL_READS = 4
_LAST = np.iinfo(np.int64).max


class Place(NamedTuple):
    """Where a step is: its epoch, the group in the epoch, the step in the group."""

    epoch: int
    group: int
    step: int


@dataclass(frozen=True)
class StreamPlan:
    """The arithmetic of a stream: which windows every step takes.

    Attributes:
        windows: W, in an epoch.
        length: T.
        shift: distance between the starts of neighbouring windows.
        batch_size: B.
        block_windows: K, a multiple of B; the last block has the rest.
        group_blocks: G; the last group has the rest.
        seed: of all permutations.
    """

    windows: int
    length: int
    shift: int
    batch_size: int
    block_windows: int
    group_blocks: int
    seed: int

    @classmethod
    def of(
        cls, characters: int, itemsize: int, *, length: int, shift: int, batch_size: int, seed: int, memory: int
    ) -> "StreamPlan":
        """Plans for a training text of so many characters of `itemsize` bytes and buffers of `memory` bytes.

        Raises:
            UserError: a size below 1, a text shorter than a batch of windows, or too little memory.
        """
        windows = count_windows(characters, length=length, shift=shift)
        if windows < batch_size:
            raise UserError(f"{counted(windows, 'window')} cannot fill a batch of {batch_size:,}.")
        group_bytes = memory // _GROUPS_IN_MEMORY
        block_bytes = min(_BLOCK_BYTES, group_bytes // _BLOCKS_PER_GROUP)
        batches = max(1, block_bytes // (batch_size * shift * itemsize))
        plan = cls(windows, length, shift, batch_size, batches * batch_size, 1, seed)
        read_bytes = plan.block_rows * shift * itemsize
        if read_bytes > group_bytes:
            raise UserError(
                f"Streaming batches of {batch_size:,} windows needs {read_bytes * _GROUPS_IN_MEMORY:,} bytes of "
                f"memory, not {memory:,}."
            )
        blocks_at_most = group_bytes // read_bytes
        groups = -(-plan.blocks // blocks_at_most)
        return cls(windows, length, shift, batch_size, plan.block_windows, -(-plan.blocks // groups), seed)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch; it leaves out the windows that do not fill one."""
        return self.windows // self.batch_size

    @property
    def blocks(self) -> int:
        """Blocks in an epoch."""
        return -(-self.windows // self.block_windows)

    @property
    def groups(self) -> int:
        """Groups in an epoch."""
        return -(-self.blocks // self.group_blocks)

    @property
    def block_rows(self) -> int:
        """Rows of `shift` characters that are read for a block."""
        return self.block_windows + rows_per_window(self.length, self.shift) - 1

    def blocks_of(self, epoch: tf.Tensor, group: tf.Tensor) -> tf.Tensor:
        """The blocks of a group, int64 [G or fewer], in text order: the short block comes last wherever it is."""
        first = group * self.group_blocks
        places = tf.range(first, tf.minimum(first + self.group_blocks, self.blocks), dtype=tf.int64)
        # Negative numbers are for the order of the blocks, the others for the windows of each group.
        return tf.sort(permuted(places, self.seed, -1 - epoch, self.blocks))

    def windows_in(self, blocks: tf.Tensor) -> tf.Tensor:
        """How many windows these blocks have together, int64 []."""
        short = self.blocks * self.block_windows - self.windows
        has_short = tf.reduce_any(blocks == self.blocks - 1)
        return tf.size(blocks, tf.int64) * self.block_windows - tf.where(has_short, tf.cast(short, tf.int64), 0)

    def windows_at(self, epoch: tf.Tensor, group: tf.Tensor, n_windows: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """The windows of a group, counted from its first, that stand at `places` of its order, int64 [b]."""
        return permuted(places, self.seed, epoch * self.groups + group, n_windows)

    def rows_at(self, windows: tf.Tensor) -> tf.Tensor:
        """The row in the buffer that each window of a group starts with, int64 [b]."""
        return windows // self.block_windows * self.block_rows + windows % self.block_windows

    def place_of(self, step: int) -> Place:
        """Finds a step, counted over all epochs, without going through those before."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        order = permuted(tf.range(self.blocks, dtype=tf.int64), self.seed, -1 - epoch, self.blocks).numpy()
        rest = self.windows - (self.blocks - 1) * self.block_windows
        windows = np.where(order == self.blocks - 1, rest, self.block_windows)  # [blocks]
        steps = np.add.reduceat(windows, range(0, self.blocks, self.group_blocks)) // self.batch_size
        ends = np.cumsum(steps)  # [groups]
        group = int(np.searchsorted(ends, step_in_epoch, side="right"))
        return Place(epoch, group, step_in_epoch - int(ends[group] - steps[group]))


@checked
def stream_windows(
    prepared: PreparedCorpus,
    *,
    length: Count = 40,
    shift: Count = 3,
    targets: Targets = "next",
    batch_size: Count,
    first_step: Total = 0,
    shuffle_seed: Seed = 0,
    share: Share = WHOLE,
    memory: Total = MEMORY,
) -> tf.data.Dataset:
    """Makes endless batches of windows, each a pure function of (seed, epoch, step), reading from disk.

    The windows are those of `make_windows(prepared.load().train_ids, length=length, shift=shift)`, each once an epoch
    but for the `W % B` that do not fill the last batch. What a step holds depends on `memory`, which sizes the shuffle
    buffer, but not on how it is divided among pipelines and replicas.

    Args:
        prepared: the corpus; its held-out tail is left out.
        length: T, characters in a window.
        shift: distance between the starts of neighbouring windows.
        targets: "next" for the character after each window, "all" for the character after each position.
        batch_size: B, windows in a step of all replicas together.
        first_step: steps to leave out at the start, counted over all epochs.
        shuffle_seed: of the permutations.
        share: the parts of each batch to yield, each as an element of its own; all of it by default.
        memory: bytes for the buffers.

    Returns:
        A dataset of `(inputs, targets)`: inputs [B, T] of the dtype of the ids, targets [B] or [B, T] likewise; of a
        share with R parts [B / R, T], as `make_windows` yields them.

    Raises:
        UserError: a size that does not fit, an unknown kind of targets, a text shorter than a batch of windows. What
            is wrong with a shard shows when it is read: iterate inside `naming_shards`.

    >>> dataset = stream_windows(prepared, length=64, batch_size=32)  # doctest: +SKIP
    """
    rows = share.size_of(batch_size)
    plan = plan_stream(
        prepared, length=length, shift=shift, batch_size=batch_size, shuffle_seed=shuffle_seed, memory=memory
    )
    start = plan.place_of(first_step)
    first_group = start.epoch * plan.groups + start.group

    @tf.autograph.experimental.do_not_convert
    def batches_of(number: tf.Tensor, blocks: tf.Tensor, buffer: tf.Tensor) -> tf.data.Dataset:
        epoch, group = number // plan.groups, number % plan.groups
        n_windows = plan.windows_in(blocks)
        begin = tf.where(number == first_group, tf.cast(start.step, tf.int64), 0)

        def slice_of(element: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            step, part = element // share.count, share.first + element % share.count
            first = step * batch_size + part * rows
            places = tf.ensure_shape(tf.range(first, first + rows), [rows])
            first_rows = plan.rows_at(plan.windows_at(epoch, group, n_windows, places))
            return cut_windows(buffer, first_rows, length=length, targets=targets)

        elements = tf.data.Dataset.range(begin * share.count, n_windows // batch_size * share.count)
        return elements.map(slice_of, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    @tf.autograph.experimental.do_not_convert
    def group_of(number: tf.Tensor) -> tf.data.Dataset:
        blocks = plan.blocks_of(number // plan.groups, number % plan.groups)
        return _read_blocks(prepared, plan, blocks).map(lambda buffer: (number, blocks, buffer))

    return (
        tf.data.Dataset.range(first_group, _LAST)
        .flat_map(group_of)
        .prefetch(1)
        .flat_map(batches_of)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(untuned())
    )


@checked
def plan_stream(
    prepared: PreparedCorpus,
    *,
    length: Count = 40,
    shift: Count = 3,
    batch_size: Count,
    shuffle_seed: Seed = 0,
    memory: Total = MEMORY,
) -> StreamPlan:
    """Says how many windows and steps an epoch of `stream_windows` has, and where each step is."""
    return StreamPlan.of(
        prepared.split,
        prepared.dtype.itemsize,
        length=length,
        shift=shift,
        batch_size=batch_size,
        seed=shuffle_seed,
        memory=memory,
    )


@contextmanager
def naming_shards(prepared: PreparedCorpus) -> Iterator[None]:
    """Turns TensorFlow's error over a shard, while a stream is iterated inside, into a sentence that names it.

    Raises:
        UserError: a shard is missing, cut or changed.
    """
    try:
        yield
    except tf.errors.OpError:
        prepared.raise_damage()
        raise


def _read_blocks(prepared: PreparedCorpus, plan: StreamPlan, blocks: tf.Tensor) -> tf.data.Dataset:
    """One element: the blocks as rows of `shift` ids, [G * block_rows, shift]."""
    shape = [plan.block_rows * plan.shift]

    def check(block: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(checked, [block], tf.int64), [])

    def checked(block: np.int64) -> np.int64:
        begin = int(block) * plan.block_windows * plan.shift
        for shard in prepared.shards_of(begin, min(begin + shape[0], prepared.split)):
            prepared.check_shard(shard)
        return block

    def read(block: tf.Tensor) -> tf.data.Dataset:
        begin = block * plan.block_windows * plan.shift
        text = _stretch(prepared, begin, tf.minimum(begin + shape[0], prepared.split))
        return text.map(lambda data: tf.ensure_shape(_padded(tf.io.decode_raw(data, prepared.dtype), shape[0]), shape))

    return (
        tf.data.Dataset.from_tensor_slices(blocks)
        .map(check)
        .interleave(read, cycle_length=_PARALLEL_READS, num_parallel_calls=_PARALLEL_READS, deterministic=True)
        .batch(plan.group_blocks)
        .map(lambda buffer: tf.reshape(buffer, [-1, plan.shift]))
    )


def _stretch(prepared: PreparedCorpus, start: tf.Tensor, stop: tf.Tensor) -> tf.data.Dataset:
    """One element: the bytes of the ids from `start` to before `stop`, out of as many shards as they are in."""
    size, itemsize = prepared.manifest.origin.shard_characters, prepared.dtype.itemsize
    names = tf.constant([str(prepared.path(index)) for index in range(len(prepared.shards))])
    lengths = tf.constant([shard.characters for shard in prepared.shards], tf.int64)

    def piece(shard: tf.Tensor) -> tf.data.Dataset:
        first, last = tf.maximum(start - shard * size, 0), tf.minimum(stop - shard * size, lengths[shard])
        return tf.data.FixedLengthRecordDataset(
            names[shard],
            record_bytes=(last - first) * itemsize,
            header_bytes=first * itemsize,
            footer_bytes=(lengths[shard] - last) * itemsize,
        )

    pieces = tf.data.Dataset.range(start // size, (stop + size - 1) // size).flat_map(piece)
    return pieces.batch(len(prepared.shards)).map(tf.strings.reduce_join)


def _padded(ids: tf.Tensor, length: int) -> tf.Tensor:
    return tf.pad(ids, [[0, length - tf.size(ids)]])
