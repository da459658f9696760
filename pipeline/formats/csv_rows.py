"""Reads the rows of CSV files that are well-formed, with CsvDataset: once to see that they are, then at will.

`csv_source` found the columns; `messages` hands all files that fail here to `csv_repair`. B is the number of rows in a
batch, C that of columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import tensorflow as tf

from charflow.pipeline.formats import csv_lines
from charflow.pipeline.formats.csv_source import CsvSource
from charflow.pipeline.formats.long_messages import FEWEST_BREAKS, LongMessages, Noticed
from charflow.pipeline.untuned import untuned

_ROWS_PER_BATCH = 4096
_READ_BUFFER = 4 << 20  # bytes; 2.2 times the rows a second of the 256 kB default on a 24 MB file
_LINE_FEED, _RETURN = 10, 13


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


@tf.autograph.experimental.do_not_convert
def survey(fast: CsvSource, source: CsvSource) -> Survey | None:
    """Parses the whole file strictly (field count and length, quotes, UTF-8); None if any row is bad.

    Args:
        fast: the file as CsvDataset can read it.
        source: the file as the user knows it.
    """
    names, text_index = tf.constant(source.names), tf.constant(source.text_index, tf.int64)
    batches = _csv_dataset(fast, fast.columns).batch(_ROWS_PER_BATCH).map(lambda *fields: tf.stack(fields))
    long = LongMessages(source.name, source.delimiter, source.columns)
    rows, headers, line = 0, 0, source.first_line
    try:
        for fields in batches:  # not mapped: a dataset would optimise the look's graph anew for every file
            look = {name: found.numpy() for name, found in _look(fields, names, text_index).items()}
            look["whole"].decode()  # 20 times as fast as TensorFlow's op, and as strict
            if look["longest_field"] > csv_lines.LONGEST_FIELD:
                return None
            if long.longest is None or look["longest"] > long.longest.characters:
                long.see(line + int(look["longest_line"]), look["longest_text"].decode())
            for row, above in zip(look["suspects"].T, look["suspect_lines"], strict=True):
                long.look_into(line + int(above), [field.decode() for field in row])
            rows, line = rows + int(look["rows"]), line + int(look["lines"])
            headers += int(look["headers"]) if source.header else 0
    except (UnicodeDecodeError, tf.errors.InvalidArgumentError, tf.errors.DataLossError, tf.errors.OutOfRangeError):
        return None
    return Survey(replace(fast, repeats_header=headers > 0), rows - headers, headers, long.noticed())


@tf.function(  # traced once, and not for every file
    input_signature=[
        tf.TensorSpec([None, None], tf.string),
        tf.TensorSpec([None], tf.string),
        tf.TensorSpec([], tf.int64),
    ],
    autograph=False,
)
def _look(fields: tf.Tensor, names: tf.Tensor, text_index: tf.Tensor) -> dict[str, tf.Tensor]:
    """Counts what is in a batch of fields [C, B], joins it, finds its longest message and rows of many lines.

    Lines are counted from the first of the batch, which is 0.
    """
    joined = tf.strings.reduce_join(fields, axis=0, separator=" ")  # [B]
    whole = tf.strings.reduce_join(joined, separator=" ")
    breaks = _line_breaks(joined, whole)
    before = tf.cumsum(breaks + 1, exclusive=True)  # lines above each row, [B]
    texts = fields[text_index]
    headers = tf.cond(  # the whole header is looked for only where its part stands: strings are slow to compare
        tf.reduce_any(texts == names[text_index]),
        lambda: tf.math.count_nonzero(_are_headers(fields, names)),
        lambda: tf.constant(0, tf.int64),
    )
    lengths = tf.strings.length(texts, unit="UTF8_CHAR")
    longest = tf.argmax(lengths)
    suspects = tf.where(breaks >= FEWEST_BREAKS)[:, 0]
    return {
        "whole": whole,
        "rows": tf.size(lengths),
        "headers": headers,
        "lines": tf.reduce_sum(breaks + 1),
        "longest_field": tf.reduce_max(tf.strings.length(fields)),
        "longest": lengths[longest],
        "longest_text": texts[longest],
        "longest_line": before[longest],
        "suspects": tf.gather(fields, suspects, axis=1),
        "suspect_lines": tf.gather(before, suspects),
    }


def _line_breaks(joined: tf.Tensor, whole: tf.Tensor) -> tf.Tensor:
    """Counts the line breaks (LF, CR or both) in each row, int64 [B], whose fields are joined [B], and all rows too.

    In one string: that is 3 times as fast as row by row.
    """
    data = tf.io.decode_raw(whole, tf.uint8)  # [N]
    before_line_feed = tf.concat([data[1:] == _LINE_FEED, [False]], axis=0)
    breaks = tf.where((data == _LINE_FEED) | ((data == _RETURN) & ~before_line_feed))[:, 0]
    ends = tf.cumsum(tf.cast(tf.strings.length(joined), tf.int64) + 1)  # where each row ends in the whole
    rows = tf.searchsorted(ends, breaks, side="right")
    return tf.cast(tf.math.bincount(rows, minlength=tf.size(ends)), tf.int64)


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
