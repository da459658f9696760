"""The arithmetic of a stream of windows: which windows, of which blocks, a step takes.

A block is K consecutive windows. An epoch puts the blocks in a random order and deals them out into groups; a group is
the shuffle buffer, whose windows come in a random order. Both orders are permutations that
`tf.random.experimental.index_shuffle` computes from a seed, so the place of a step (epoch, group, step in the group) is
found without going through those before. `streaming` reads what is planned here.
B is the batch size, b the rows of one part of it, T the window length, G the blocks in a group.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from charflow.pipeline.errors import UserError, counted
from charflow.pipeline.windows import count_windows, permuted, rows_per_window

_GROUPS_IN_MEMORY = 4  # one is trained on, one waits, and one is put together out of its blocks
_BLOCK_BYTES = 256 << 10  # long enough for a disk to read at full speed
_BLOCKS_PER_GROUP = 64  # where memory is small, blocks are smaller, so that a group still mixes many places


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
