"""Finds the chats in a folder, or in an archive of several files: which files make one, and in which order.

`inputs` found the folder, and `known` tells what each file in it is; `messages` reads what comes out as it
reads a file that was named.
"""

import os
from collections import defaultdict
from dataclasses import replace

from charflow.pipeline.errors import UserError, quoted_list
from charflow.pipeline.formats.archives import unpacked
from charflow.pipeline.formats.chat_format import KINDS, ChatFile, ChatFormat
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.file_types import recognise
from charflow.pipeline.formats.folders import files_in, is_folder
from charflow.pipeline.formats.inputs import InputFile
from charflow.pipeline.formats.known import format_of, formats, titles

_TABLES = (".csv", ".tsv", ".tab")


def unfolded(file: InputFile, csv_format: CsvFormat) -> list[InputFile]:
    """Gives what is to be read of a folder or an archive of several files; a file is given back as it is.

    All files in a format of chats are one input, whose `parts` they are. Where there is no such file, each table is
    an input, as a glob would give them, and where there is none, each text.

    Raises:
        UserError: no chat is in it, or a file cannot be read.
    """
    members = _members(file)
    if members is None:
        return [file]
    found: dict[ChatFormat | None, list[InputFile]] = defaultdict(list)
    for member in members:
        known, is_table = _look(member, csv_format)
        if known or is_table:
            found[known].append(member)
    for kind in KINDS:  # only files of the first kind that is there are read
        if some := [(known, found[known]) for known in (*formats(), None) if known in found and _kind(known) == kind]:
            return [one for known, files in some for one in _grouped(file, known, files)]
    texts = quoted_list((member.name.removeprefix(file.name).lstrip("/") for member in members), most=5)
    raise UserError(
        f"{file.name} holds no file in a format that charflow reads ({titles()}): "
        f"{f'its texts are {texts}' if members else 'it has no text'}.",
        advice="Export the chat as JSON, text or CSV.",
    )


def _members(file: InputFile) -> list[InputFile] | None:
    """The files of a folder or of an archive of several, and of those in it; None where the file is neither."""
    folder = file.path if is_folder(file.path) else unpacked(file)
    if folder is None:
        return None
    members = []
    for path in files_in(folder):
        member = InputFile(path, f"{file.name.rstrip('/')}/{os.path.relpath(path, folder)}")
        members += _members(member) or [member]
    return members


def _look(file: InputFile, csv_format: CsvFormat) -> tuple[ChatFormat | None, bool]:
    """Says which format a file has, and whether it may be a table."""
    try:
        found = recognise(file)
    except UserError as error:
        if error.__cause__:  # it cannot be read; otherwise it is a picture or the like
            raise
        return None, False
    is_table = found.inner_name.lower().endswith(_TABLES)
    chat = ChatFile.of(file, found, csv_format)
    known = format_of(chat, csv_format)
    return known if known and known.recognises(chat) else None, is_table


def _kind(known: ChatFormat | None) -> str:
    return known.kind if known else "rows"


def _grouped(folder: InputFile, known: ChatFormat | None, files: list[InputFile]) -> list[InputFile]:
    if known is None or known.kind != "chat":
        return files
    parts = tuple(known.pick(files))
    return [parts[0]] if len(parts) == 1 else [replace(parts[0], name=folder.name, parts=parts)]
