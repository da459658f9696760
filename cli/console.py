"""How figures look in a terminal: tables and units, on standard error where standard output carries data."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


class _Reports(Console):
    """Standard error: where nobody reads it any more, the work goes on."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


out = Console(highlight=False, soft_wrap=True)
err = _Reports(stderr=True, highlight=False, soft_wrap=True)


def print_json(figures: dict[str, Any]) -> None:
    """Prints one JSON object on standard output."""
    json.dump(figures, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def pairs(console: Console, rows: Sequence[tuple[str, str]]) -> None:
    """Prints names and values in two columns."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        console.print(f"[dim]{name:<{width}}[/dim]  {escape(value)}")


def columns(console: Console, names: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = 0) -> None:
    """Prints a table; the last `right` columns are flush right."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for index, name in enumerate(names):
        table.add_column(name, justify="right" if index >= len(names) - right else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def size(count: int) -> str:
    """Writes a number of bytes for people: 1.2 MB."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def duration(seconds: float) -> str:
    """Writes a time for people: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
