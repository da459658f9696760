"""Makes the golden documents, in a process of its own: `python -m tests.golden.make` writes those that have changed.

`python -m tests.golden.make FOLDER` writes them there; the test compares them with the files.
"""

import os
import sys
import tempfile
import traceback
from pathlib import Path

# Before TensorFlow is loaded. The machine's GPUs, terminal and cache have no part in the documents.
os.environ.update(
    CUDA_VISIBLE_DEVICES="-1", COLUMNS="80", NO_COLOR="1", TF_CPP_MIN_LOG_LEVEL="3", GRPC_VERBOSITY="ERROR"
)


def main(to: Path | None) -> None:
    """Makes all documents; one that cannot be made says why instead."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        from tests.golden import comparing
        from tests.golden.documents import DOCUMENTS
        from tests.golden.house import House

        house = House(Path(name).resolve())
        try:
            for title, make in DOCUMENTS.items():
                try:
                    found = make(house)
                except Exception:
                    if to is None:
                        raise
                    found = traceback.format_exc().splitlines()
                found = comparing.masked(title, found, str(house.folder))
                if to or comparing.changed(title, found):
                    comparing.write(title, found, to or comparing.FILES)
        finally:
            house.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
