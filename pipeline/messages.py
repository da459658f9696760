"""Reads chat messages out of CSV files, and decides which of them count.

`csv_source` found the files; `corpus` and `explore` consume the messages. B is the number of rows in a batch.
"""

import atexit
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from charflow.pipeline.csv_repair import BadRow, clean_copy
from charflow.pipeline.csv_source import CsvFormat, CsvSource, check_gzip, find_sources
from charflow.pipeline.errors import UserError
from charflow.pipeline.settings import Natural, Paths, Texts, checked
from charflow.pipeline.untuned import untuned

_ROWS_PER_BATCH = 4096
_READ_BUFFER = 4 << 20  # bytes; 2.2 times the rows a second of the 256 kB default on a 24 MB file

# Why a row is kept or not; the index is the code `judge` gives.
VERDICTS = ("kept", "dropped user", "other user", "empty", "too short")


@dataclass(frozen=True)
class Messages:
    """The readable rows of one or many files, in file and row order."""

    sources: tuple[CsvSource, ...]
    rows: int
    bad_rows: tuple[BadRow, ...]

    def dataset(self) -> tf.data.Dataset:
        """Yields `(users, texts)`: string tensors of shape [B], as they stand in the files."""
        parts = [_rows_of(source) for source in self.sources]
        rows = parts[0]
        for part in parts[1:]:
            rows = rows.concatenate(part)
        return rows.prefetch(tf.data.AUTOTUNE)


@checked
def read_messages(paths: Paths, csv_format: CsvFormat | None = None) -> Messages:
    """Opens CSV files and checks every row once, so that reading them later cannot fail half-way.

    Args:
        paths: files or globs; `.gz` is decompressed, `.tsv` is split at tabs.
        csv_format: columns, delimiter, header, and what happens to bad rows.

    >>> messages = read_messages("chat.csv")  # doctest: +SKIP
    >>> users, texts = next(iter(messages.dataset()))  # doctest: +SKIP

    Raises:
        UserError: a missing or empty file, a missing column, or a bad row (with its file and line).
    """
    csv_format = csv_format or CsvFormat()
    sources: list[CsvSource] = []
    bad_rows: list[BadRow] = []
    rows = 0
    for source in find_sources(paths, csv_format):
        if source.compressed:
            check_gzip(source.path)
        count = _count_valid(source) if source.plain else None
        if count is None:
            source, bad = clean_copy(source, _scratch_folder(), skip_bad_rows=csv_format.skip_bad_rows)
            bad_rows += bad
            count = _count_valid(source) or 0
        sources.append(source)
        rows += count
    if not rows:
        names = ", ".join(source.path for source in find_sources(paths, csv_format))
        raise UserError(f"{names}: there is no readable row{' below the header' if csv_format.header else ''}.")
    return Messages(tuple(sources), rows, tuple(bad_rows))


def count_users(messages: Messages) -> Counter[str]:
    """Counts rows by user id."""
    counts: Counter[str] = Counter()
    for users, _ in messages.dataset().as_numpy_iterator():
        counts.update(user.decode() for user in users)
    return counts


@checked
def judge(
    users: tf.Tensor,
    texts: tf.Tensor,
    *,
    keep_users: Texts = (),
    drop_users: Texts = (),
    min_length: Natural = 1,
) -> tf.Tensor:
    """Says for each row why it counts or not, as an index into `VERDICTS`.

    The first rule that applies decides: dropped user, other user (when `keep_users` names some), empty, too short.

    Args:
        users: user ids, string [B].
        texts: messages, string [B].
        min_length: least number of Unicode code points.

    Returns:
        Verdicts, int32 [B].
    """
    length = tf.strings.length(texts, unit="UTF8_CHAR")  # [B]
    verdict = tf.where(length == 0, 3, tf.where(length < min_length, 4, 0))
    if keep_users:
        verdict = tf.where(_is_one_of(users, keep_users), verdict, 2)
    if drop_users:
        verdict = tf.where(_is_one_of(users, drop_users), 1, verdict)
    return verdict


def _is_one_of(users: tf.Tensor, names: Sequence[str]) -> tf.Tensor:
    return tf.reduce_any(users[:, tf.newaxis] == tf.constant(list(names)), axis=1)  # [B]


def _rows_of(source: CsvSource) -> tf.data.Dataset:
    """Reads the two columns of a file that is known to be well-formed."""
    order = sorted((source.user_index, source.text_index))  # select_cols must increase
    rows = _csv_dataset(source, 2, select_cols=order).batch(_ROWS_PER_BATCH)
    swapped = order[0] != source.user_index

    def in_order(first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return (second, first) if swapped else (first, second)

    return rows.map(in_order)


def _count_valid(source: CsvSource) -> int | None:
    """Parses the whole file strictly (field count, quotes, UTF-8) and counts its rows; None if any is bad."""

    def check(*fields: tf.Tensor) -> tf.Tensor:
        # One string for the batch: decoding is 3 times as fast as field by field. The count must depend on what was
        # decoded, because tf.data drops an op whose result nobody needs.
        whole = tf.strings.reduce_join(tf.stack(fields), separator="\n")
        decoded = tf.strings.unicode_transcode(whole, "UTF-8", "UTF-8", errors="strict")
        return tf.where(tf.strings.length(decoded) >= 0, tf.size(fields[0]), 0)

    batches = _csv_dataset(source, source.columns).batch(_ROWS_PER_BATCH).map(check)
    try:
        return int(batches.reduce(0, lambda total, rows: total + rows))
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError, tf.errors.OutOfRangeError):
        return None


def _csv_dataset(source: CsvSource, columns: int, select_cols: list[int] | None = None) -> tf.data.Dataset:
    # Defaults instead of required dtypes: a required string column refuses the first empty text.
    return tf.data.experimental.CsvDataset(
        source.path,
        [tf.constant([""])] * columns,
        compression_type="GZIP" if source.compressed else None,
        buffer_size=_READ_BUFFER,
        header=source.header,
        field_delim=source.delimiter,
        select_cols=select_cols,
    ).with_options(untuned())


def _scratch_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="charflow-clean-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
