"""How the project's text files are written, whatever they say."""

import itertools
from pathlib import Path

import pytest

from tests.support import ROOT

LONGEST = 120  # characters of a line
FOLDERS = ("benchmarks", "cli", "deploy", "docs", "experiments", "export", "model", "pipeline", "serving", "tests")
WRITTEN = {".cfg", ".css", ".html", ".js", ".md", ".mjs", ".proto", ".py", ".pyi", ".sh", ".toml", ".txt"}
WRITTEN |= {".yaml", ".yml"}
FILES = sorted(
    path
    for path in itertools.chain(ROOT.iterdir(), *((ROOT / folder).rglob("*") for folder in FOLDERS))
    if path.is_file() and (path.suffix in WRITTEN or path.name in ("LICENSE", "Makefile")) and path.stat().st_size
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose_of(text: str) -> list[str]:
    """The lines of a Markdown file that can be broken: not those of tables, code and comments."""
    lines, code = [], False
    for line in text.splitlines():
        code ^= line.startswith("```")
        if not code and not line.startswith(("|", "    ", "<!--")):
            lines.append(line)
    return lines


def test_every_text_file_ends_with_its_last_line() -> None:
    assert len(FILES) > 400
    assert [name_of(path) for path in FILES if not path.read_bytes().endswith(b"\n")] == []


@pytest.mark.parametrize("page", [path for path in FILES if path.suffix == ".md"], ids=name_of)
def test_lines_of_a_page_fit_an_editor(page: Path) -> None:
    assert [line for line in prose_of(page.read_text(encoding="utf-8")) if len(line) > LONGEST] == []


@pytest.mark.parametrize("module", [path for path in FILES if path.suffix in (".css", ".js", ".mjs")], ids=name_of)
def test_lines_of_a_page_s_code_fit_an_editor(module: Path) -> None:  # ruff sees to Python's
    assert [line for line in module.read_text(encoding="utf-8").splitlines() if len(line) > LONGEST] == []


def test_prose_is_all_but_tables_and_code() -> None:
    assert prose_of("a\n| b |\n```\nc\n```\n    d\ne") == ["a", "```", "e"]
