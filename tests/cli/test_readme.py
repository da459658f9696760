"""README.md and the other pages: the commands and options exist, the programs run."""

import ast
import inspect
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer

from charflow.cli.app import app
from charflow.model.decoding.settings import SETTINGS
from charflow.serving import Client
from charflow.serving.settings.flags import FLAGS
from tests.support import ROOT

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(f"docs/{page.name}" for page in sorted(ROOT.glob("docs/*.md"))),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^    from charflow\..*?(?=^\S|\Z)", README, re.MULTILINE | re.DOTALL)


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


def test_first_program_runs(
    trained_run: Path, sample_chat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = [snippet for snippet in SNIPPETS if "make_windows" in snippet]
    shutil.copy(sample_chat, tmp_path / "chat.csv")
    shutil.copytree(trained_run, tmp_path / "runs" / "a")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    lines = "\n".join(line.removeprefix("    ") for line in program.splitlines())
    pipeline = lines.split("from charflow.serving")[0]  # what follows needs a server
    *_, last = ast.parse(pipeline).body
    exec(compile(ast.Module(ast.parse(pipeline).body[:-1], []), "README.md", "exec"), names)
    inputs, targets = next(names["windows"].as_numpy_iterator())
    assert (inputs.shape, targets.shape) == ((128, 40), (128,))
    text = eval(compile(ast.Expression(last.value), "README.md", "eval"), names)  # type: ignore[attr-defined]
    assert 1 <= len(text) <= 200


def test_second_program_calls_the_client_as_it_is() -> None:
    """What `tests/serving/client` calls by the same names; here no server is started."""
    (program,) = [snippet for snippet in SNIPPETS if "import Client" in snippet]
    lines = "\n".join(line.removeprefix("    ") for line in program.splitlines())
    calls = [node for node in ast.walk(ast.parse(lines)) if isinstance(node, ast.Call)]
    methods = {call.func.attr: call for call in calls if isinstance(call.func, ast.Attribute)}
    for name in ("generate", "stream"):
        signature = inspect.signature(getattr(Client, name))
        known = {*signature.parameters, *(setting.name for setting in SETTINGS)}
        assert {word.arg for word in methods[name].keywords} <= known, name
    (opened,) = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Client"]
    inspect.signature(Client).bind(*opened.args, **{str(word.arg): word.value for word in opened.keywords})


def test_files_of_the_first_screen_exist() -> None:
    for target in re.findall(r"`make (\w+)`|^    make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
