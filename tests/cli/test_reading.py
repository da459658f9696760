"""What the commands say about files that they cannot read, and reading what is no file on a disk."""

import io
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from charflow.cli.app import app
from charflow.model.config import load_toml

CHAT = "fromUser.id,text\nmira,café\nada,ok\n"
REFUSED = {
    "semicolons and another name": CHAT.replace("text", "what").replace(",", ";").encode(),
    "a tab and another name": CHAT.replace("text", "$what's").replace(",", "\t").encode(),
    "UTF-16 without a mark and another name": CHAT.replace("text", "my what").encode("utf-16-le"),
    "escaped quotes": rb'fromUser.id,text' + b"\n" + rb'mira,"say \"hi\", ok"' + b"\nada,ok\n",
    "a short row in mac-roman": CHAT.encode("mac-roman") + b"bo\n",
    "damaged UTF-8": CHAT.encode() + b"bo,\xf0\x9f\n",
    "no delimiter": b"Author Message\nmira hi\n",
}  # fmt: skip


def typed(advice: str) -> list[str]:
    """The options of an advice, as a shell reads them."""
    options = advice.split("ass ", 1)[1].split(" (it then reads")[0].split(" to leave ")[0].removesuffix(".")
    done = subprocess.run(["sh", "-c", f"printf '%s\\0' {options}"], capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
def test_what_is_advised_works_when_it_is_typed(
    call: Callable, refused: Callable, tmp_path: Path, content: bytes
) -> None:
    chat = tmp_path / "chat.csv"
    chat.write_bytes(content)
    message = refused("explore", chat)
    advised = message.replace(" Or pass", "\0Pass").replace(" Pass", "\0Pass").split("\0")[1:]
    if content.startswith(b"Author"):
        assert message.endswith(" Write its messages to a CSV file.")
        return
    assert advised
    for advice in advised:
        done = call("explore", chat, *typed(advice), "--json")
        assert done.status == 0, advice
        assert done.json["rows"] >= 1


def reading_commands(run: Path, out: Path) -> dict[str, list[object]]:
    return {
        "explore": ["explore", "CHAT"],
        "prepare": ["prepare", "CHAT", "--to", out],
        "train": ["train", "CHAT", "--out", out],
        "sweep": ["sweep", "CHAT", "--out", out],
        "evaluate": ["evaluate", run, "CHAT"],
        "bench train": ["bench", "train", "CHAT"],
    }


@pytest.mark.parametrize("command", list(reading_commands(Path(), Path())))
def test_every_command_that_reads_a_chat_can_follow_the_advice(
    refused: Callable, trained_run: Path, tmp_path: Path, command: str
) -> None:
    chat = tmp_path / "chat.csv"
    words = [chat if word == "CHAT" else word for word in reading_commands(trained_run, tmp_path / "out")[command]]
    known = options_of(*command.split())
    for content in (REFUSED["semicolons and another name"], REFUSED["escaped quotes"]):
        chat.write_bytes(content)
        message = refused(*words)
        advised = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", message))
        assert advised
        assert advised <= known
        assert "no column 'fromUser.id'" not in refused(*words, "--delimiter", ";", "--text-column", "nothing")


def options_of(*names: str) -> set[str]:
    import typer

    command = typer.main.get_command(app)
    for name in names:
        command = command.commands[name]  # type: ignore[attr-defined]
    return {option for parameter in command.params for option in parameter.opts}


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Puts bytes on standard input."""
    return lambda content: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_explore_reads_standard_input_and_a_pipe(call: Callable, piped: Callable, make_pipe: Callable) -> None:
    piped(CHAT.encode())
    done = call("explore", "-", "--user", "mira", "--window-length", 2, "--json")
    assert (done.status, done.err, done.json["rows"]) == (0, "", 2)
    assert done.json["longest"]["path"] == "standard input"
    done = call("explore", make_pipe(CHAT.encode()), "--user", "mira", "--window-length", 2, "--json")
    assert (done.status, done.err, done.json["rows"]) == (0, "", 2)


def test_standard_input_is_named_in_messages(refused: Callable, piped: Callable) -> None:
    piped(b"who;what\nmira;hi\n")
    assert refused("explore", "-") == (
        "standard input: its first row is one field, 'who;what', where a column of users and one of messages are "
        "needed. Pass --delimiter ';' for the columns 'who', 'what', and --user-column and --text-column with two of "
        "them."
    )
    piped(b"")
    assert refused("explore", "-") == "standard input is empty: it has no header and no rows."


@pytest.mark.slow
def test_train_notes_that_its_chat_came_through_a_pipe(
    call: Callable, refused: Callable, piped: Callable, sample_chat: str, untrained: list, tmp_path: Path
) -> None:
    chat, run = Path(sample_chat).read_bytes(), tmp_path / "run"
    piped(chat)
    done = call("train", "-", "--out", run, "--steps", 1)
    assert done.status == 0, done.err
    assert "from standard input or a pipe: --resume and evaluate will need it again." in " ".join(done.err.split())
    assert load_toml(run / "config.toml")["data"] == ["-"]
    piped(chat)
    assert call("train", "-", "--out", run, "--resume").status == 0
    piped(CHAT.encode() * 9)
    assert "was trained with another vocabulary" in refused("train", "-", "--out", run, "--resume", underway=True)
    piped(chat)  # which must not be read
    assert len(untrained) == 2


def test_evaluate_asks_for_data_that_came_through_a_pipe(
    call: Callable, refused: Callable, own_run: Path, piped: Callable, sample_chat: str
) -> None:
    config = own_run / "config.toml"
    config.write_text(config.read_text().replace(f'"{sample_chat}"', '"-"'))
    assert refused("evaluate", own_run) == (
        "The run was trained on standard input or a pipe, which cannot be read again: "
        "give the same text, or another, after the run's folder."
    )
    piped(Path(sample_chat).read_bytes())
    done = call("evaluate", own_run, "-", "--json")
    assert done.status == 0, done.err


@pytest.mark.slow
def test_prepare_goes_on_with_the_same_text_from_a_pipe(
    call: Callable, refused: Callable, piped: Callable, sample_chat: str, tmp_path: Path
) -> None:
    for _ in range(2):
        piped(Path(sample_chat).read_bytes())
        assert call("prepare", "-", "--to", tmp_path / "to").status == 0
    piped(CHAT.encode())
    assert "holds the corpus of other files or settings (-)" in refused("prepare", "-", "--to", tmp_path / "to")


def test_explore_reads_what_a_shell_substitutes(start: Callable, tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_bytes(CHAT.encode())
    charflow = Path(sys.executable).with_name("charflow")
    command = f"{charflow} explore <(cat {shlex.quote(str(tmp_path / 'chat.csv'))}) --json"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '"rows": 2' in done.stdout


@pytest.mark.slow
def test_explore_shows_headers_and_the_longest_message(call: Callable, tmp_path: Path) -> None:
    chat = tmp_path / "chat.csv"
    rows = "".join(f"{i},mira,now,ok\n" for i in range(20))
    chat.write_text(
        f'id,fromUser.id,sent,text\n1,ada,now,"oh\n{rows}2,bo,now,end"\nid,fromUser.id,sent,text\n3,bo,n,x\n'
    )
    done = call("explore", chat)
    assert done.status == 0
    assert f"charflow: warning: {chat}, line 2: one field of 22 lines, most of which look like rows;" in done.err
    words = [line.split() for line in done.out.splitlines()]
    assert ["repeated", "headers", "1"] in words
    assert any(line.startswith("longest") and "in 22 lines" in line for line in done.out.splitlines())
