"""Parquet, as data sets are given away: rows with columns for who wrote and what, read row group by row group."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from charflow.pipeline.errors import UserError, reason
from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat, Notes
from charflow.pipeline.formats.json_values import flat
from charflow.pipeline.formats.named_rows import messages_in, needed

_ROWS = 1024  # that are objects of Python at once


def _recognises(chat: ChatFile) -> bool:
    return chat.found.head.startswith(b"PAR1")


def _read(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    return messages_in(_rows(chat), chat, notes, of="row") if _recognises(chat) else iter(())


def _rows(chat: ChatFile) -> Iterator[tuple[dict[str, Any], str]]:
    """Reads the columns that the first row says are needed: others may be large."""
    with _opened(chat) as file:
        first = next(file.iter_batches(batch_size=1), None)
        names = needed(flat(first.to_pylist()[0]), chat) if first else None
        for batch in file.iter_batches(batch_size=_ROWS, columns=names):
            for row in batch.to_pylist():
                yield flat(row), json.dumps(row, ensure_ascii=False, default=str)


@contextmanager
def _opened(chat: ChatFile) -> Iterator[Any]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise UserError(
            f"{chat.name} is Parquet, which is read with pyarrow: install it, with pip install 'charflow[parquet]'."
        ) from error
    with chat.stream() as stream:
        try:
            yield ParquetFile(stream, pre_buffer=False)
        except (ArrowException, OSError) as error:
            raise UserError(f"{chat.name} cannot be read: {reason(error)}.") from error


FORMAT = ChatFormat(
    title="Parquet",
    files="the columns as in JSON lines; it needs `pip install 'charflow[parquet]'`",
    users="what stands there",
    changed="rows without a user or a text",
    recognises=_recognises,
    read=_read,
    kind="rows",
)
