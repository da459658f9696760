"""Copies a chat of a known format into a CSV file, and says what it was.

`known_formats` recognised it; `messages` reads the copy as it reads any CSV file.
"""

from dataclasses import dataclass, replace

from charflow.pipeline.errors import UserError, reason
from charflow.pipeline.formats.chat_format import Chat, ChatFile, ChatFormat, NoMessagesError, Notes
from charflow.pipeline.formats.clean_copy import CleanCopy
from charflow.pipeline.formats.csv_source import CsvSource
from charflow.pipeline.formats.file_types import UNREADABLE
from charflow.pipeline.formats.long_messages import LongMessages, Noticed
from charflow.pipeline.scratch import scratch_file


@dataclass(frozen=True)
class CopiedChat:
    """A chat as CSV.

    Attributes:
        source: the copy.
        seen: what was copied, and what was not.
        noticed: the format, and the longest message.
    """

    source: CsvSource
    seen: Chat
    noticed: Noticed


def copy_chat(chat: ChatFile, known: ChatFormat) -> CopiedChat:
    """Copies what a format yields, in bounded memory.

    Raises:
        UserError: there is no message, or the file cannot be read.
    """
    notes, people, rows = Notes(), set(), 0
    long = LongMessages(chat.name, ",", 2)
    try:
        with CleanCopy(chat.name, scratch_file("chat.csv")) as copy:
            for user, text in (message for part in chat.parts() for message in known.read(part, notes)):
                rows += 1
                people.add(user)
                copy.write(user, text)
                long.see(0, text)
    except UNREADABLE as error:
        raise UserError(f"{chat.name} cannot be read: {reason(error)}.") from error
    if not rows:
        raise NoMessagesError(chat.name, known.title, notes)
    title = f"{known.title}, {notes.kind}" if notes.kind else known.title
    seen = Chat(chat.name, title, rows, len(people), tuple(notes.left_out.values()))
    return CopiedChat(copy.source, seen, replace(long.noticed(), formats=(f"{chat.name} is {seen}",)))
