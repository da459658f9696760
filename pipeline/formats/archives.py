"""Unpacks the texts of a zip archive that holds more than one chat, such as a whole export.

`file_types` reads an archive of one chat as it is.
"""

import os
import zipfile

from charflow.pipeline.errors import UserError, reason
from charflow.pipeline.formats.file_types import UNREADABLE, holds_several
from charflow.pipeline.formats.folders import may_be_chat
from charflow.pipeline.formats.inputs import InputFile, opened
from charflow.pipeline.scratch import scratch_file


def unpacked(file: InputFile) -> str | None:
    """Writes the texts of an archive into a scratch folder, and names it; None where the file is no such archive.

    Raises:
        UserError: a text cannot be read or written.
    """
    try:
        with opened(file) as stream:
            if not zipfile.is_zipfile(stream):
                return None
            archive = zipfile.ZipFile(stream)
            return _extracted(archive) if holds_several(archive) else None
    except (*UNREADABLE, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # the last two of zipfile
        raise UserError(f"{file.name} cannot be unpacked: {reason(error)}.") from error


def _extracted(archive: zipfile.ZipFile) -> str:
    folder = scratch_file("archive")
    for member in archive.infolist():
        if not member.is_dir() and may_be_chat(member.filename):
            archive.extract(member, folder)
    folder.mkdir(exist_ok=True)
    return os.fspath(folder)
