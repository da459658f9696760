"""The pages whose blocks are run, and how one of them is."""

import shutil
import sys
from pathlib import Path

from tests.docs.blocks import Block, read_blocks, shown, starts_with
from tests.docs.masks import differs
from tests.docs.session import session
from tests.support import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
QUICK_START = ROOT / "docs" / "quick-start.md"


def run(page: Path, folder: Path, ground: Path | None) -> dict[int, str]:
    """Runs a page in `folder/files`; gives what its blocks printed.

    Args:
        ground: the folder of the quick start, whose files others start with.
    """
    lay_out(folder / "files", ground, starts_with(page))
    return run_page(read_blocks(page), folder / "files", folder / "state")


def changed(page: Path, printed: dict[int, str]) -> dict[int, str]:
    """Those outputs that a page does not show as they were printed, in what counts."""
    outputs = {block.line: block.output.text for block in read_blocks(page) if block.output and block.runs}
    return {line: text for line, text in printed.items() if differs(outputs[line], text)}


def lay_out(folder: Path, ground: Path | None, files: list[str]) -> None:
    """Puts into a page's folder what it starts with, and the programs of the repository."""
    folder.mkdir(parents=True)
    for name in ("examples", "docs/examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    (folder / ".venv").symlink_to(sys.prefix)
    for name in files:
        assert ground
        copy = shutil.copytree if (ground / name).is_dir() else shutil.copy2
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ground / name, folder / name)
    for config in folder.rglob("*.config"):  # which name the folder in full
        config.write_text(config.read_text(encoding="utf-8").replace(str(ground), str(folder)), encoding="utf-8")


def run_page(blocks: list[Block], folder: Path, state: Path) -> dict[int, str]:
    """Runs the blocks of a page in order; gives what those that show something printed, as it is shown, by their lines.

    Raises:
        BlockError: one did not end as the page says.
    """
    printed = {}
    with session(folder, state) as made:
        for block in blocks:
            if not block.runs or any(
                not shutil.which(each) for each in block.said.get("needs", "").split(", ") if each
            ):
                continue
            found = made.run(block)
            if block.output:
                printed[block.line] = shown(found, block.output.shows)
    return printed
