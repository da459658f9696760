"""Parses the JSON document of a request within bounds: on values, strings, nesting, and how long others must wait.

`bodies` reads what is in it. Python holds the interpreter's lock while it parses, so that one large body would stop
every other request: what can be done in pieces is, and large ones are parsed one at a time.
"""

import codecs
import json
import re
import threading
from collections import Counter

from charflow.serving.embedded.rest.json_tensors import Json, show
from charflow.serving.errors import InvalidArgument, ResourceExhausted

_LIST_BYTES, _OBJECT_BYTES, _VALUE_BYTES = 96, 280, 40  # of Python's values, as parsed
_MOST_PARSED = 2**28  # bytes that the values of a body may take: 6.7 million numbers, about a second of parsing
_LARGE = 2**20  # bytes of a body: these are parsed one at a time, for that holds the interpreter's lock anyway
_MOST_STRINGS = 2**20  # keys too: to parse them holds the lock for 50 ns each, and TensorFlow takes them no faster
_parsing_large = threading.Lock()
_SURROGATE = re.compile(r"\\u[dD]")
# An escape in a string: a whole surrogate pair, half a one, or any other.
_ESCAPES = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>u[dD][89a-fA-F]..)|.)", re.DOTALL)


def parse_document(body: bytes) -> dict[str, Json]:
    """Parses a body.

    Raises:
        InvalidArgument: it is not a JSON object in UTF-8.
        ResourceExhausted: it has too many values or strings.
    """
    if len(body) <= _LARGE:
        return _parse_bounded(body, _DECODER)
    with _parsing_large:
        return _parse_bounded(body, _YIELDING_DECODER)


def _parse_bounded(body: bytes, decoder: json.JSONDecoder) -> dict[str, Json]:
    _check_values(body)
    text = _decode(body).lstrip(" \t\r\n")
    if not text:
        raise InvalidArgument("JSON Parse error: The document is empty")
    try:
        # What follows the object is ignored, as in TensorFlow Serving.
        document, end = decoder.raw_decode(text)
    except json.JSONDecodeError as error:
        reason = "Invalid value" if error.msg == "Expecting value" else error.msg
        raise InvalidArgument(f"JSON Parse error: {reason} at offset: {error.pos}") from None
    except ValueError:  # what Python says of an integer of thousands of digits
        raise InvalidArgument("JSON Parse error: Number too big") from None
    except RecursionError:
        raise InvalidArgument("JSON Parse error: Lists or objects are nested too deep") from None
    if _SURROGATE.search(text) and any(escape["half"] for escape in _ESCAPES.finditer(text, 0, end)):
        raise InvalidArgument("JSON Parse error: The surrogate pair in string is invalid")
    if type(document) is not dict:
        raise InvalidArgument(f"JSON Value: {show(document)} Is not object")
    return document


def _check_values(body: bytes) -> None:
    """Refuses before parsing what would make too much; counted in pieces, so that other threads run meanwhile."""
    made = strings = 0
    for start in range(0, len(body), _LARGE):
        piece = body[start : start + _LARGE]
        made += _LIST_BYTES * piece.count(b"[") + _OBJECT_BYTES * piece.count(b"{") + _VALUE_BYTES * piece.count(b",")
        strings += piece.count(b'"') // 2
        if made > _MOST_PARSED:
            raise ResourceExhausted(f"The values of the body would take more than {_MOST_PARSED} bytes")
        if strings > _MOST_STRINGS:
            raise ResourceExhausted(f"The body has more than {_MOST_STRINGS} strings")


def _decode(body: bytes) -> str:
    """Decodes UTF-8 in pieces, so that other threads run meanwhile; a byte order mark is left out."""
    body = body.removeprefix(codecs.BOM_UTF8)
    decoder = codecs.getincrementaldecoder("utf-8")()
    texts = []
    for start in range(0, len(body), _LARGE):
        held = len(decoder.getstate()[0])  # bytes of a character that the last piece began
        try:
            texts.append(decoder.decode(body[start : start + _LARGE], start + _LARGE >= len(body)))
        except UnicodeDecodeError as error:
            offset = start - held + error.start
            raise InvalidArgument(f"JSON Parse error: The body is not UTF-8 at offset: {offset}") from None
    return "".join(texts)


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """Refuses a key that comes twice: which of its values counts differs from reader to reader."""
    members = dict(pairs)
    if len(members) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise InvalidArgument(f"JSON Parse error: The key {show(twice)} comes twice in one object")
    return members


def _float(digits: str) -> float:
    return float(digits)


def _int(digits: str) -> int:
    return int(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)
# Python's own float and int would be called without the interpreter's lock ever being let go of: six million numbers
# stopped every other request for a second. A function in Python lets the others in each few milliseconds.
_YIELDING_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_float, parse_int=_int)
