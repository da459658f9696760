"""Every block of README.md and docs/ that can run is run, and prints what its page shows: `make docs` writes that.

What is not run has a reason that its text bears out, and its commands' options exist.
"""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from charflow.cli.app import app
from charflow.serving.errors import UsageError
from charflow.serving.settings.flag_parser import parse_flags
from charflow.serving.settings.flags import Flag
from tests import forked
from tests.docs.blocks import RUN, SAID, Block, read_blocks, shown
from tests.docs.masks import differs
from tests.docs.pages import PAGES, QUICK_START, changed, run
from tests.docs.session import BlockError, session
from tests.support import ROOT, made_once

REASONS = {  # why a block is not run, and what stands in such a block
    "needs the network": r"\b(pip|npm) install\b",
    "needs Docker": r"\bdocker\b",
    "needs a cluster": r"\b(kubectl|sbatch)\b",
    "needs a web server": r"proxy_pass",
    "needs buf or grpcurl": r"^(buf|grpcurl)\b",
    "takes minutes": r"make \w+|charflow (demo|bench|sweep|launch)|--time-limit|experiments/|--each-user|whoever",
}
assert forked  # a session forks processes: these tests are slow ones


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path, *, not_run: bool) -> list[Block]:
    return [block for block in read_blocks(page) if block.language in RUN and block.runs != not_run]


RUNNING = [page for page in PAGES if blocks_of(page, not_run=False)]


@pytest.fixture(scope="session")
def quick_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the quick start was gone through: others start with its files; `printed` has its outputs."""

    def make(folder: Path) -> None:
        printed = run(QUICK_START, folder / "page", None)
        (folder / "printed").write_text(json.dumps([*printed.items()]), encoding="utf-8")

    return made_once(tmp_path_factory, "quick-start", make)


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNING, ids=name_of)
def test_blocks_of_a_page_print_what_it_shows(page: Path, quick_start: Path, tmp_path: Path) -> None:
    if page == QUICK_START:
        printed = dict(json.loads((quick_start / "printed").read_text(encoding="utf-8")))
    else:
        printed = run(page, tmp_path, quick_start / "page" / "files")
    outputs = {block.line: block.output.text for block in read_blocks(page) if block.output}
    assert {line: (outputs[line], text) for line, text in changed(page, printed).items()} == {}, "make docs"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_that_are_not_run_have_a_reason_that_their_text_bears_out(page: Path) -> None:
    for block in blocks_of(page, not_run=True):
        pattern = REASONS[block.said["not run"]]
        assert re.search(pattern, block.text, re.MULTILINE), f"{page}: line {block.line}"
        assert block.language == "sh" or block.said["not run"] == "needs a web server", f"{page}: line {block.line}"


def test_most_blocks_are_run() -> None:
    run = [block for page in PAGES for block in blocks_of(page, not_run=False)]
    left_out = [block for page in PAGES for block in blocks_of(page, not_run=True)]
    assert len(run) > 4 * len(left_out)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_that_are_not_run_are_ones_that_the_command_line_takes(page: Path) -> None:
    for block in blocks_of(page, not_run=True):
        for words in commands(block.text):
            check_words(words)


def commands(text: str) -> list[list[str]]:
    """The charflow commands of a shell block, as their words."""
    lines = [re.split(r"(?<!\S)(?:&&|\|\||[;|&])(?!\S)", line) for line in text.replace("\\\n", " ").splitlines()]
    words = [shlex.split(part, comments=True) for parts in lines for part in parts if "charflow" in part]
    images = [line for line in words if line[:2] == ["docker", "run"]]  # docker run ... charflow:0.1.0 train ...
    inside = [line[place + 1 :] for line in images for place, word in enumerate(line) if word.startswith("charflow:")]
    return inside + [line[1:] for line in words if line[:1] == ["charflow"]]


def check_words(words: list[str]) -> None:
    """Parses a command line as the command does, without running it.

    Raises:
        typer.TyperException: the command line does not take it.
        UsageError: the flags of the server do not.
    """
    command: Any = typer.main.get_command(app)
    name = ""
    while words and words[0] in getattr(command, "commands", {}):
        name, *words = words
        command = command.commands[name]
    assert name, words
    if name == "serve":
        parse_flags(words, prog="charflow serve", rest_api_port=0, extra=[Flag(name="backend", default="", help="")])
    elif name == "launch":
        own, launched = words[: words.index("--")], words[words.index("--") + 1 :]
        command.make_context("launch", [*own, "--", *launched])
        check_words(launched)
    else:
        command.make_context(name, words)


def test_commands_of_a_block_are_found() -> None:
    text = "make x && charflow who 'a b' \\\n  --among c  # d\ndocker run --rm charflow:1 train e | charflow complete -"
    assert commands(text) == [["train", "e"], ["who", "a b", "--among", "c"], ["complete", "-"]]


def test_command_line_is_checked_without_running_it() -> None:
    check_words(["train", "chat.csv", "--out", "runs/a"])
    check_words(["serve", "--model_name=a", "--model_base_path=b"])
    check_words(["launch", "--workers", "2", "--", "train", "chat.csv", "--out", "runs/a"])
    with pytest.raises(typer.TyperException, match="colour"):
        check_words(["train", "chat.csv", "--out", "runs/a", "--colour", "red"])
    with pytest.raises(typer.TyperException, match="colour"):
        check_words(["launch", "--workers", "2", "--", "train", "chat.csv", "--out", "a", "--colour"])
    with pytest.raises(UsageError, match="colour"):
        check_words(["serve", "--colour=red"])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_is_in_fences_and_comments_before_them_are_known(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    outside = re.sub(r"^( *)```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"\n\n    \S.*", outside) == []
    for block in read_blocks(page):
        said = {word for word in block.said if word in SAID or block.said[word] != "made by make docs"}
        assert said <= {*SAID, "end"}, f"{page}: line {block.line}"


def test_a_page_is_read_as_blocks_and_outputs(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "text\n\n```sh\necho a\n```\n\n<!-- shows: first 1 -->\n```\na\n```\n\n```\nalone\n```\n"
        "<!-- not run: needs Docker -->\n```sh\ndocker ps\n```\nprose\n\n```\nno output\n```\n",
        encoding="utf-8",
    )
    first, alone, docker, last = read_blocks(page)
    assert (first.line, first.text, first.runs) == (3, "echo a\n", True)
    assert first.output and (first.output.text, first.output.shows) == ("a\n", "first 1")
    assert (alone.text, alone.runs, docker.runs, last.text) == ("alone\n", False, False, "no output\n")


def test_shown_is_what_the_page_asks_for() -> None:
    printed = "".join(f"line {number}\n" for number in range(9))
    assert shown(printed, "first 1, last 2") == "line 0\n...\nline 7\nline 8\n"
    assert shown(printed, "") == printed
    assert shown("a long line\n", "width 6") == "a long ...\n"


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        ("bits 0.5566 in 4 s", "bits 0.5567 in 12 s", False),
        ("bits 0.5566", "bits 0.6", True),
        ("3 messages", "4 messages", True),
        ("60  0.05  4.013  2.723  4,689  2 s", "60  0.05  4.013  2.723  14,346  1 s", False),
        ("the toad is asleep", "the toad is awake", True),
        ("a   b", "a b", False),
        ("2026-11-27 02:58:38,257 I", "2025-01-02 02:58:38,1 I", False),
    ],
)
def test_what_differs_from_run_to_run_counts_for_nothing(one: str, other: str, differ: bool) -> None:
    assert differs(one, other) is differ


@pytest.mark.slow
def test_a_session_keeps_its_state_and_says_what_failed(tmp_path: Path) -> None:
    def sh(text: str, **said: str) -> Block:
        return Block(1, "sh", text, said)

    with session(tmp_path / "files", tmp_path / "state") as made:
        made.run(sh("mkdir a && cd a && X=7\n"))
        assert made.run(sh("echo $X; basename $PWD\n")) == "7\na\n"
        made.run(Block(1, "python", "x = 1\n"))
        assert made.run(Block(1, "python", "print(x)\nx + 1\n")) == "1\n2\n"
        assert made.run(sh("(exit 3)\n", status="3")) == ""
        with pytest.raises(BlockError, match="line 1 ended with status 1"):
            made.run(sh("false\ntrue\n"))
        with pytest.raises(BlockError, match="ZeroDivisionError"):
            made.run(Block(1, "python", "1 / 0\n"))
        assert made.run(sh("charflow --version\n")).startswith("charflow ")
        assert "No such option: --colour" in made.run(sh("charflow who --colour\n", status="2"))
