"""Finds the files that a user names, and keeps what can be read only once.

The first step of the flow: `csv_source` looks into what this module found. Paths go through `tf.io.gfile`, so remote
file systems that TensorFlow knows work like local ones; standard input and pipes are copied to a scratch file, because
a chat is read several times.
"""

import errno
import hashlib
import io
import os
import posixpath
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import tensorflow as tf

from charflow.pipeline.errors import UserError, reason
from charflow.pipeline.files import STANDARD_INPUT, is_prepared
from charflow.pipeline.formats.folders import files_in, folder_sha256, is_folder
from charflow.pipeline.places import dangling
from charflow.pipeline.scratch import scratch_file
from charflow.pipeline.settings import Paths, checked

_BLOCK = 1 << 20  # bytes


@dataclass(frozen=True)
class InputFile:
    """A file to read, or a folder of such files.

    Attributes:
        path: where it stands.
        name: what the user calls it; messages do too.
        sha256: of a file that was read from standard input or a pipe, which has no time of its own.
        parts: the files that are one chat together, in order; `path` is then that of the first.
    """

    path: str
    name: str
    sha256: str = ""
    parts: tuple["InputFile", ...] = ()

    def __fspath__(self) -> str:
        return self.path

    def identity(self) -> dict[str, Any]:
        """Says what makes it the same file the next time: name, size and modification time, or content."""
        if self.sha256:  # a pipe has another name each time
            return {"path": STANDARD_INPUT, "bytes": Path(self.path).stat().st_size, "sha256": self.sha256}
        if is_folder(self.path):
            return {"path": lasting_name(self.path), "sha256": folder_sha256(self.path)}
        if "://" in self.path:
            remote = tf.io.gfile.stat(self.path)
            return {"path": self.path, "bytes": remote.length, "mtime_ns": remote.mtime_nsec}
        local = Path(self.path).resolve()  # gfile would give the time of a local file to the second only
        return {"path": str(local), "bytes": local.stat().st_size, "mtime_ns": local.stat().st_mtime_ns}

    def beside(self, *places: str) -> "InputFile | None":
        """Another file, by its path from the folder of this one; None where there is none."""
        path, name = (posixpath.join(posixpath.dirname(here), *places) for here in (self.path, self.name))
        return InputFile(path, posixpath.normpath(name)) if tf.io.gfile.exists(path) else None


@checked
def find_inputs(paths: Paths) -> list[InputFile]:
    """Lists the files and folders that paths and globs name, in the order given, a glob's matches sorted.

    `-` is standard input. It and pipes are read here, to their end: whoever calls functions of charflow several times
    on them finds them first, and gives what was found in place of the paths.

    Raises:
        UserError: nothing was given, a file is missing or given twice, or a glob matches nothing.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise UserError("No chat was given.")
    files = [file for one in given for file in ([one] if isinstance(one, InputFile) else _expand(os.fspath(one)))]
    _check_once(files)
    return files


def is_read_once(path: str) -> bool:
    """Says whether a path can be read only once: standard input, a pipe, a socket or a terminal."""
    if path == STANDARD_INPUT:
        return True
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):  # there is none, or it is remote
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)


def lasting_name(path: str) -> str:
    """Names a path so that it can be read later, from another folder too; `-` where it can be read only once."""
    if is_read_once(path):
        return STANDARD_INPUT
    return path if "://" in path else str(Path(path).resolve())


@contextmanager
def opened(file: InputFile) -> Iterator[io.BufferedIOBase]:
    """Opens a file for reading bytes."""
    with tf.io.gfile.GFile(file.path, "rb") as remote:
        yield io.BufferedReader(_GFileStream(remote))


def _expand(pattern: str) -> list[InputFile]:
    if is_read_once(pattern):
        return [_kept(pattern)]
    if tf.io.gfile.exists(pattern):
        if is_prepared(pattern):
            raise UserError(f"{pattern} was written by charflow prepare: only charflow train reads such a folder.")
        return [InputFile(pattern, pattern)]
    if any(mark in pattern for mark in "*?["):
        if matches := sorted(tf.io.gfile.glob(pattern)):
            return [file for match in matches for file in _expand(match)]
        raise UserError(f"{pattern}: no file matches.")
    if broken := dangling(pattern):
        raise UserError(f"{broken}: mend the link, or name the file itself.")
    raise UserError(f"{pattern}: no such file.")


def _check_once(files: list[InputFile]) -> None:
    """Refuses a file that is given twice, under whichever names: its messages would count twice."""
    seen: dict[object, str] = {}
    for file in files:
        for path in files_in(file.path) if is_folder(file.path) else [file.path]:
            status = None if "://" in path else Path(path).stat()
            key = (status.st_dev, status.st_ino) if status else path
            if key in seen:
                other = "" if seen[key] == file.name else f", as {seen[key]} too"
                raise UserError(f"{file.name} is given twice{other}: name it once, or its messages would count twice.")
            seen[key] = file.name


def _kept(path: str) -> InputFile:
    """Copies standard input or a pipe to a scratch file."""
    name = "standard input" if path == STANDARD_INPUT else path
    digest, copy = hashlib.sha256(), scratch_file("stream")
    try:
        with _stream(path) as stream, copy.open("wb") as file:
            while block := stream.read(_BLOCK):
                digest.update(block)
                file.write(block)
    except OSError as error:
        raise UserError(f"{name} cannot be copied to {copy.parent}: {reason(error)}.") from error
    return InputFile(str(copy), name, digest.hexdigest())


@contextmanager
def _stream(path: str) -> Iterator[BinaryIO]:
    if path not in (STANDARD_INPUT, "/dev/stdin"):  # which cannot be opened by its name where it is a socket
        with Path(path).open("rb") as file:
            yield file
    elif sys.stdin is None:
        raise UserError("There is no standard input to read: it is closed.")
    else:
        yield sys.stdin.buffer


class _GFileStream(io.RawIOBase):
    """Lets the io module read a GFile, which lacks `readinto`."""

    def __init__(self, file: tf.io.gfile.GFile) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            self._file.seek(offset, whence)
        except tf.errors.OpError as error:
            raise OSError(errno.EINVAL, reason(error)) from error  # what readers of archives expect
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
