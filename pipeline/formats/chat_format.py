"""What a chat format is: a name, how its files are recognised, and a generator of who wrote what.

`known` lists them, `messages` reads a file in one of them by way of a clean copy. A format knows neither
TensorFlow nor settings: it is given a `ChatFile`, and tells `Notes` what it leaves out and why.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import Literal, get_args

from charflow.pipeline.errors import counted
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.csv_lines import lines_of
from charflow.pipeline.formats.csv_repair import BadRow, BadRowsError
from charflow.pipeline.formats.encodings import is_utf8, marked_encoding
from charflow.pipeline.formats.file_types import Recognised, recognise, uncovered
from charflow.pipeline.formats.inputs import InputFile
from charflow.pipeline.formats.names import Names

_EXAMPLE = 200  # characters that are kept of a line that was left out
_DAMAGED = re.compile("[\udc80-\udcff]")  # how `lines_of` shows bytes that are not in the encoding
_HEAD_LINES = 20
_BLOCK_LINES = 4096

Kind = Literal["chat", "rows", "prose"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class LeftOut:
    """What was left out of a chat for one reason.

    Attributes:
        reason: what it is, in the singular, such as "system line".
        count: how many there are.
        example: how the first of them begins.
    """

    reason: str
    count: int
    example: str


@dataclass(frozen=True)
class Chat:
    """What a file turned out to be.

    Attributes:
        path: what the user calls it.
        format: such as "WhatsApp, iOS, day first".
        messages: how many were read.
        people: how many wrote them.
        left_out: what was not, by reason.
    """

    path: str
    format: str
    messages: int
    people: int
    left_out: tuple[LeftOut, ...]

    def __str__(self) -> str:
        people = "1 person" if self.people == 1 else f"{self.people:,} people"
        *most, last = ["", *(counted(left.count, left.reason) for left in self.left_out)]
        left_out = f", {' and '.join(filter(None, [', '.join(most[1:]), last]))} left out" if last else ""
        return f"{self.format}: {counted(self.messages, 'message')} of {people}{left_out}"


@dataclass
class Notes:
    """What a reader tells beside the messages.

    Attributes:
        kind: of the format, such as "iOS, day first"; empty where there is one kind only.
        left_out: count and first example, by reason.
        names: what users are called whom `read` tells by an id: `notes.names.add(user, name)` for each message.
    """

    kind: str = ""
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    names: Names = field(default_factory=Names)

    def leave_out(self, reason: str, example: str) -> None:
        """Counts something that is no message; `reason` is a noun in the singular."""
        before = self.left_out.get(reason)
        shown = before.example if before else example[:_EXAMPLE]
        self.left_out[reason] = LeftOut(reason, before.count + 1 if before else 1, shown)

    def signed(self, user: str, text: str, *names: str, wordless: str) -> Iterator[tuple[str, str]]:
        """Yields a message, and learns what its writer is called; leaves it out without a text, or without a writer.

        `wordless` says what stands there in place of a text.
        """
        if not text:
            self.leave_out("empty message", wordless)
        elif not user:
            self.leave_out("unsigned message", text)
        else:
            for name in names:
                self.names.add(user, name)
            yield user, text


@dataclass(frozen=True)
class ChatFile:
    """A file as a format sees it: uncompressed, decoded.

    Attributes:
        file: what is read.
        found: the compressions over it, and how it begins.
        encoding: of its characters.
        columns: what was asked for as `user_column` and `text_column`; empty where it was not.
    """

    file: InputFile
    found: Recognised
    encoding: str
    columns: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, file: InputFile, found: Recognised, asked: CsvFormat) -> "ChatFile":
        """Takes the encoding that a mark in the file tells, where UTF-8 is asked for."""
        marked = marked_encoding(found.head) if is_utf8(asked.encoding) else None
        return cls(file, found, marked or asked.encoding, asked.named_columns)

    @property
    def name(self) -> str:
        """What messages call the file."""
        return self.file.name

    @property
    def layers(self) -> tuple[str, ...]:
        """The compressions over it."""
        return self.found.layers

    @property
    def head(self) -> str:
        """How its text begins."""
        return self.found.text(self.encoding)

    @property
    def first_line(self) -> str:
        """The first of its lines that is not blank; "" without one."""
        return self.found.first_line(self.encoding)

    def head_lines(self) -> list[str]:
        """Its first lines that are not blank."""
        return self.found.lines(self.encoding)[:_HEAD_LINES]

    def parts(self) -> Iterator["ChatFile"]:
        """Yields the files that are the chat together, or the one that it is."""
        return (replace(self, file=part, found=recognise(part)) for part in self.file.parts or (self.file,))

    def stream(self) -> "io.BufferedIOBase":
        """Opens its bytes, uncompressed; a context manager."""
        return uncovered(self.file, self.layers)  # type: ignore[return-value]

    def lines(self) -> Iterator[str]:
        """Yields its lines without their ends; raises as `pieces` does."""
        return (line.rstrip("\r\n") for line in self.pieces())

    def blocks(self) -> Iterator[str]:
        """Yields its text, many lines at once: each block begins with a line feed, and ends before one.

        That is several times as fast as line by line.

        Raises:
            BadRowsError: there are bytes that are not in the encoding.
        """
        lines = lines_of(self.file, self.layers, self.encoding)
        for first in count(1, _BLOCK_LINES):
            block = list(islice(lines, _BLOCK_LINES))
            if not block:
                return
            text = "".join(block)
            if not text.isascii() and _DAMAGED.search(text):
                for number, line in enumerate(block, first):
                    self._check(number, line)
            text = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
            yield f"\n{text}"

    def pieces(self, longest: int = -1) -> Iterator[str]:
        """Yields its lines with their ends, those of more than `longest` characters in several pieces.

        Raises:
            BadRowsError: a piece has bytes that are not in the encoding.
        """
        for number, piece in enumerate(lines_of(self.file, self.layers, self.encoding, longest), 1):
            self._check(number, piece)
            yield piece

    def _check(self, number: int, line: str) -> None:
        if not line.isascii() and _DAMAGED.search(line):
            encoding = "UTF-8" if is_utf8(self.encoding) else self.encoding
            bad = BadRow(self.name, number, f"the line has bytes that are not {encoding}")
            raise BadRowsError(self, [bad], good=0, undecodable=1)


@dataclass(frozen=True, kw_only=True)
class ChatFormat:
    """One way in which programs write chats down.

    Attributes:
        title: what people call it.
        files: what is read, for the documentation; so are the next two.
        users: what `--user` takes.
        changed: what is left out, or not as in the file.
        recognises: says by its beginning whether a file is such a chat.
        read: yields `(user, text)` in the file's order, in bounded memory; the user by what never changes, such as an
            id, where there is that.
        kind: what such a file holds: a chat, rows of any kind, or prose. Where a folder has chats, only they are read.
        pick: says which files of a folder are read, and in which order; it is given them sorted, part 2 before part 10.
    """

    title: str
    files: str
    users: str
    changed: str
    recognises: Callable[[ChatFile], bool]
    read: Callable[[ChatFile, Notes], Iterator[tuple[str, str]]]
    kind: Kind = "chat"
    pick: Callable[[list[InputFile]], list[InputFile]] = field(default=list)
