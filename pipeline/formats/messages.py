"""Reads chat messages out of files, and decides which of them count.

`csv_source` found the columns of CSV files, `known_formats` reads all others into clean copies; `corpus` and `explore`
consume the messages. B is the number of rows in a batch, C that of columns.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import tensorflow as tf

from charflow.pipeline.errors import UserError, reason
from charflow.pipeline.formats import csv_source
from charflow.pipeline.formats.chat_copy import copy_chat
from charflow.pipeline.formats.chat_format import Chat, ChatFile
from charflow.pipeline.formats.csv_advice import advice_for
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.csv_repair import BadRow, clean_copy
from charflow.pipeline.formats.csv_source import CsvSource, open_source
from charflow.pipeline.formats.encodings import is_utf8, write_as_utf8
from charflow.pipeline.formats.file_types import check_end, recognise, uncovered
from charflow.pipeline.formats.folder_chats import unfolded
from charflow.pipeline.formats.inputs import InputFile, find_inputs
from charflow.pipeline.formats.known_formats import recognised
from charflow.pipeline.formats.long_messages import FEWEST_BREAKS, LongMessages, Noticed
from charflow.pipeline.scratch import scratch_file
from charflow.pipeline.settings import Natural, Paths, Texts, checked
from charflow.pipeline.untuned import untuned

_ROWS_PER_BATCH = 4096
_READ_BUFFER = 4 << 20  # bytes; 2.2 times the rows a second of the 256 kB default on a 24 MB file
_LINE_FEED, _RETURN = 10, 13

# Why a row is kept or not; the index is the code `judge` gives.
VERDICTS = ("kept", "dropped user", "other user", "empty", "too short")


@dataclass(frozen=True)
class Messages:
    """The readable rows of one or many files, in file and row order.

    Attributes:
        sources: the files, or the clean copies that stand for them.
        rows: how many rows can be read; headers do not count.
        bad_rows: those that cannot.
        repeated_headers: rows that were left out because they are the header again.
        noticed: the longest message, and fields that may have swallowed rows.
        chats: what those files are that are no CSV, and what was left out of them.
    """

    sources: tuple[CsvSource, ...]
    rows: int
    bad_rows: tuple[BadRow, ...]
    repeated_headers: int = 0
    noticed: Noticed = field(default_factory=Noticed)
    chats: tuple[Chat, ...] = ()

    @property
    def all_rows(self) -> int:
        """Rows of the files, those that were left out here too; not their first headers."""
        return self.rows + len(self.bad_rows) + self.repeated_headers

    def dataset(self) -> tf.data.Dataset:
        """Yields `(users, texts)`: string tensors of shape [B], as they stand in the files."""
        parts = [_rows_of(source) for source in self.sources]
        rows = parts[0]
        for part in parts[1:]:
            rows = rows.concatenate(part)
        return rows.prefetch(tf.data.AUTOTUNE)


@checked
def read_messages(paths: Paths, csv_format: CsvFormat | None = None) -> Messages:
    """Opens chats and checks every row once, so that reading them later cannot fail half-way.

    Args:
        paths: files, folders or globs; `-` is standard input. Compressed files and the formats of `known_formats` are
            recognised by what is in them; `.tsv` is split at tabs.
        csv_format: columns, delimiter, header, encoding, and what happens to bad rows.

    >>> messages = read_messages("chat.csv")  # doctest: +SKIP
    >>> users, texts = next(iter(messages.dataset()))  # doctest: +SKIP

    Raises:
        UserError: a missing or empty file, a missing column, or a bad row (with its file and line); its advice names
            options with which the file can be read, tried out before.
    """
    csv_format = csv_format or CsvFormat()
    files = [chat for file in find_inputs(paths) for chat in unfolded(file, csv_format)]
    read = []
    for file in files:
        try:
            read.append(_read_file(file, csv_format))
        except UserError as error:
            others = [other for other in files if other.path != file.path]
            error.advice = error.advice or advice_for(error, file, csv_format, _read_file, others)
            raise
    if not any(one.rows for one in read):
        names = ", ".join(file.name for file in files)
        raise UserError(f"{names}: there is no readable row{' below the header' if csv_format.header else ''}.")
    return Messages(
        sources=tuple(source for one in read for source in one.sources),
        rows=sum(one.rows for one in read),
        bad_rows=tuple(bad for one in read for bad in one.bad_rows),
        repeated_headers=sum(one.repeated_headers for one in read),
        noticed=Noticed.of_all([one.noticed for one in read]),
        chats=tuple(chat for one in read for chat in one.chats),
    )


def _read_file(file: InputFile, csv_format: CsvFormat) -> Messages:
    if not csv_format.names_rows:
        chat = ChatFile.of(file, recognise(file), csv_format.encoding)
        if known := recognised(chat):
            copied = copy_chat(chat, known)
            return Messages((copied.source,), copied.seen.messages, (), noticed=copied.noticed, chats=(copied.seen,))
    source = open_source(file, csv_format)
    if source.layers:
        check_end(file, source.layers)
    read = _survey(_fast(source), source) if source.plain else None
    if read is None:
        clean = clean_copy(source, scratch_file("clean.csv"), skip_bad_rows=csv_format.skip_bad_rows)
        read = Messages(
            sources=(clean.copy,),
            rows=clean.rows,
            bad_rows=tuple(clean.bad_rows),
            repeated_headers=clean.repeated_headers,
            noticed=clean.noticed,
        )
    return read


def _fast(source: CsvSource) -> CsvSource:
    """The file itself, or a copy of it, as CsvDataset can read it."""
    if is_utf8(source.encoding) and source.layers in ((), ("gzip",)):
        return source
    copy = scratch_file("utf8.csv")
    try:
        with uncovered(source.file, source.layers) as stream:
            write_as_utf8(stream, source.encoding, copy)
    except OSError as error:
        raise UserError(f"{source.name} cannot be written again as UTF-8 in {copy.parent}: {reason(error)}.") from error
    return replace(source, file=replace(source.file, path=str(copy)), layers=(), encoding="utf-8")


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


@tf.autograph.experimental.do_not_convert
def _rows_of(source: CsvSource) -> tf.data.Dataset:
    """Reads the two columns of a file that is known to be well-formed."""
    if source.repeats_header:
        fields = _csv_dataset(source, source.columns).batch(_ROWS_PER_BATCH)
        return fields.map(lambda *fields: _without_headers(source, tf.stack(fields)))
    order = sorted((source.user_index, source.text_index))  # select_cols must increase
    rows = _csv_dataset(source, 2, select_cols=order).batch(_ROWS_PER_BATCH)
    swapped = order[0] != source.user_index

    def in_order(first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return (second, first) if swapped else (first, second)

    return rows.map(in_order)


def _without_headers(source: CsvSource, fields: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes users and texts out of the fields [C, B], and leaves out the rows that are the header again."""
    kept = tf.boolean_mask(fields, ~_are_headers(fields, tf.constant(source.names)), axis=1)
    return kept[source.user_index], kept[source.text_index]


def _are_headers(fields: tf.Tensor, names: tf.Tensor) -> tf.Tensor:
    """Says which rows of fields [C, B] are the names [C], perhaps behind a byte order mark: bool [B]."""
    others = tf.reduce_all(fields[1:] == names[1:, tf.newaxis], axis=0)
    return others & ((fields[0] == names[0]) | (fields[0] == "\ufeff" + names[0]))


@tf.autograph.experimental.do_not_convert
def _survey(fast: CsvSource, source: CsvSource) -> Messages | None:
    """Parses the whole file strictly (field count and length, quotes, UTF-8); None if any row is bad.

    Args:
        fast: the file as CsvDataset can read it.
        source: the file as the user knows it.
    """
    names, text_index = tf.constant(source.names), tf.constant(source.text_index, tf.int64)
    batches = _csv_dataset(fast, fast.columns).batch(_ROWS_PER_BATCH)
    looks = batches.map(lambda *fields: _look(tf.stack(fields), names, text_index))
    long = LongMessages(source.name, source.delimiter, source.columns)
    rows, headers, line = 0, 0, source.first_line
    try:
        for look in looks.as_numpy_iterator():
            if look["longest_field"] > csv_source.LONGEST_FIELD:
                return None
            if long.longest is None or look["longest"] > long.longest.characters:
                long.see(line + int(look["longest_line"]), look["longest_text"].decode())
            for fields, above in zip(look["suspects"].T, look["suspect_lines"], strict=True):
                long.look_into(line + int(above), [field.decode() for field in fields])
            rows, line = rows + int(look["rows"]), line + int(look["lines"])
            headers += int(look["headers"]) if source.header else 0
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError, tf.errors.OutOfRangeError):
        return None
    return Messages(
        sources=(replace(fast, repeats_header=headers > 0),),
        rows=rows - headers,
        bad_rows=(),
        repeated_headers=headers,
        noticed=long.noticed(),
    )


@tf.function(  # traced once, and not for every file
    input_signature=[
        tf.TensorSpec([None, None], tf.string),
        tf.TensorSpec([None], tf.string),
        tf.TensorSpec([], tf.int64),
    ],
    autograph=False,
)
def _look(fields: tf.Tensor, names: tf.Tensor, text_index: tf.Tensor) -> dict[str, tf.Tensor]:
    """Counts what is in a batch of fields [C, B], finds its longest message and rows of many lines.

    Lines are counted from the first of the batch, which is 0.
    """
    breaks, decoded = _line_breaks(fields)
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
        # The count depends on what was decoded, because tf.data drops an op whose result nobody needs.
        "rows": tf.where(decoded >= 0, tf.size(lengths), 0),
        "headers": headers,
        "lines": tf.reduce_sum(breaks + 1),
        "longest_field": tf.reduce_max(tf.strings.length(fields)),
        "longest": lengths[longest],
        "longest_text": texts[longest],
        "longest_line": before[longest],
        "suspects": tf.gather(fields, suspects, axis=1),
        "suspect_lines": tf.gather(before, suspects),
    }


def _line_breaks(fields: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Counts the line breaks (LF, CR or both) in each row of fields [C, B], and decodes them all as UTF-8.

    One string for the batch: that is 3 times as fast as field by field.

    Returns:
        Line breaks, int64 [B]; the bytes that were decoded, int32, of which invalid UTF-8 makes an error.
    """
    joined = tf.strings.reduce_join(fields, axis=0, separator=" ")  # [B]
    whole = tf.strings.reduce_join(joined, separator=" ")
    decoded = tf.strings.unicode_transcode(whole, "UTF-8", "UTF-8", errors="strict")
    data = tf.io.decode_raw(whole, tf.uint8)  # [N]
    before_line_feed = tf.concat([data[1:] == _LINE_FEED, [False]], axis=0)
    breaks = tf.where((data == _LINE_FEED) | ((data == _RETURN) & ~before_line_feed))[:, 0]
    ends = tf.cumsum(tf.cast(tf.strings.length(joined), tf.int64) + 1)  # where each row ends in the whole
    rows = tf.searchsorted(ends, breaks, side="right")
    return tf.cast(tf.math.bincount(rows, minlength=tf.size(ends)), tf.int64), tf.strings.length(decoded)


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
