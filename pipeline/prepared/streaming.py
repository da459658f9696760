"""Cuts training windows out of a prepared corpus on disk, shuffled, in bounded memory.

`corpus` says where the ids are, and `stream_plan` which windows a step takes; `trainer` consumes the windows. A block
is read in one go, with the characters that its last windows share with the next one, so that none is lost. The blocks
of a group are read interleaved, and starting at any step costs reading one group.
B is the batch size, b the rows of one part of it, T the window length, G the blocks in a group.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.prepared.stream_plan import StreamPlan
from charflow.pipeline.settings import Count, Seed, Targets, Total, checked
from charflow.pipeline.untuned import untuned
from charflow.pipeline.windows import WHOLE, Share, cut_windows

MEMORY = 64 << 20
_PARALLEL_READS = 4
_LAST = np.iinfo(np.int64).max


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
        prepared.vocabulary.dtype.itemsize,
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
        prepared.files.raise_damage()
        raise


def _read_blocks(prepared: PreparedCorpus, plan: StreamPlan, blocks: tf.Tensor) -> tf.data.Dataset:
    """One element: the blocks as rows of `shift` ids, [G * block_rows, shift]."""
    shape = [plan.block_rows * plan.shift]

    def check(block: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(checked, [block], tf.int64), [])

    def checked(block: np.int64) -> np.int64:
        begin = int(block) * plan.block_windows * plan.shift
        for shard in prepared.files.holding(begin, min(begin + shape[0], prepared.split)):
            prepared.files.check(shard)
        return block

    def ids_of(data: tf.Tensor) -> tf.Tensor:
        ids = tf.io.decode_raw(data, prepared.dtype)
        return tf.ensure_shape(prepared.in_vocabulary(tf.pad(ids, [[0, shape[0] - tf.size(ids)]])), shape)

    def read(block: tf.Tensor) -> tf.data.Dataset:
        begin = block * plan.block_windows * plan.shift
        text = _stretch(prepared, begin, tf.minimum(begin + shape[0], prepared.split))
        return text.map(ids_of)

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
    names = tf.constant([str(prepared.files.path(index)) for index in range(len(prepared.shards))])
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
