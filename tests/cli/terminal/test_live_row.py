"""A progress bar among other lines, as bytes and as a terminal shows it."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from charflow.cli.terminal.live_row import LiveRow

ERASE = "\r\x1b[2K"


def screen(text: str) -> list[str]:
    """The rows that a terminal shows: enough of one for \\r, \\n, erase-line and cursor-up."""
    rows, row, column = [""], 0, 0
    while text:
        if text.startswith("\x1b["):
            end = next(index for index, letter in enumerate(text) if letter.isalpha())
            code, text = text[: end + 1], text[end + 1 :]
            if code == "\x1b[2K":
                rows[row] = ""
            elif code == "\x1b[1A":
                row -= 1
            continue
        letter, text = text[0], text[1:]
        if letter == "\r":
            column = 0
        elif letter == "\n":
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        else:
            rows[row] = rows[row].ljust(column)[:column] + letter + rows[row][column + 1 :]
            column += 1
    return rows


def rich_bar(chunk: int) -> tuple[str, list[str]]:
    """What rich writes for a bar with lines above it, in pieces of so many characters."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=60, height=9, soft_wrap=True, legacy_windows=False)
    console.print("before")
    with Progress(TextColumn("training {task.completed}"), console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("", total=2)
        for step in (1, 2):
            bar.update(task, completed=step)
            bar.refresh()
            console.print(f"step {step}")
    console.print("after")
    text = file.getvalue()
    return text, [text[at : at + chunk] for at in range(0, len(text), chunk)]


def test_lines_are_marked() -> None:
    assert LiveRow("[0] ").drawn("a\n\nb\n") == "[0] a\n\n[0] b\n"


@pytest.mark.parametrize("chunk", [1, 2, 7, 10_000])
def test_a_bar_of_rich_shows_as_without_us_but_for_the_mark(chunk: int) -> None:
    text, pieces = rich_bar(chunk)
    live = LiveRow("[0] ")
    shown = screen("".join(live.drawn(piece) for piece in pieces) + live.ended())
    assert shown == [f"[0] {row}" if row else "" for row in screen(text)]
    assert [row for row in shown if row] == ["[0] before", "[0] step 1", "[0] step 2", "[0] after"]


def test_a_bar_is_drawn_with_the_mark_once() -> None:
    live = LiveRow("[0] ")
    assert screen(live.drawn(f"training 1{ERASE}training 2")) == ["[0] training 2"]


def test_lines_of_others_stand_above_the_bar() -> None:
    live = LiveRow("[0] ")
    text = live.drawn(f"{ERASE}\x1b[31mtraining 1\x1b[0m") + live.above("[1] hello")
    assert screen(text) == ["[1] hello", "[0] training 1"]
    assert screen(text + live.drawn(f"{ERASE}training 2\n")) == ["[1] hello", "[0] training 2", ""]


def test_without_a_bar_lines_of_others_are_just_printed() -> None:
    live = LiveRow("[0] ")
    assert live.above("[1] hello") == "[1] hello\n"
    live.drawn("a line\n")
    assert live.above("[1] hello") == "[1] hello\n"


def test_a_bar_that_was_cut_off_leaves_the_terminal_in_order() -> None:
    live = LiveRow("[0] ")
    live.drawn(f"\x1b[?25l{ERASE}training 1")
    assert live.ended() == "\n\x1b[?25h"
    assert live.ended() == ""
    assert live.drawn("again\n") == "[0] again\n"
