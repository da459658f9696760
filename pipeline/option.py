"""How people set a setting: what stands beside its bounds in its type, for the command line, TOML files and the sweep.

    units: Annotated[Count, Option("Width of each layer.", search="log")] = 256

The lowest room, with `bounds`. A dataclass whose fields are settings, or such dataclasses again, is a table; `settable`
walks it, and all that lists settings reads it: commands make their options, `continued` knows what a resumed run may
change, `space` what a sweep searches, and messages how a setting is spelled.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

_METAVARS: Mapping[type, str] = {int: "N", float: "F", str: "NAME"}


@dataclass(frozen=True)
class Option:
    """How a setting is told to people.

    Attributes:
        help: what it does, in few words; what is to be said beyond them stands in the docstring of the table.
        metavar: of its value; empty is N, F or NAME by the type, and the choices where these are texts.
        name: of the option, without dashes; empty is the field's own. Fields that share an option share its record.
        read: gives of a text that was typed the fields that it sets; None takes the value for its own field.
        both: of a truth value, whether --no-NAME is an option too; one that nothing but the command line sets does not
            need it.
        may_change: whether a run that is resumed may have another value.
        search: how a sweep tries others: texts as choices, numbers by even steps or by factors. Empty is never, as for
            what ends, judges or seeds a run: it is the same for all trials, or they could not be compared.
    """

    help: str
    metavar: str = ""
    name: str = ""
    read: Callable[[str], Mapping[str, Any]] | None = None
    both: bool = False
    may_change: bool = False
    search: Literal["", "choices", "linear", "log"] = ""


@dataclass(frozen=True)
class Settable:
    """A field with an `Option`.

    Attributes:
        name: of the field.
        tables: the names of the tables that it stands in, from the outermost one on.
        type: of its values: bool, int, float, str, or tuple for several texts.
        metavar: of its value.
        default: of the field.
        choices: the texts that it may be; none where it may be others, too.
        notes: what else its type is annotated with, such as `Bounds`.
        option: how it is told.
    """

    name: str
    tables: tuple[str, ...]
    type: type
    metavar: str
    default: Any
    choices: tuple[str, ...]
    notes: tuple[Any, ...]
    option: Option

    @property
    def spelled(self) -> str:
        """What the command line calls it."""
        return f"--{self.option.name or self.name.replace('_', '-')}"

    def of(self, table: Any) -> Any:
        """Its value in such a table as `settable` found it in."""
        return getattr(functools.reduce(getattr, self.tables, table), self.name)


def settable(table: type) -> tuple[Settable, ...]:
    """The fields of a table that have an `Option`, those of inner tables in their place.

    >>> @dataclass
    ... class Recipe:
    ...     eggs: Annotated[int, Option("How many.", may_change=True)] = 3
    >>> [(each.name, each.spelled, each.metavar, each.default) for each in settable(Recipe)]
    [('eggs', '--eggs', 'N', 3)]
    """
    return tuple(_walk(table, ()))


def _walk(table: Any, tables: tuple[str, ...]) -> Iterator[Settable]:
    hints = get_type_hints(table, include_extras=True)
    for field in fields(table):
        hint = hints[field.name]
        bare, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        option = next((note for note in notes if isinstance(note, Option)), None)
        if is_dataclass(bare):
            yield from _walk(bare, (*tables, field.name))
        elif option:
            kind, metavar = _kind(bare)
            default = field.default if field.default_factory is MISSING else field.default_factory()
            others = tuple(note for note in notes if note is not option)
            choices = tuple(filter(None, _choices(bare, *others)))
            yield Settable(field.name, tables, kind, option.metavar or metavar, default, choices, others, option)


def _choices(*hints: Any) -> tuple[Any, ...]:
    return next((get_args(hint) for hint in hints if get_origin(hint) is Literal), ())


def _kind(bare: Any) -> tuple[type, str]:
    if get_origin(bare) is Literal:
        return str, "|".join(filter(None, get_args(bare)))
    kind: type = get_origin(bare) or bare
    return kind, _METAVARS.get(kind, "")
