"""Recognises what a file is by its first bytes, whatever its name: reads compressed ones, names those that are no CSV.

`inputs` found the file; `csv_source` reads the bytes that this module uncovers. The table is our own because of its
last column: a library that names many more types cannot say what to do with a chat in one of them.
"""

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import tensorflow as tf

from charflow.pipeline.errors import UserError, counted, quoted_list, reason
from charflow.pipeline.formats.inputs import InputFile, opened

HEAD = 1 << 16  # bytes that decide what a file is
_MOST_LAYERS = 4  # of compression, one in another
UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, tf.errors.OpError)

_TO_CSV = "write its messages to a CSV file"
_PANDAS = f"{_TO_CSV}, such as with pandas.read_{{}}(…).to_csv(…)"
_SHEET = "save its sheet as CSV UTF-8"
_UNPACK = "unpack it and name the chats that were in it"
_OTHER = "name the text that was exported with it"


class _Type(NamedTuple):
    """How a file begins that charflow does not read, what it is called, and what to do."""

    begins: re.Pattern[bytes]
    name: str
    advice: str


def _types(*rows: tuple[bytes, str, str]) -> tuple[_Type, ...]:
    return tuple(_Type(re.compile(begins, re.DOTALL), name, advice) for begins, name, advice in rows)


_BINARY = _types(
    (rb"\x28\xb5\x2f\xfd", "compressed by zstd", "uncompress it with zstd -d"),
    (rb"\x04\x22\x4d\x18", "compressed by lz4", "uncompress it with lz4 -d"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (rb"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (rb".{257}ustar", "a tar archive", _UNPACK),
    (rb"ARROW1|FEA1", "an Arrow (Feather) file", _PANDAS.format("feather")),
    (rb"ORC[\x00-\x1f]", "ORC", _PANDAS.format("orc")),
    (rb"Obj\x01", "Avro", _TO_CSV),
    (rb"SQLite format 3\x00", "an SQLite database", f"{_TO_CSV} with sqlite3 -header -csv FILE 'SELECT …'"),
    (rb"\x89HDF\r\n\x1a\n", "HDF5", _PANDAS.format("hdf")),
    (rb"\x80[\x02-\x05]", "a Python pickle", _PANDAS.format("pickle")),
    (rb"\x93NUMPY", "a NumPy array", _TO_CSV),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (.xls, .doc)", _SHEET),
    (rb"%PDF-", "PDF", _TO_CSV),
    (rb"\x89PNG\r\n\x1a\n", "a PNG image", _OTHER),
    (rb"\xff\xd8\xff", "a JPEG image", _OTHER),
    (rb"GIF8[79]a", "a GIF image", _OTHER),
    (rb"RIFF....WEBP", "a WebP image", _OTHER),
    (rb"\x7fELF|MZ.\x00|\xcf\xfa\xed\xfe", "a program", _OTHER),
)
_TEXT = _types(  # which a CSV file may begin with too: they explain only why no column was found
    (
        rb"\s*\{[^\n]*\}[ \r]*\n\s*\{",
        "JSON Lines",
        f"{_TO_CSV}, such as with pandas.read_json(…, lines=True).to_csv(…)",
    ),
    (rb"\s*[\[{]\s*[\[{\"\]}]", "JSON", _PANDAS.format("json")),
    (  # of which pandas makes a list of tables
        rb"(?i)\s*<(!doctype html|html|head|body|table|div|p)\b",
        "HTML",
        f"{_TO_CSV}, such as with pandas.read_html(…)[0].to_csv(…)",
    ),
    (rb"\s*<\?xml|\s*<[a-zA-Z][\w:-]*[\s>]", "XML", _TO_CSV),
    (rb"\{\\rtf", "RTF", "save it as plain text"),
)
_TEXTS = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson")
_OFFICE = (  # names of members that tell what a zip archive is
    ("xl/", "an Excel workbook", _SHEET),
    ("word/", "a Word document", "save it as plain text"),
    ("ppt/", "a PowerPoint document", _OTHER),
    ("content.xml", "an OpenDocument file", _SHEET),
)


class Recognised(NamedTuple):
    """What stands at the bottom of a file.

    Attributes:
        layers: the compressions over it, from the outside.
        head: the first bytes under them.
        inner_name: of the file, without what the compressions added.
    """

    layers: tuple[str, ...]
    head: bytes
    inner_name: str

    def text(self, encoding: str) -> str:
        """How its text begins, without a byte order mark."""
        return self.head.decode(encoding, errors="replace").removeprefix("\ufeff")

    def lines(self, encoding: str) -> list[str]:
        """The lines it begins with that are not blank."""
        return [line for line in self.text(encoding).splitlines() if line.strip()]

    def first_line(self, encoding: str) -> str:
        """The first of them; "" without one."""
        return next(iter(self.lines(encoding)), "")


def recognise(file: InputFile) -> Recognised:
    """Looks at the first bytes of a file, and of what is compressed in it.

    Raises:
        UserError: it cannot be read, or is of a type that charflow does not read.
    """
    layers: list[str] = []
    name = file.name
    with _failing("cannot be read", file):
        while True:
            with uncovered(file, layers) as stream:
                head = stream.read(HEAD)
            layer = next((layer for layer, (begins, _) in _LAYERS.items() if begins.match(head)), None)
            if layer is None or len(layers) == _MOST_LAYERS:
                break
            if layer == "zip":
                with uncovered(file, layers) as stream:
                    name = _only_member(file, stream)
            layers.append(layer)
            name = name.removesuffix({"gzip": ".gz", "bzip2": ".bz2", "xz": ".xz", "zip": ".zip"}[layer])
    if found := next((kind for kind in _BINARY if kind.begins.match(head)), None):
        inside = f"{' in '.join(['', *reversed(layers)])}" if layers else ""
        raise UserError(f"{file.name} is {found.name}{inside}, which charflow does not read: {found.advice}.")
    return Recognised(tuple(layers), head, name)


def text_type(head: bytes) -> tuple[str, str] | None:
    """Names a type of text other than CSV that a file begins like, and says what to do with it."""
    found = next((kind for kind in _TEXT if kind.begins.match(head.removeprefix(b"\xef\xbb\xbf"))), None)
    return (found.name, found.advice) if found else None


@contextmanager
def uncovered(file: InputFile, layers: list[str] | tuple[str, ...]) -> Iterator[io.BufferedIOBase]:
    """Opens what is under the layers."""
    with opened(file) as stream:
        for layer in layers:
            stream = _LAYERS[layer][1](stream)
        yield stream


def check_end(file: InputFile, layers: tuple[str, ...]) -> None:
    """Reads a compressed file to its end; CsvDataset would take the end of a truncated one for the end of the data.

    Raises:
        UserError: the file is damaged or cut short.
    """
    with _failing("cannot be read to its end", file), uncovered(file, layers) as stream:
        while stream.read(HEAD):
            pass


@contextmanager
def _failing(how: str, file: InputFile) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except (*UNREADABLE, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # the last two of zipfile
        raise UserError(f"{file.name} {how}: {reason(error)}{_remedy(error)}.") from error


def _remedy(error: Exception) -> str:
    """What to do about an archive, as a clause; nothing where the system is at fault."""
    if isinstance(error, EOFError) or "not a zip file" in str(error):
        return "; it is cut short: copy it, or download it, anew"
    if isinstance(error, gzip.BadGzipFile) and "Not a gzipped file" in str(error):  # its first bytes were those of one
        return "; other bytes follow the compressed text: uncompress it with gzip -dc, which leaves them out"
    if isinstance(error, gzip.BadGzipFile | zlib.error | lzma.LZMAError | zipfile.BadZipFile):
        return "; it is damaged: copy it, or download it, anew"
    if isinstance(error, NotImplementedError | RuntimeError):
        return f"; {_UNPACK}"
    return ""


def _only_member(file: InputFile, stream: io.BufferedIOBase) -> str:
    """The name of the one chat in a zip archive."""
    names = _members(zipfile.ZipFile(stream))
    for begins, what, advice in _OFFICE:
        if any(name.startswith(begins) for name in names):
            raise UserError(f"{file.name} is {what}, which charflow does not read: {advice}.")
    chosen = _chat_in(names)
    if chosen is None:
        raise UserError(
            f"{file.name} is a zip archive of {counted(len(names), 'file')}"
            f"{f' ({quoted_list(names, most=5)})' if names else ''}: {_UNPACK}."
        )
    return chosen


def holds_several(archive: zipfile.ZipFile) -> bool:
    """Says whether an archive holds more than one chat, or parts of one."""
    names = _members(archive)
    is_document = any(name.startswith(begins) for name in names for begins, _, _ in _OFFICE)
    return len(names) > 1 and not is_document and _chat_in(names) is None


def _chat_in(names: list[str]) -> str | None:
    """The one file of an archive that may be a chat: others are the pictures that were sent in it."""
    texts = [name for name in names if name.lower().endswith(_TEXTS)]
    return next((some[0] for some in (names, texts) if len(some) == 1), None)


def _members(archive: zipfile.ZipFile) -> list[str]:
    hidden = ("__MACOSX/", ".DS_Store")
    return [name for name in archive.namelist() if not name.endswith("/") and not name.startswith(hidden)]


def _open_zip(stream: io.BufferedIOBase) -> io.BufferedIOBase:
    archive = zipfile.ZipFile(stream)
    name = _chat_in(_members(archive))
    return io.BufferedReader(archive.open(str(name)))  # type: ignore[type-var]


_LAYERS: dict[str, tuple[re.Pattern[bytes], Callable[[Any], io.BufferedIOBase]]] = {
    "gzip": (re.compile(rb"\x1f\x8b\x08"), lambda stream: gzip.GzipFile(fileobj=stream, mode="rb")),
    "bzip2": (re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), bz2.BZ2File),
    "xz": (re.compile(rb"\xfd7zXZ\x00"), lzma.LZMAFile),
    "zip": (re.compile(rb"PK(\x03\x04|\x05\x06)"), _open_zip),
}
