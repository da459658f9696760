"""README.md and the other pages: the commands and options exist; tests/docs runs them."""

import re
from typing import Any

import pytest
import typer

from charflow.cli.app import app
from charflow.serving.settings.flags import FLAGS
from tests.support import ROOT

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(f"docs/{page.name}" for page in sorted(ROOT.glob("docs/*.md"))),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands_on(page: str) -> list[str]:
    """What a page would have people type, from its indented lines, its blocks and what it quotes."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / page).read_text(encoding="utf-8"))
    lines = re.findall(r"(?:^ {4}|^|`)(?:\.venv/bin/)?charflow ([a-z][^`\n]*)", text, re.MULTILINE)
    return [command.removeprefix("charflow ") for line in lines for command in re.split(r"\s*(?:&&?|;|\|)\s+", line)]


def options_of(words: list[str]) -> set[str]:
    """The options of the command that the words begin with."""
    found: Any = typer.main.get_command(app)
    for word in words:
        if word not in getattr(found, "commands", {}):
            break
        found = found.commands[word]
    return {name for parameter in found.params for name in parameter.opts} | {"--help"}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_pages_name_commands_and_options_that_exist(page: str) -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for line in commands_on(page):
        words = re.sub(r"[\[\]|]", " ", line).split(" # ")[0].split()
        if not words or words[0] not in known:
            assert "--" not in line, line  # prose: "charflow turns a chat export …"
            continue
        own, _, launched = " ".join(words).partition(" -- ")
        for part in (own, launched):
            used = set(re.findall(r"(?<=\s)--[\w-]+(?=[\s=]|$)", f" {part}"))
            flags = {f"--{flag.name}" for flag in FLAGS} if words[0] == "serve" else set()
            assert used <= options_of(part.split()) | flags, line


def test_table_lists_every_command() -> None:
    table = re.findall(r"^\| `charflow (\w+)", README, re.MULTILINE)
    assert sorted(set(table)) == sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_files_of_the_first_screen_exist() -> None:
    for target in re.findall(r"`make (\w+)`|^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
