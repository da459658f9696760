"""Copies a chat of a known format into a CSV file, and says what it was.

`known` recognised it; `messages` reads the copy as it reads any CSV file.
"""

from dataclasses import dataclass, replace

from charflow.pipeline.errors import UserError, counted, quoted, reason
from charflow.pipeline.formats.chat_format import Chat, ChatFile, ChatFormat, Notes
from charflow.pipeline.formats.clean_copy import CleanCopy
from charflow.pipeline.formats.csv_source import CsvSource
from charflow.pipeline.formats.file_types import UNREADABLE
from charflow.pipeline.formats.known import NAMES
from charflow.pipeline.formats.long_messages import LongMessages, Noticed
from charflow.pipeline.formats.names import Names
from charflow.pipeline.scratch import scratch_file
from charflow.sentences import Sentence


@dataclass(frozen=True)
class CopiedChat:
    """A chat as CSV.

    Attributes:
        source: the copy.
        seen: what was copied, and what was not.
        noticed: the format, and the longest message.
        names: of the users.
    """

    source: CsvSource
    seen: Chat
    noticed: Noticed
    names: Names


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
        raise _no_messages(chat, known, notes)
    title = f"{known.title}, {notes.kind}" if notes.kind else known.title
    seen = Chat(chat.name, title, rows, len(people), tuple(notes.left_out.values()))
    noticed = replace(long.noticed(), formats=(f"{chat.name} is {seen}",))
    return CopiedChat(copy.source, seen, noticed, notes.names)


def _no_messages(chat: ChatFile, known: ChatFormat, notes: Notes) -> UserError:
    """Says why nothing was found, where a format was seen and where it was only asked for."""
    if known.recognises(chat):
        why = ", ".join(counted(left.count, left.reason) for left in notes.left_out.values())
        return UserError(
            f"{chat.name} is a chat of {known.title} without a message{f' ({why} left out)' if why else ''}."
        )
    return UserError(
        f"{chat.name} is not {known.title}: its first line is {quoted(chat.first_line)}.",
        advice=Sentence(f"Leave {{format}} out, or name another: {', '.join(NAMES)}."),
    )
