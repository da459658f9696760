"""What `settable` finds in a table of settings, and that commands can look at ours before TensorFlow is loaded."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal

from charflow.model.config import Config
from charflow.pipeline.bounds import Bounds
from charflow.pipeline.option import Option, settable

FEW = Bounds(at_least=1)


@dataclass(frozen=True)
class Oven:
    heat: Annotated[Literal["", "low", "high"], Option("How hot.")] = ""
    hot_air: Annotated[bool, Option("With a fan.")] = True
    serial: int = 7


@dataclass(frozen=True)
class Cake:
    eggs: Annotated[int, FEW, Option("How many.", name="egg-count", search="log")] = 3
    sugar: Annotated[float, Option("Of the flour.", "SHARE")] = 0.5
    names: Annotated[tuple[str, ...], Option("Who eats it.", "ID")] = ()
    oven: Oven = field(default_factory=lambda: Oven(heat="low"))


def test_settable_walks_tables_in_the_order_of_their_fields() -> None:
    assert [(each.tables, each.name, each.type, each.metavar, each.default) for each in settable(Cake)] == [
        ((), "eggs", int, "N", 3),
        ((), "sugar", float, "SHARE", 0.5),
        ((), "names", tuple, "ID", ()),
        (("oven",), "heat", str, "low|high", ""),
        (("oven",), "hot_air", bool, "", True),
    ]
    assert settable(Cake)[0].notes == (FEW,)


def test_settable_is_spelled_after_its_field_or_as_its_option_says() -> None:
    assert [each.spelled for each in settable(Cake)] == ["--egg-count", "--sugar", "--names", "--heat", "--hot-air"]


def test_settable_finds_its_value_in_a_table() -> None:
    assert [each.of(Cake(eggs=5)) for each in settable(Cake)] == [5, 0.5, (), "low", True]


def all_fields(table: Any) -> Iterator[str]:
    for each in fields(table):
        value = getattr(table, each.name)
        yield from all_fields(value) if is_dataclass(value) else [each.name]


def test_every_field_of_a_run_but_its_data_can_be_set_and_has_a_name_of_its_own() -> None:
    names = [each.name for each in settable(Config)]
    found = ("data", "base_fingerprint")  # the second in what a run starts from
    assert names == [name for name in all_fields(Config()) if name not in found]
    assert len(names) == len(set(names))


def test_tables_of_a_run_load_no_tensorflow() -> None:
    code = "import sys, charflow.model.config; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
