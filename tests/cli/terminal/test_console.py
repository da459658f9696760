"""How text, figures and tables are written: as they stand, for people and for programs."""

import ast
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from charflow.cli.terminal import console
from charflow.cli.terminal.console import Copied, Screen, columns, duration, generated, pairs, print_json, size, wrapped
from tests.support import ROOT

FOREIGN = "[red]a[/red] [/bo] [link=x]b :smile: \x1b[31m\x07\x9b2J 1,234 'q' \u202e.\ttab"
SHOWN = r"[red]a[/red] [/bo] [link=x]b :smile: \x1b[31m\x07\x9b2J 1,234 'q' \u202e."


def plain(text: str) -> str:
    """Takes the styles away that the console puts round its own words."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize(
    "write",
    [
        lambda screen, text: screen.print(text),
        lambda screen, text: screen.print(Copied(text)),
        lambda screen, text: screen.print(text, style="bold"),
        lambda screen, text: pairs(screen, [("name", text)]),
        lambda screen, text: pairs(screen, [(text, "value")]),
        lambda screen, text: columns(screen, ["name", "value"], [("a", text)]),
        lambda screen, text: columns(screen, ["name", "value"], [(text, "1")], right=1),
        lambda screen, text: columns(screen, [text, "value"], [("a", "1")], right=2),
    ],
    ids=["line", "copied", "styled", "value", "name", "cell", "first cell", "head"],
)
def test_report_shows_foreign_text_as_it_stands(
    terminal: Callable, capsys: pytest.CaptureFixture, write: Callable[[Screen, str], None]
) -> None:
    write(Screen(stderr=False), FOREIGN)
    assert SHOWN in capsys.readouterr().out
    screen, stream = terminal(200)
    write(screen, FOREIGN)
    assert SHOWN in plain(stream.getvalue())


def test_progress_bar_shows_foreign_text_as_it_stands(terminal: Callable) -> None:
    screen, stream = terminal(200)
    with screen.progress() as bar:
        bar.add_task(FOREIGN, figures=FOREIGN)
    assert SHOWN in plain(stream.getvalue())


def test_progress_bar_leaves_figures_out_where_there_is_no_room(terminal: Callable) -> None:
    for width in (60, 80, 120):
        screen, stream = terminal(width)
        with screen.progress() as bar:
            bar.add_task("training", completed=43, figures="2.345 bits/char  12,345 windows/s  1 min 30 s left")
        rows = [row for row in plain(stream.getvalue()).split("\n") if "training" in row]
        assert all("43%  2.345 bits/char" in row and "…" not in row for row in rows)
        assert all("1 min 30 s left" in row for row in rows) == (width > 60)


def test_lines_of_the_other_stream_stand_above_the_bar(terminal: Callable) -> None:
    bars, on_err = terminal(80, "err")
    lines, on_out = terminal(80, "out")
    with bars.progress() as bar:
        bar.add_task("training", figures="")
        lines.print("a sample")
        lines.pair("name  ", "value")
        columns(lines, ["name"], [["cell"]])
    lines.print("after")
    assert plain(on_out.getvalue()) == "after\n"
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", on_err.getvalue())
    assert [line for line in re.split(r"[\r\n]+", shown) if line and "training" not in line] == [
        *["a sample", "name  value", "name", "cell"]
    ]


def test_bar_leaves_alone_what_goes_into_a_file(terminal: Callable, capsys: pytest.CaptureFixture) -> None:
    bars, on_err = terminal(80, "err")
    with bars.progress() as bar:
        bar.add_task("training", figures="")
        Screen(stderr=False).print("a sample")
        generated("generated")
    assert capsys.readouterr().out == "a sample\ngenerated"
    assert "sample" not in on_err.getvalue()


def test_spinner_shows_foreign_text_as_it_stands(terminal: Callable) -> None:
    screen, stream = terminal(200)
    with screen.spinner(FOREIGN):
        pass
    assert SHOWN in plain(stream.getvalue())


def test_progress_is_for_terminals_only(capsys: pytest.CaptureFixture) -> None:
    screen = Screen(stderr=False)
    with screen.progress() as bar, screen.spinner("reading"):
        bar.add_task("training", figures="")
    assert capsys.readouterr() == ("", "")


def test_generated_text_is_exact_but_on_a_terminal(terminal: Callable, capsys: pytest.CaptureFixture) -> None:
    text = f"{FOREIGN}\r\n🌻\r"
    generated(text)
    assert capsys.readouterr().out == text
    _, stream = terminal(10)
    generated(text)
    assert stream.getvalue() == f"{SHOWN}\ttab\n🌻\\r"


def test_lines_break_between_words_on_a_terminal_only(terminal: Callable, capsys: pytest.CaptureFixture) -> None:
    sentence = "The run in /a/path/that/is/longer/than/the/terminal/is/wide holds 漢字漢字 漢字漢字漢字漢字 of it."
    Screen(stderr=False).print(sentence)
    assert capsys.readouterr().out == sentence + "\n"
    screen, stream = terminal(30)
    screen.print(sentence)
    assert stream.getvalue().split("\n") == [
        "The run in",
        "/a/path/that/is/longer/than/the/terminal/is/wide",
        "holds 漢字漢字",
        "漢字漢字漢字漢字 of it.",
        "",
    ]
    screen, stream = terminal(30)
    screen.print(Copied("charflow train a.csv --out run --steps 30"))
    assert stream.getvalue() == "charflow train a.csv --out run --steps 30\n"


def test_values_go_on_below_where_they_began(terminal: Callable) -> None:
    screen, stream = terminal(30)
    pairs(screen, [("name", "oh my dears, the old harbour"), ("to", "a\nb"), ("next", Copied("charflow " * 5))])
    assert plain(stream.getvalue()).split("\n") == [
        "name  oh my dears, the old",
        "      harbour",
        "to    a",
        "      b",
        f"next  {'charflow ' * 5}",
        "",
    ]


@pytest.mark.parametrize("width", [1, 20, 60, 200])
def test_tables_never_cut_words_or_figures(terminal: Callable, width: int) -> None:
    screen, stream = terminal(width)
    columns(
        screen, ["check", "seen", "bits"], [("signatures", "serving_default, generate, score", "1,234 ± 0.5")], right=1
    )
    for word in ("signatures", "serving_default,", "generate,", "score", "1,234 ± 0.5"):
        assert word in stream.getvalue()


@pytest.mark.parametrize("width", range(44, 70))
def test_tables_are_no_wider_than_the_terminal_where_their_names_can_break(terminal: Callable, width: int) -> None:
    screen, stream = terminal(width)
    names = ["trial", "state", "held out", "layers", "learning rate", "batch size", "window length"]
    columns(screen, names, [("3 *", "finished", "4.310", "2", "0.0212", "128", "125")], right=5)
    assert max(map(len, plain(stream.getvalue()).split("\n"))) <= max(width, 49)
    for word in ("finished", "4.310", "learning", "0.0212", "length"):
        assert word in stream.getvalue()


def test_no_color_leaves_colours_out(terminal: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    screen, stream = terminal(80)
    screen.print("a", style="red")
    assert "31m" not in stream.getvalue()


def test_dumb_terminal_gets_plain_text(terminal: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    _, stream = terminal(80)
    monkeypatch.setenv("TERM", "dumb")
    screen = Screen(stderr=False)
    screen.print("a", style="bold")
    with screen.progress() as bar:
        bar.add_task("training", figures="")
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (34_154, "34.2 kB"), (2_500_000, "2.5 MB"), (7 * 10**12, "7.0 TB")],
    ids=str,
)
def test_size_has_a_unit(count: int | str, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3600, "1 h 0 min"), (7500, "2 h 5 min")],
    ids=str,
)
def test_duration_has_units(seconds: float | str, text: str) -> None:
    assert duration(seconds) == text


def test_print_json_keeps_every_character(capsys: pytest.CaptureFixture) -> None:
    print_json({"text": "мова 🌻"})
    assert capsys.readouterr().out == '{\n  "text": "мова 🌻"\n}\n'


def test_print_json_writes_what_acts_on_a_terminal_as_escapes(capsys: pytest.CaptureFixture) -> None:
    text = "".join(map(chr, range(0x2100))) + "\u2066\udce9\\u0041 🌻"
    print_json({text: [text]})
    written = capsys.readouterr().out
    assert json.loads(written) == {text: [text]}
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", written)


def test_print_json_keeps_its_figures_in_any_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", stream := io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))
    print_json({"text": "é мова 🌻"})
    assert json.loads(stream.buffer.getvalue()) == {"text": "é мова 🌻"}


@pytest.mark.parametrize("text", ["", "a", " a  b ", "a\n\n b"])
def test_wrapped_leaves_what_fits(text: str) -> None:
    assert wrapped(text, 10) == text


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Pass --text-column ' the text '.", ["Pass --text-column", "' the text '."]),
        ("Pass --out='my runs' now.", ["Pass --out='my runs'", "now."]),
        ("""Pass --a 'it'"'"'s mine' b.""", ["Pass --a", """'it'"'"'s mine' b."""]),
        ("did you mean ' mira  b '?", ["did you mean", "' mira  b '?"]),
        ("the user's or the users' names", ["the user's or the", "users' names"]),
        ("'tis so that it is not much", ["'tis so that it is", "not much"]),
        (
            f"'{'oh my ' * 20}' she said",
            [
                "'oh my oh my oh my",
                *["oh my oh my oh my oh", "my oh my oh my oh my"] * 2,
                "oh my oh my oh my '",
                "she said",
            ],
        ),
    ],
    ids=["blanks", "joined", "apostrophe", "id", "possessives", "unpaired", "long"],
)
def test_wrapped_keeps_what_is_quoted_whole(text: str, lines: list[str]) -> None:
    assert wrapped(text, 20).split("\n") == lines


@pytest.mark.slow
def test_wrapped_takes_long_lines_fast() -> None:
    assert len(wrapped("'oh my 'dears \"" * 10_000, 60)) == 150_000
    assert len(wrapped("oh my dears " * 100_000, 60).split("\n")) == 20_000


def test_nothing_but_the_console_writes_or_knows_rich() -> None:
    """What goes to people through anything else would read markup in it, or let controls through."""
    found = []
    for file in sorted((ROOT / "cli").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if any(name.partition(".")[0] == "rich" for name in names):
                found.append((file.name, "rich"))
            if called in ("print", "typer.echo", "typer.secho", "sys.stdout.write", "sys.stderr.write"):
                found.append((file.name, called))
            if (
                isinstance(node, ast.Call)
                and called.startswith("console.")
                and any(keyword.arg == "markup" for keyword in node.keywords)
            ):
                found.append((file.name, "markup"))
    # What a signal leaves to say is written without a console, and was made visible before.
    assert [each for each in found if each not in (("console.py", "rich"), ("interrupts.py", "print"))] == []


STREAMS = """
import os, sys
from charflow.cli.terminal.streams import open_streams
from charflow.cli.terminal import console
open_streams()
console.out.print("“…” ± 🌻 é")
console.err.print("said")
"""


@pytest.mark.parametrize(
    ("encoding", "written"),
    [("utf-8", "“…” ± 🌻 é"), ("ascii", r'"..." +- \U0001f33b \xe9'), ("cp1252", "“…” ± \\U0001f33b é")],
)
def test_every_encoding_takes_every_text(encoding: str, written: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", STREAMS], env=environment, capture_output=True, check=True)
    assert (done.stdout.decode(encoding), done.stderr) == (f"{written}\n", b"said\n")


@pytest.mark.parametrize("columns", ["", "0", "1", "-5", "x", "²", "9" * 30])
def test_every_width_is_one(columns: str) -> None:
    environment = {**os.environ, "COLUMNS": columns, "LINES": columns}
    command = [sys.executable, "-m", "charflow", "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Commands:" in done.stdout


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_stream_takes_no_other_file_s_number(closed: str) -> None:
    script = STREAMS + "assert os.open(os.devnull, os.O_RDONLY) > 2\nassert sys.stdin.read() == ''\n"
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, script]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("" if " >&-" in f" {closed}" else "“…” ± 🌻 é\n")


def test_terminal_itself_gets_no_control_of_a_chat() -> None:
    script = (
        f"from charflow.cli.terminal import console\nconsole.out.print({FOREIGN!r})\nconsole.generated({FOREIGN!r})"
    )
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", script], stdout=slave)
    os.close(slave)
    assert process.wait() == 0
    assert os.read(master, 4096).count(SHOWN.encode()) == 2
    os.close(master)


def test_console_has_the_two_streams() -> None:
    assert (console.out.is_terminal, console.err.is_terminal) == (False, False)
