"""Says whether a folder is free for a run, or holds one: this module needs no TensorFlow.

`RunDir` asks it, and `charflow train` before that, so that its user need not wait for TensorFlow to be told.
"""

from pathlib import Path

from charflow.model.run.run_lock import LOCK, check_not_in_use
from charflow.pipeline.errors import SettingError, UserError
from charflow.pipeline.files import SETTINGS, VOCABULARY
from charflow.pipeline.places import check_new_folder

CONTENT = "the run"
SAMPLES, CORPUS, CHECKPOINTS = "samples", "corpus.json", "checkpoints"
_BORN = {LOCK, SAMPLES, VOCABULARY, CORPUS, CHECKPOINTS}  # what a run that was killed at birth may have left


def check_free(folder: Path) -> None:
    """Raises UserError unless the folder is new or empty."""
    if (folder / SETTINGS).exists():
        check_not_in_use(folder)
        raise SettingError(
            "{path} already holds a run: pass {resume} to continue it, or name another folder.", path=str(folder)
        )
    check_new_folder(folder, CONTENT, own=_BORN)


def check_holds_run(folder: Path) -> None:
    """Raises UserError unless the folder holds a run."""
    if not (folder / SETTINGS).exists():
        raise UserError(f"{folder} holds no run: it has no {SETTINGS}. Make one with charflow train.")
