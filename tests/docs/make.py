"""Runs the blocks of the pages and writes what they print into them: `python -m tests.docs.make [PAGE ...]`.

An output is written where it differs in what counts (masks.py); all else stays as it is.
"""

import os
import sys
import tempfile
from pathlib import Path

from tests.docs.blocks import read_blocks, rewritten
from tests.docs.pages import PAGES, QUICK_START, changed, run
from tests.docs.session import BlockError
from tests.support import ROOT, XLA_CACHE


def main(pages: list[Path]) -> None:
    """Runs the quick start and the pages, and writes those that have changed; ends with those that failed."""
    failed = []
    with tempfile.TemporaryDirectory() as name:
        ground = Path(name) / "quick-start"
        for page in [QUICK_START, *(page for page in pages if page != QUICK_START)]:
            folder = ground if page == QUICK_START else Path(name) / page.stem
            if page != QUICK_START and not any(block.runs for block in read_blocks(page)):
                continue
            print(f"{page.relative_to(ROOT)} ...", flush=True)
            try:
                new = changed(page, run(page, folder, ground / "files"))
            except BlockError as error:
                failed.append(f"{page.relative_to(ROOT)}: {error}")
                continue
            if new:
                page.write_text(rewritten(page, new), encoding="utf-8")
                print(f"  {len(new)} outputs written")
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["TF_XLA_FLAGS"] = XLA_CACHE
    main([Path(name).resolve() for name in sys.argv[1:]] or PAGES)
