"""Finds the fenced blocks of a page: what is run, what is shown, and what comments before them say.

A block of a language that is run (`RUN`) is run; a block without a language behind it is what it printed. A comment
right before a block says more, `<!-- WORD: VALUE -->`:

    not run: REASON             it is not run, for one of the reasons of test_blocks.py
    needs: node                 it is run where these programs are installed
    status: 2                   it ends with this exit status
    shows: first 3, last 2      of what was printed; three dots stand for the rest. `width 90` cuts lines
    starts with: chat.csv       (anywhere on the page) files of the quick start that lie in the page's folder
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

RUN = ("sh", "python")
SAID = ("not run", "needs", "status", "shows", "starts with")
_FENCE = re.compile(r"( *)(`{3,})(.*)")
_COMMENT = re.compile(r"\s*<!-- (.+?)(?:: (.+?))? -->\s*")


@dataclass(frozen=True)
class Output:
    """Where what a block printed stands in its page: lines from `begin` to before `end`, and what is shown of it."""

    begin: int
    end: int
    text: str
    shows: str = ""


@dataclass(frozen=True)
class Block:
    """A fenced block: the page's line it begins at, from 1, its language and text."""

    line: int
    language: str
    text: str
    said: dict[str, str] = field(default_factory=dict)
    output: Output | None = None

    @property
    def runs(self) -> bool:
        return self.language in RUN and "not run" not in self.said


def read_blocks(page: Path) -> list[Block]:
    """All blocks of a page, but those that show what another printed."""
    found: list[Block] = []
    for line, language, text, said, close in _fences(page.read_text(encoding="utf-8").splitlines()):
        before = found[-1] if found else None
        if not language and before and before.language in RUN and not before.output and close:
            output = Output(line, line + text.count("\n"), text, said.get("shows", ""))
            found[-1] = Block(before.line, before.language, before.text, before.said, output)
        else:
            found.append(Block(line, language, text, said))
    return found


def starts_with(page: Path) -> list[str]:
    """The files of the quick start that lie in the page's folder."""
    found = re.search(r"<!-- starts with: (.+?) -->", page.read_text(encoding="utf-8"))
    return found[1].split(", ") if found else []


def _fences(lines: list[str]) -> Iterator[tuple[int, str, str, dict[str, str], bool]]:
    """Line, language, text and comments of each fence, and whether nothing but comments is between it and the last."""
    said: dict[str, str] = {}
    close = False
    numbered = iter(enumerate(lines, start=1))
    for number, line in numbered:
        if fence := _FENCE.fullmatch(line):
            indent, ticks, language = fence[1], fence[2], fence[3].strip()
            inside = []
            for _, text in numbered:
                if text.strip() == ticks:
                    break
                inside.append(text.removeprefix(indent))
            yield number, language, "".join(f"{text}\n" for text in inside), said, close
            said, close = {}, True
        elif comment := _COMMENT.fullmatch(line):
            said = {**said, comment[1]: comment[2] or ""}
        elif line.strip():
            said, close = {}, False


def shown(printed: str, shows: str) -> str:
    """What a page shows of what was printed.

    >>> shown("a\\nb\\nc\\nd\\n", "first 1, last 2")
    'a\\n...\\nc\\nd\\n'
    """
    lines = printed.splitlines()
    asked = {word: int(number) for word, number in re.findall(r"(first|last|width) (\d+)", shows)}
    first, last = asked.get("first", 0), asked.get("last", 0)
    if ("first" in asked or "last" in asked) and first + last < len(lines):
        lines = [*lines[:first], "...", *lines[len(lines) - last :]]
    if width := asked.get("width"):
        lines = [line if len(line) <= width else f"{line[:width].rstrip()} ..." for line in lines]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def rewritten(page: Path, printed: dict[int, str]) -> str:
    """The page's text with other outputs, by the lines of their blocks."""
    lines = page.read_text(encoding="utf-8").splitlines()
    for block in reversed(read_blocks(page)):
        if block.output and block.line in printed:
            lines[block.output.begin : block.output.end] = printed[block.line].splitlines()
    return "\n".join(lines) + "\n"
