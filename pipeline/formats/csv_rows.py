"""Reads the rows of CSV files that are well-formed, with CsvDataset, at will, after one look that says that they are.

`csv_source` found the columns; `messages` hands all files that fail here to `csv_repair`. `csv_check` looks at blocks
of the file, far faster than CsvDataset reads and as strictly: tests compare both. B is the number of rows in a batch,
C that of columns.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import tensorflow as tf

from charflow.pipeline.cores import usable_cores
from charflow.pipeline.formats.csv_blocks import LongRowError, row_blocks
from charflow.pipeline.formats.csv_check import Checked, check_block
from charflow.pipeline.formats.csv_source import CsvSource
from charflow.pipeline.formats.file_types import uncovered
from charflow.pipeline.formats.long_messages import LongMessages, Noticed
from charflow.pipeline.untuned import untuned

_ROWS_PER_BATCH = 4096
_BLOCK = 1 << 20  # bytes that are checked at once: what is computed of them stays in a core's cache
_READ_BUFFER = 4 << 20  # bytes; 2.2 times the rows a second of the 256 kB default on a 24 MB file


@dataclass(frozen=True)
class Survey:
    """What a file without a bad row has.

    Attributes:
        source: as CsvDataset reads it.
        rows: how many, without headers.
        repeated_headers: rows that are the header again.
        noticed: what was noticed about the messages.
    """

    source: CsvSource
    rows: int
    repeated_headers: int
    noticed: Noticed


@tf.autograph.experimental.do_not_convert
def columns_of(source: CsvSource, *indices: int) -> tf.data.Dataset:
    """Reads some columns of a file that is known to be well-formed: tuples of [B], of one column [B]."""
    if source.repeats_header:
        fields = _csv_dataset(source, source.columns).batch(_ROWS_PER_BATCH)
        return fields.map(lambda *fields: _in_order(_without_headers(source, tf.stack(fields)), indices))
    order = sorted(indices)  # select_cols must increase
    rows = _csv_dataset(source, len(order), select_cols=order).batch(_ROWS_PER_BATCH)
    return rows.map(lambda *fields: _in_order(fields, [order.index(index) for index in indices]))


def _in_order(columns: Sequence[tf.Tensor], indices: Sequence[int]) -> tf.Tensor | tuple[tf.Tensor, ...]:
    chosen = tuple(columns[index] for index in indices)
    return chosen if len(chosen) > 1 else chosen[0]


def _without_headers(source: CsvSource, fields: tf.Tensor) -> tf.Tensor:
    """Leaves out of the fields [C, B] the rows that are the header again."""
    return tf.boolean_mask(fields, ~_are_headers(fields, tf.constant(source.names)), axis=1)


def _are_headers(fields: tf.Tensor, names: tf.Tensor) -> tf.Tensor:
    """Says which rows of fields [C, B] are the names [C], perhaps behind a byte order mark: bool [B]."""
    others = tf.reduce_all(fields[1:] == names[1:, tf.newaxis], axis=0)
    return others & ((fields[0] == names[0]) | (fields[0] == "\ufeff" + names[0]))


def survey(fast: CsvSource, source: CsvSource) -> Survey | None:
    """Looks at the whole file strictly (field count and length, quotes, UTF-8); None if any row is bad.

    Args:
        fast: the file as CsvDataset can read it.
        source: the file as the user knows it.
    """
    long = LongMessages(source.name, source.delimiter, source.columns)
    rows, headers, line = 0, 0, source.first_line
    try:
        for found in _checked_blocks(fast):
            if found is None:
                return None
            if found.longest:
                long.see(line + found.longest.above, found.longest.text)
            for suspect in found.suspects:
                long.look_into(line + suspect.above, [suspect.text])
            rows, headers, line = rows + found.rows, headers + found.headers, line + found.lines
    except LongRowError:
        return None
    good = replace(fast, repeats_header=headers > 0)
    if fast.layers and _count_rows(good) != rows - headers:
        return None
    return Survey(good, rows - headers, headers, long.noticed())


def _checked_blocks(source: CsvSource) -> Iterator[Checked | None]:
    """Checks as many blocks at once as there are cores; yields what is in each, in their order."""
    cores = usable_cores()
    waiting: deque[Future[Checked | None]] = deque()
    with uncovered(source.file, source.layers) as stream, ThreadPoolExecutor(cores) as pool:
        for index, block in enumerate(row_blocks(stream, _BLOCK)):
            waiting.append(pool.submit(check_block, block, source, has_header=source.header and not index))
            if len(waiting) > cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _count_rows(source: CsvSource) -> int | None:
    """Counts what CsvDataset reads of a compressed file, which it uncovers by itself; None where it cannot."""
    try:
        return sum(len(users) for users in columns_of(source, source.user_index))
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError, tf.errors.OutOfRangeError):
        return None


def _csv_dataset(source: CsvSource, columns: int, select_cols: list[int] | None = None) -> tf.data.Dataset:
    # Defaults instead of required dtypes: a required string column refuses the first empty text.
    return tf.data.experimental.CsvDataset(
        source.file.path,
        [tf.constant([""])] * columns,
        compression_type="GZIP" if source.layers else None,
        buffer_size=_READ_BUFFER,
        header=source.header,
        field_delim=source.delimiter,
        select_cols=select_cols,
    ).with_options(untuned())
