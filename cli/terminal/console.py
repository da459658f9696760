"""The one place that writes to standard output and standard error: reports, figures, generated text, progress bars.

Reports are for people. Text in them stands as it is: there is no markup and there are no emoji codes, so that a chat's
`[red]` and `:smile:` stay what they are; what acts on a terminal is written as an escape (`pipeline.errors.visible`).
On a terminal lines break between words, never inside a path or a command; elsewhere a line stays one line, for grep.
Figures are JSON, for programs. Generated text goes to a file or a pipe exactly as the model wrote it.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from charflow.cli.options import spelled
from charflow.cli.terminal.streams import is_unicode
from charflow.pipeline.errors import ACTING, visible
from charflow.sentences import Sentence

_NARROWEST = 20  # columns for a value beside its name; on a narrower terminal its lines are longer
_WIDEST = 100_000  # columns, for what is not on a terminal
# Blanks and a word; what stands in quotes, an id or an argument that a person copies, is one word if it is short.
_WORD = re.compile(r"""[ \t]*(?:(?<!\w)'[^'\n]{0,80}'(?!\w)|(?<!\w)"[^"\n]{0,80}"(?!\w)|[^ \t])+""")
_BESIDE_THE_BAR = 70  # columns


class Copied(str):
    """A command or a path that a person copies: it stays on one line, whatever the terminal's width."""

    __slots__ = ()


class Screen:
    """One of the two standard streams, for reports."""

    def __init__(self, *, stderr: bool) -> None:
        self._stderr = stderr
        self._rich = _Rich(stderr=stderr, markup=False, emoji=False, highlight=False)

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads along."""
        return self._stream.isatty()

    @property
    def width(self) -> int:
        """Columns of the terminal; elsewhere there is no bound."""
        return max(self._rich.width, _NARROWEST) if self.is_terminal else _WIDEST

    def print(self, text: str = "", *, style: str = "", end: str = "\n") -> None:
        """Prints text as it stands, in a style of rich's such as "bold" where the terminal has one."""
        self._show(Text(self._laid_out(text), style=style), end)

    def pair(self, name: str, value: str) -> None:
        """Prints a name, dim, and its value, whose further lines begin below it."""
        lines = self._laid_out(value, beside=len(name)).replace("\n", "\n" + " " * len(name))
        self._show(Text.assemble((visible(name), "dim"), lines), "\n")

    def table(self, table: Table) -> None:
        """Prints a table, wider than the terminal rather than with words and figures cut."""
        needed = self._needed(table)
        if needed.minimum > self.width:
            table.padding = (0, 1, 0, 0)  # one blank between columns, where there are two
            needed = self._needed(table)
        if needed.maximum > self.width:
            for column in table.columns:  # rich shares the room out without regard to the least width of a column
                column.width = column.min_width if column.justify == "right" else None
            needed = self._needed(table)
        table.width = max(needed.minimum, min(needed.maximum, self.width))
        self._above_the_bar().print(table, crop=False)

    def progress(self, *, shown: bool = True) -> Progress:
        """Makes a bar, on a terminal only; each task has a field `figures`, parts two blanks apart that follow it."""
        room = self.width - _BESIDE_THE_BAR
        return self._live(
            _Words(), BarColumn(min(max(room, 4), 24)), _Figures(_BESIDE_THE_BAR + min(room, 0) - 20), shown=shown
        )

    def spinner(self, doing: str) -> Progress:
        """Makes a sign of life, on a terminal only, with the time that has gone by."""
        spinner = self._live(SpinnerColumn(), _Words(), TimeElapsedColumn(), shown=True)
        spinner.add_task(f"{doing} …", total=None)
        return spinner

    def write(self, text: str) -> None:
        """Writes text as it is, at once.

        Raises:
            OSError: standard output takes no more, or nobody reads it. Without standard error the work goes on.
        """
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            self._rich.on_broken_pipe()
        except OSError:
            if not self._stderr:
                raise

    def _needed(self, table: Table) -> Measurement:
        return Measurement.get(self._rich, self._rich.options.update(max_width=_WIDEST), table)

    def _live(self, *columns: ProgressColumn, shown: bool) -> Progress:
        return _Bar(
            *columns,
            console=self._rich,
            transient=True,
            redirect_stdout=False,  # it would send to the terminal what goes into a file
            redirect_stderr=False,
            disable=not (shown and self.is_terminal),
        )

    def _above_the_bar(self) -> Console:
        """The console that knows of a bar that stands on the terminal, or else this stream's own."""
        return _Bar.drawn.console if _Bar.drawn and self.is_terminal else self._rich

    def _laid_out(self, text: str, *, beside: int = 0) -> str:
        shown = visible(text)
        return shown if isinstance(text, Copied) else wrapped(shown, max(self.width - beside, _NARROWEST))

    def _show(self, text: Text, end: str) -> None:
        if self.is_terminal:
            self._above_the_bar().print(text, end=end, soft_wrap=True)
        else:
            self.write(f"{text.plain}{end}")

    @property
    def _stream(self) -> TextIO:
        return sys.stderr if self._stderr else sys.stdout


class _Rich(Console):
    def on_broken_pipe(self) -> None:
        """Sends what is left in the buffer nowhere, now and when Python ends; called while the error is handled."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, (sys.stderr if self.stderr else sys.stdout).fileno())
        os.close(nowhere)
        if not self.stderr:
            raise  # the BrokenPipeError


class _Bar(Progress):
    """A bar that the other stream knows of: both are the same terminal."""

    drawn: "ClassVar[_Bar | None]" = None

    def start(self) -> None:
        _Bar.drawn = None if self.disable else self
        super().start()

    def stop(self) -> None:
        _Bar.drawn = None
        super().stop()


class _Words(ProgressColumn):
    def __init__(self) -> None:
        super().__init__(table_column=Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        return Text(visible(task.description))


class _Figures(ProgressColumn):
    """The share that is done and the figures, without the last ones where there is no room."""

    def __init__(self, room: int) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._room = room

    def render(self, task: Task) -> Text:
        parts = visible(task.fields["figures"]).split("  ")
        while len(parts) > 1 and cell_len("  ".join(parts)) > self._room:
            parts.pop()
        return Text("  ".join([f"{task.percentage:>3.0f}%", *parts]))


out = Screen(stderr=False)
err = Screen(stderr=True)


def say(message: str) -> None:
    """Prints a sentence about the work on standard error, behind the command's name."""
    err.print(f"charflow: {message}")


def remark(remarks: Iterable[str | Sentence]) -> None:
    """Prints sentences about what may not be meant, on standard error."""
    for each in remarks:
        say(f"note: {each if isinstance(each, str) else each.told(spelled)}")


def generated(text: str) -> None:
    """Writes a piece of generated text on standard output; on a terminal what would act on it as escapes."""
    out.write(visible(text) if out.is_terminal else text)


def print_json(figures: dict[str, Any]) -> None:
    r"""Prints one JSON object on standard output, with \uXXXX for what acts on a terminal or is not in its encoding."""
    written = json.dumps(figures, indent=2, ensure_ascii=not is_unicode(sys.stdout))
    out.write(ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", written) + "\n")  # these stand in strings only


def pairs(screen: Screen, rows: Sequence[tuple[str, str]]) -> None:
    """Prints names and values in two columns."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        screen.pair(f"{name:<{width}}  ", value)


def columns(screen: Screen, names: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = 0) -> None:
    """Prints a table; the last `right` columns are flush right, and only their names break where there is no room."""
    head, *cells = [[visible(cell).replace("\t", " ") for cell in row] for row in (names, *rows)]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for index, name in enumerate(head):
        figures = index >= len(head) - right
        whole = [*name.split(), *(part for row in cells for part in ([row[index]] if figures else row[index].split()))]
        widest = max(map(cell_len, whole), default=0)
        table.add_column(Text(name), justify="right" if figures else "left", min_width=widest)
    for row in cells:
        table.add_row(*map(Text, row))
    screen.table(table)


def cut(text: str, width: int) -> str:
    """Shortens a text to so many columns of a terminal.

    >>> cut("mira", 4), cut("miranda", 4)
    ('mira', 'mir…')
    """
    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1).rstrip()}…"


def wrapped(text: str, width: int) -> str:
    """Breaks lines between words; a word that is longer than a line stays whole, and so does a short text in quotes.

    >>> wrapped("oh my dears", 6)
    'oh my\\ndears'
    """
    return "\n".join(piece for line in text.split("\n") for piece in _pieces(line, width))


def _pieces(line: str, width: int) -> Iterable[str]:
    if cell_len(line) <= width:
        yield line
        return
    row = ""
    for word in _WORD.findall(line):
        if row.strip() and cell_len(row) + cell_len(word) > width:
            yield row
            row = word.lstrip()
        else:
            row += word
    yield row


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
