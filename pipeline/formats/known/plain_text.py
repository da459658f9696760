"""Plain text, such as a book: one author, called after the file; a message a paragraph, whose line breaks stay."""

import re
from collections.abc import Iterator
from pathlib import PurePath

from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat, Notes
from charflow.pipeline.formats.csv_lines import is_table
from charflow.pipeline.formats.file_types import text_type

_TABLES = (".csv", ".tsv", ".tab")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_LOGGED = re.compile(r"[\W_]{0,3}\d{1,4}[:./-]\d{1,2}[:./-]?\d*|<[^<>\s]{1,40}> ")  # a time, or who speaks: of a log
_LOG = 0.5  # of the lines begin so
_LONGEST = 1 << 16  # characters; a longer paragraph is cut at a blank, which stands between messages anyway


def _recognises(chat: ChatFile) -> bool:
    head = chat.head
    if chat.found.inner_name.lower().endswith(_TABLES) or head.lstrip()[:1] in ("", "{"):
        return False
    lines = chat.head_lines()
    return not (text_type(chat.found.head) or _CONTROLS.search(head) or is_table(lines) or _is_log(lines))


def _is_log(lines: list[str]) -> bool:
    """Says whether the lines look like a chat's that no format knows: its people are not one author."""
    return sum(bool(_LOGGED.match(line)) for line in lines) >= _LOG * len(lines)


def _read(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    author = PurePath(chat.found.inner_name).stem or "text"
    return ((author, text) for text in map(_without_ends, _paragraphs(chat.pieces(_LONGEST))) if text)


def _paragraphs(pieces: Iterator[str]) -> Iterator[str]:
    paragraph = ""
    for piece in pieces:
        if not piece.strip() and paragraph[-1:] in ("", "\n", "\r") and piece.endswith(("\n", "\r")):
            yield paragraph
            paragraph = ""
            continue
        paragraph += piece
        while len(paragraph) > _LONGEST:
            blank = paragraph.rfind(" ", 1, _LONGEST)
            end, begin = (blank, blank + 1) if blank > 0 else (_LONGEST, _LONGEST)
            yield paragraph[:end]
            paragraph = paragraph[begin:]
    yield paragraph


def _without_ends(paragraph: str) -> str:
    return paragraph.replace("\r\n", "\n").replace("\r", "\n").strip("\n")


FORMAT = ChatFormat(
    title="plain text",
    files="any other text, such as a book: a message a paragraph",
    users="the file's name",
    changed="nothing",
    recognises=_recognises,
    read=_read,
    kind="prose",
)
