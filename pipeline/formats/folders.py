"""Lists what may be a chat in a folder, and sums a folder up.

`inputs` takes folders as it takes files; `folder_chats` looks into the files that are listed here.
"""

import hashlib
import os
import re
from pathlib import Path, PurePath

import tensorflow as tf

from charflow.pipeline.errors import UserError, reason
from charflow.pipeline.files import VOCABULARY

_TEXTS = {".txt", ".md", ".log", ".weechatlog", ".csv", ".tsv", ".tab", ".json", ".jsonl", ".ndjson", ".parquet"}
_COMPRESSED = {".gz", ".bz2", ".xz", ".zip"}
_HIDDEN = (".", "__MACOSX")  # how names begin that no person gave


def is_folder(path: str) -> bool:
    """Says whether a path is a folder, local or remote."""
    return tf.io.gfile.isdir(path) if "://" in path else Path(path).is_dir()


def files_in(folder: str) -> list[str]:
    """Lists the files in a folder and below that may be chats, part 2 before part 10.

    Pictures and hidden files are none, nor is what a run or `charflow prepare` wrote.

    Raises:
        UserError: a folder cannot be read.
    """
    found: list[str] = []
    try:
        for place, folders, names in (tf.io.gfile.walk if "://" in folder else os.walk)(folder, onerror=_refuse):
            if VOCABULARY in names:
                folders.clear()
                continue
            folders[:] = [name for name in folders if not name.startswith(_HIDDEN)]
            found += [f"{place.rstrip('/')}/{name}" for name in names if may_be_chat(name)]
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"{folder} cannot be read: {reason(error)}.") from error
    files = (path for path in found if "://" in path or Path(path).is_file())
    return sorted(files, key=lambda path: (in_order(path), path))


def may_be_chat(path: str) -> bool:
    """Says by its name whether a file is looked at; pictures beside a chat are many, and large."""
    name = PurePath(path)
    ending = PurePath(name.stem).suffix if name.suffix.lower() in _COMPRESSED else name.suffix
    return not name.name.startswith(_HIDDEN) and (ending.lower() in _TEXTS or name.suffix.lower() == ".zip")


def in_order(path: str) -> list[list[str | int]]:
    """The key by which paths are sorted as people count.

    >>> sorted(["a/10.json", "a/9.json", "a-b/1.json"], key=in_order)
    ['a/9.json', 'a/10.json', 'a-b/1.json']
    """
    names = re.split(r"[/\\]", path)
    return [[int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)] for name in names]


def folder_sha256(folder: str) -> str:
    """Hashes names, sizes and times of the files in a folder; another content has another hash."""
    digest = hashlib.sha256()
    for path in files_in(folder):
        if "://" in path:
            remote = tf.io.gfile.stat(path)
            size, time = remote.length, remote.mtime_nsec
        else:
            size, time = Path(path).stat().st_size, Path(path).stat().st_mtime_ns
        digest.update(f"{os.path.relpath(path, folder)}\0{size}\0{time}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _refuse(error: Exception) -> None:
    raise error
