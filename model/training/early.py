"""What can be said against a run before TensorFlow is loaded, which takes seconds: this module needs none of it.

`charflow train` asks it first. `configure` and `inputs` say the same, and all else, when TensorFlow is there.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from charflow.model.config import NOTHING, load_toml
from charflow.model.presets import preset, with_limits
from charflow.model.run.run_folder import check_free
from charflow.pipeline.errors import UserError
from charflow.pipeline.files import STANDARD_INPUT, is_prepared
from charflow.pipeline.tables import override


def refuse_early(
    data: Sequence[str], out: Path, changes: Mapping[str, Any], *, name: str | None, file: Path | None
) -> None:
    """Refuses what makes no new run.

    That is: a folder that is taken, settings that no preset, nor the file of settings, makes valid, missing files.

    Args:
        data: files and globs, or a prepared folder.
        out: folder of the run.
        changes: settings of `Config`, as nested dictionaries.
        name: of the preset; "default" by default.
        file: TOML.

    Raises:
        UserError: as `check_free`, `configure` and `find_inputs`.
    """
    check_free(out)
    if any(map(is_prepared, data)) or (file and file.exists() and not file.is_file()):  # a pipe can be read once
        return
    read = load_toml(file) if file else {}
    if not any(_starts(table) for table in (changes, read)):
        config = preset(name or "default")
        if file:
            config = override(config, with_limits(read), source=str(file))
        override(config, with_limits(changes))
    for path in data:
        elsewhere = path == STANDARD_INPUT or "://" in path or any(mark in path for mark in "*?[")
        if not (elsewhere or os.path.lexists(path)):
            raise UserError(f"{path}: no such file.")


def _starts(table: Mapping[str, Any]) -> bool:
    """Whether another run is named, whose settings count then."""
    training = table.get("training", {})
    return isinstance(training, Mapping) and training.get("start_from", NOTHING) not in ("", NOTHING)
