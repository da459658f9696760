"""Files that live as long as the process: what was read from a pipe, or written again so that it can be read fast.

`inputs` and `csv_repair` write them; they are removed when the process ends.
"""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from charflow.pipeline.errors import UserError, reason


def scratch_file(name: str) -> Path:
    """Names a new file, which nobody else can read, in a folder of its own.

    Raises:
        UserError: there is no folder for temporary files.
    """
    try:
        return Path(tempfile.mkdtemp(dir=_folder())) / name
    except OSError as error:
        raise UserError(
            f"There is no room for temporary files ({reason(error)}): name a folder for them in TMPDIR."
        ) from error


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="charflow-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
