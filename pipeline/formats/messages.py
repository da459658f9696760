"""Reads chat messages out of files, and decides which of them count.

`csv_source` found the columns of CSV files, `known` reads all others into clean copies; `corpus` and `explore`
consume the messages. B is the number of rows in a batch, C that of columns.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import tensorflow as tf

from charflow.pipeline.errors import UserError, quoted, reason
from charflow.pipeline.formats.chat_copy import copy_chat
from charflow.pipeline.formats.chat_format import Chat, ChatFile
from charflow.pipeline.formats.csv_advice import advice_for
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.csv_repair import BadRow, clean_copy
from charflow.pipeline.formats.csv_rows import columns_of, survey
from charflow.pipeline.formats.csv_source import CsvSource, open_source
from charflow.pipeline.formats.csv_trials import Reading, other_reading
from charflow.pipeline.formats.encodings import is_utf8, write_as_utf8
from charflow.pipeline.formats.file_types import check_end, recognise, uncovered
from charflow.pipeline.formats.folder_chats import unfolded
from charflow.pipeline.formats.inputs import InputFile, find_inputs
from charflow.pipeline.formats.known import format_of
from charflow.pipeline.formats.long_messages import Noticed
from charflow.pipeline.formats.names import Names
from charflow.pipeline.scratch import scratch_file
from charflow.pipeline.settings import Natural, Paths, Texts, checked

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

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
        names: of the users of files that were copied; those of others are read when they are asked for.
    """

    sources: tuple[CsvSource, ...]
    rows: int
    bad_rows: tuple[BadRow, ...]
    repeated_headers: int = 0
    noticed: Noticed = field(default_factory=Noticed)
    chats: tuple[Chat, ...] = ()
    names: Names = field(default_factory=Names)

    @property
    def all_rows(self) -> int:
        """Rows of the files, those that were left out here too; not their first headers."""
        return self.rows + len(self.bad_rows) + self.repeated_headers

    def dataset(self) -> tf.data.Dataset:
        """Yields `(users, texts)`: string tensors of shape [B], as they stand in the files."""
        return _joined(columns_of(source, source.user_index, source.text_index) for source in self.sources)

    def users(self) -> tf.data.Dataset:
        """Yields user ids alone: string tensors of shape [B]."""
        return _joined(columns_of(source, source.user_index) for source in self.sources)

    def all_names(self) -> Names:
        """Reads what the users are called, where the files have names beside their ids."""
        found = Names.of_all([self.names])
        for source in self.sources:
            if source.name_indices:
                for users, *columns in columns_of(source, source.user_index, *source.name_indices).as_numpy_iterator():
                    for names in columns:
                        found.add_columns(users, names)
        return found


class KeptMessages(Messages):
    """Messages whose rows are in memory, for who reads them again and again: each time costs what copying them does."""

    @cached_property
    def _kept(self) -> tf.data.Dataset:
        rows = super().dataset().cache()
        for _ in rows:  # a reading that ends before the last row would keep nothing
            pass
        return rows

    def dataset(self) -> tf.data.Dataset:
        return self._kept

    def users(self) -> tf.data.Dataset:
        return self._kept.map(tf.autograph.experimental.do_not_convert(lambda users, _: users))

    @classmethod
    def of(cls, messages: Messages) -> "KeptMessages":
        """The same rows."""
        return cls(**{each.name: getattr(messages, each.name) for each in fields(messages)})


@checked
def read_messages(paths: Paths, csv_format: CsvFormat | None = None) -> Messages:
    """Opens chats and checks every row once, so that reading them later cannot fail half-way.

    Args:
        paths: files, folders or globs; `-` is standard input. Compressed files and the formats of `known` are
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
            found = other_reading(error, file, csv_format, _read_file)
            if not (found and found.is_certain):
                others = [other for other in files if other.path != file.path]
                error.advice = error.advice or advice_for(error, found, csv_format, _read_file, others)
                raise
            read.append(_told(file, replace(csv_format, **found.changes), found))
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
        names=Names.of_all(one.names for one in read),
    )


def _read_file(file: InputFile, csv_format: CsvFormat) -> Messages:
    chat = ChatFile.of(file, recognise(file), csv_format)
    if known := format_of(chat, csv_format):
        copied = copy_chat(chat, known)
        chats = (copied.seen,)
        return Messages((copied.source,), copied.seen.messages, (), 0, copied.noticed, chats, copied.names)
    source = open_source(file, csv_format, chat.found)
    if source.layers:
        check_end(file, source.layers)
    if good := survey(_fast(source), source) if source.plain else None:
        return Messages((good.source,), good.rows, (), good.repeated_headers, good.noticed)
    clean = clean_copy(source, scratch_file("clean.csv"), skip_bad_rows=csv_format.skip_bad_rows)
    bad = tuple(clean.bad_rows)
    return Messages((clean.copy,), clean.rows, bad, clean.repeated_headers, clean.noticed, names=clean.names)


def _told(file: InputFile, taken: CsvFormat, found: Reading[Messages]) -> Messages:
    """Says of a file that was read otherwise than asked for what was taken."""
    read, changes = found.result, found.changes
    encoding = f", in {taken.encoding}{found.shown}" if "encoding" in changes else ""
    if read.chats:
        chats = tuple(replace(chat, format=f"{chat.format}{encoding}") for chat in read.chats)
    else:
        split = f" split at {_DELIMITERS[taken.delimiter]}" if "delimiter" in changes else ""
        columns = f"columns {quoted(taken.user_column)} and {quoted(taken.text_column)}"
        people = len(count_users(read))
        chats = (Chat(file.name, f"CSV{split}{encoding}, {columns}", read.rows, people, left_out=()),)
    lines = tuple(f"{chat.path} is {chat}" for chat in chats)
    return replace(read, chats=chats, noticed=replace(read.noticed, formats=lines))


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
    for users in messages.users().as_numpy_iterator():
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
        verdict = tf.where(is_one_of(users, keep_users), verdict, 2)
    if drop_users:
        verdict = tf.where(is_one_of(users, drop_users), 1, verdict)
    return verdict


def is_one_of(users: tf.Tensor, names: Sequence[str]) -> tf.Tensor:
    """Says which of user ids, string [B], are among some: bool [B]."""
    return tf.reduce_any(users[:, tf.newaxis] == tf.constant(list(names)), axis=1)  # [B]


def _joined(parts: Iterable[tf.data.Dataset]) -> tf.data.Dataset:
    return functools.reduce(tf.data.Dataset.concatenate, parts).prefetch(tf.data.AUTOTUNE)
