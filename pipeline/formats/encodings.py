"""Knows how the characters of a file are encoded: by its mark, by what the user says, or by a guess that is offered.

`csv_source` asks it before it reads a file, `csv_advice` when a file turned out not to be what was said. charflow works
on UTF-8 only, so a file in another encoding is first written again, block by block.
"""

import codecs
import io
import re
from pathlib import Path

UNDECODABLE = "\udcff"  # stands in a copy for bytes that the encoding does not have; no valid UTF-8 holds it
MARKING = "charflow-mark"  # name of the error handler that puts it there
UTF_8_MARK = codecs.BOM_UTF8
_MARKS = (  # the marks of UTF-32 first: the one of UTF-16 begins like it
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_NO_ENCODINGS_OF_FILES = {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"}
_BLOCK = 1 << 20  # bytes

# A text mostly in ASCII letters is in a Latin script. Of the encodings of Western Europe the first is taken in which
# nearly all others are letters of its languages, capitals not after small ones, or signs of its typography.
_WESTERN = ("cp1252", "mac-roman", "cp850")
_PLAUSIBLE = re.compile(
    "[àâäáãåæçèéêëìíîïñòóôõöøœùúûüÿßªº]|(?<![a-zà-ÿ])[ÀÂÄÁÃÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØŒÙÚÛÜ]|(?<=[a-zà-ÿ])[’´]|(?<!\\w)[‘“„«¡¿£€…–—•©®·\xa0]"
    "|[’”»…–—€°²³½\xa0](?!\\w)"
)
_ENOUGH = 0.9
_DAMAGE = re.compile("[\udc80-\udcff]")
_BEGINNING = 100  # characters, among which some of a header are ASCII
_LATIN = ("cp1252", "cp1250", "cp1254", "cp1257", "mac-roman", "mac-latin2", "cp850", "cp852")
_OTHER = (
    *("cp932", "euc-jp", "gb18030", "big5", "cp949"),
    *("cp1251", "koi8-r", "cp866", "cp1253", "cp1255", "cp1256", "cp874"),
)


def is_utf8(encoding: str) -> bool:
    """Says whether an encoding's name means UTF-8."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def is_encoding(encoding: str) -> bool:
    """Says whether Python reads files in such an encoding."""
    try:
        b"a".decode(encoding, errors="replace")  # a codec that is no encoding of characters, such as hex, refuses
        return codecs.lookup(encoding).name.replace("-", "_") not in _NO_ENCODINGS_OF_FILES
    except (LookupError, ValueError):
        return False


def marked_encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark at the beginning of a file tells, where it is not UTF-8."""
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)


def write_as_utf8(stream: io.BufferedIOBase, encoding: str, path: Path) -> None:
    """Writes a file again, block by block, as UTF-8 without a mark; every line stays in its place.

    Bytes that the encoding does not have become `UNDECODABLE`, which no reader of UTF-8 takes.
    """
    decoder = codecs.getincrementaldecoder(encoding)(errors=MARKING)
    first = True
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        while block := stream.read(_BLOCK):
            text = decoder.decode(block)
            file.write(text.removeprefix("\ufeff") if first else text)
            first = first and not text
        file.write(decoder.decode(b"", final=True))


def guess_wide(head: bytes) -> str | None:
    """Finds out whether the first bytes of a file are UTF-16 or UTF-32 without a mark."""
    if b"\0" not in head:
        return None
    whole = head[: len(head) // 4 * 4]
    for encoding in _WIDE:
        text = whole.decode(encoding, errors="ignore")
        lost = len(whole) - len(text.encode(encoding))
        if lost <= 2 and "\0" not in text and _has_ascii(text):
            return encoding
    return None


def guess_encoding(lines: list[bytes]) -> str | None:
    """Guesses the encoding of the lines beyond ASCII; None where they are damaged UTF-8, or nothing fits."""
    raw = b"\n".join(line.rstrip(b"\r\n") for line in lines)
    shown = raw.decode(errors="surrogateescape")
    damaged_lines = sum(map(bool, map(_DAMAGE.search, shown.split("\n"))))
    damaged_bytes = len(_DAMAGE.findall(shown))
    whole = sum(char > "\x7f" for char in shown) - damaged_bytes
    if whole >= damaged_bytes or len(lines) >= 2 * damaged_lines:
        return None
    ascii_letters = sum(char.isalpha() for char in shown if char < "\x80")
    if damaged_bytes >= ascii_letters:
        return _best(raw, _OTHER)
    return next((encoding for encoding in _WESTERN if is_plausible(raw, encoding)), None) or _best(raw, _LATIN)


def _best(raw: bytes, encodings: tuple[str, ...]) -> str | None:
    from charset_normalizer import from_bytes

    best = from_bytes(raw, cp_isolation=list(encodings)).best()
    if best is None:
        return None
    return next((name for name in encodings if codecs.lookup(name) == codecs.lookup(best.encoding)), best.encoding)


def is_plausible(raw: bytes, encoding: str) -> bool:
    """Says whether nearly all beyond ASCII are letters and signs of Western languages, where these stand."""
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    others = sum(char > "\x7f" for char in text)
    return len(_PLAUSIBLE.findall(text)) >= _ENOUGH * others


def _has_ascii(text: str) -> bool:
    return sum(char.isascii() for char in text[:_BEGINNING]) >= min(3, len(text))


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return UNDECODABLE, error.end


codecs.register_error(MARKING, _mark)
