"""What stands in objects of JSON, whatever may stand there instead.

`json_records` and lines give the objects; formats ask for what they hold, `csv_source` for the names of the fields.
"""

import io
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]


def first_record(head: str) -> Mapping[str, Any]:
    """The first object of an array, of objects in a row, or of one whose fields these are; empty where it is none."""
    import ijson

    prefix = "item" if head.lstrip()[:1] == "[" else ""
    try:
        found = next(ijson.items(io.BytesIO(head.encode(errors="replace")), prefix, multiple_values=True), None)
    except ijson.JSONError:
        return {}
    return object_of(found)


def text_of(value: Any) -> str:
    """Gives a text, or nothing for whatever else stands in its place."""
    return value if isinstance(value, str) else ""


def object_of(value: Any) -> Mapping[str, Any]:
    """Gives an object, or an empty one for whatever else stands in its place."""
    return value if isinstance(value, Mapping) else {}


def name_of(*values: Any) -> str:
    """The first of some names and ids that is there; ids may be numbers."""
    for value in values:
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return ""


def has_keys(head: str, *keys: str) -> bool:
    """Says whether a file begins like an object, with all of these keys among the first."""
    return head.lstrip()[:1] == "{" and all(re.search(rf'"{re.escape(key)}"\s*:', head) for key in keys)


def flat(row: Row) -> dict[str, Any]:
    """Names the fields of objects in an object as CSV files do.

    >>> flat({"author": {"id": 7, "name": "Mira"}, "text": "hi"})
    {'author.id': 7, 'author.name': 'Mira', 'text': 'hi'}
    """
    found: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{inner}": each for inner, each in value.items()}
        else:
            found[key] = value
    return found
