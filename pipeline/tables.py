"""Tables of settings as nested dictionaries: what TOML files hold, and what a command line changes.

A table is a dataclass whose fields are settings, or tables again: `override` puts a dictionary over it, `names` and
`differing` list settings of it.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from charflow.pipeline.bounds import shown
from charflow.pipeline.errors import SettingError, UserError

Table = TypeVar("Table")


def override(table: Table, changes: Mapping[str, Any], *, source: str = "") -> Table:
    """Replaces the settings named in nested dictionaries, such as {"network": {"units": 128}}.

    >>> from charflow.pipeline.text_settings import TextSettings
    >>> override(TextSettings(), {"lowercase": False}).lowercase
    False

    Args:
        table: what is not named stays as it is there.
        changes: the settings.
        source: file that they were read from; the messages name it.

    Raises:
        UserError: an unknown key, a value of the wrong type, or an invalid setting.
    """
    return _override(table, changes, source, prefix="", homes=dict(_homes(table)))


def nested(settings: Iterable[tuple[tuple[str, ...], Mapping[str, Any]]]) -> dict[str, Any]:
    """Puts settings into nested dictionaries, by the names of the tables that they stand in.

    >>> nested([(("corpus", "text"), {"lowercase": False}), (("corpus",), {"fraction": 0.5})])
    {'corpus': {'text': {'lowercase': False}, 'fraction': 0.5}}
    """
    found: dict[str, Any] = {}
    for tables, values in settings:
        functools.reduce(lambda table, name: table.setdefault(name, {}), tables, found).update(values)
    return found


def names(changes: Mapping[str, Any]) -> tuple[str, ...]:
    """The settings in nested dictionaries of them.

    >>> names({"users": ["mira"], "text": {"lowercase": False}})
    ('users', 'lowercase')
    """
    inner = [names(value) if isinstance(value, Mapping) else (name,) for name, value in changes.items()]
    return tuple(name for some in inner for name in some)


def differing(table: Any, other: Any) -> Iterator[str]:
    """The names of the settings in which two tables of a class differ."""
    for each in fields(table):
        one, two = getattr(table, each.name), getattr(other, each.name)
        if is_dataclass(one):
            yield from differing(one, two)
        elif one != two:
            yield each.name


def _override(settings: Any, changes: Mapping[str, Any], source: str, prefix: str, homes: Mapping[str, str]) -> Any:
    where = f"{source}: " if source else ""
    known = [field.name for field in fields(settings)]
    values: dict[str, Any] = {}
    for key, value in changes.items():
        name = f"{prefix}{key}"
        if key not in known:
            table = prefix.rstrip(".") or "the file"
            advice = homes.get(key, f"Keys of {table}: {', '.join(known)}.")
            raise UserError(f"{where}unknown key {shown(name)}. {advice}")
        current = getattr(settings, key)
        if is_dataclass(current):
            if not isinstance(value, Mapping):
                raise UserError(f"{where}{name} is a table of settings, not {shown(value)}.")
            value = _override(current, value, source, prefix=f"{name}.", homes=homes)
        values[key] = value
    try:
        return replace(settings, **values)
    except SettingError as error:
        raise (error.within(source, prefix) if source else error) from None


def _homes(settings: Any, table: str = "") -> Iterator[tuple[str, str]]:
    """Says of every key of a configuration where it stands, for who has put it elsewhere."""
    for each in fields(settings):
        value = getattr(settings, each.name)
        if is_dataclass(value):
            name = f"{table}.{each.name}".lstrip(".")
            yield each.name, f"Its table is called [{name}]."
            yield from _homes(value, name)
        else:
            where = f"below [{table}]" if table else "before the first table"
            yield each.name, f"It belongs to {table or 'the file itself'}: write it {where}."
