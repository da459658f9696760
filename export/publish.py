"""Publishes a trained run as a new version of a SavedModel.

`signatures` builds what is saved, `model_card` and `warmup` what lies beside it, `check` tries the result, and
`server_configs` writes what a server needs to serve it. A version is written under a hidden name and renamed, so a
server that watches the folder never loads half a model.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeAlias

import tensorflow as tf

from charflow.export.model_card import make_model_card, write_model_card
from charflow.export.server_configs import write_server_configs
from charflow.export.signatures import make_servable
from charflow.export.warmup import write_warmup
from charflow.model.decoding.contexts import ContextKind
from charflow.model.decoding.generator import Generator
from charflow.model.decoding.largest_request import LargestRequest
from charflow.model.decoding.settings import Limits, SamplingSettings
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.bounds import Bounds
from charflow.pipeline.errors import SettingError, UserError, reason
from charflow.pipeline.places import check_folder
from charflow.pipeline.settings import checked
from charflow.serving.layout import GRAPH, SERVER_FILES

Version: TypeAlias = Annotated[int, Bounds(at_least=1, dtype="int64")]  # as TensorFlow Serving's protocol has it


@checked
def export_run(
    run_dir: RunDir | Path | str,
    base: Path | str,
    *,
    version: Version | None = None,
    settings: SamplingSettings | None = None,
    context: ContextKind = "stream",
    limits: Limits | None = None,
    xla: bool = False,
    verify: Callable[[Path], None] | None = None,
) -> Path:
    """Exports the best checkpoint of a run, and writes the server's configuration files that the base folder lacks.

    Args:
        run_dir: the run.
        base: folder of the model's versions, such as models/a; made if it is missing.
        version: its number; None takes the one after the highest.
        settings: of `serving_default`, and the defaults of the other signatures.
        context: how much the exported model sees of what it wrote.
        limits: longest prompt and completion.
        xla: adds the signatures that XLA compiles, which a server must allow.
        verify: is given the written folder before it is published; what it raises keeps the version back.

    Returns:
        The folder of the new version.

    Raises:
        UserError: no run, a damaged checkpoint, a base folder that holds something else, a version that exists, or
            a disk that is full; nothing is left behind then. If only a configuration file could not be written, the
            version stays.
    """
    run = run_dir if isinstance(run_dir, RunDir) else RunDir(run_dir)
    folder, settings = Path(base), settings or SamplingSettings()
    limits = limits or Limits()
    if settings.max_chars > limits.completion_chars:
        raise SettingError(
            "{max_chars} is {length}, over the longest completion, {limit}: lower it or raise {completion_chars}.",
            length=f"{settings.max_chars:,}",
            limit=f"{limits.completion_chars:,}",
        )
    version = _next_version(folder) if version is None else _free_version(folder, version)
    reference = Generator.load(run.path, context=context)
    text_model = reference.text_model.within(limits, LargestRequest())
    servable, signatures = make_servable(text_model, settings, xla=xla)
    card = make_model_card(run, version, text_model, settings, context, reference=reference)
    made_base = not folder.exists()
    beside = folder / f".{version}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tf.saved_model.save(servable, str(beside), signatures=signatures)
        write_model_card(card, beside)
        write_warmup(beside, model_name=folder.resolve().name, text_model=text_model, settings=settings)
        if verify:
            verify(beside)
        beside.rename(folder / str(version))
    except BaseException as error:  # Ctrl-C too leaves nothing behind
        shutil.rmtree(beside, ignore_errors=True)
        if made_base and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
        if not isinstance(error, (OSError, tf.errors.OpError)):
            raise
        raise UserError(f"Version {version} could not be written to {folder}: {reason(error)}.") from error
    try:
        write_server_configs(folder, {folder.resolve().name: folder})
    except UserError as error:
        raise UserError(f"Version {version} is exported and whole, but {error} The next export tries again.") from error
    return folder / str(version)


def _versions(base: Path) -> list[int]:
    """Lists the versions in a base folder, and makes sure that it is one."""
    check_folder(base, "the model's versions")
    if not base.exists():
        return []
    if (base / GRAPH).exists():
        raise UserError(f"{base} is itself a SavedModel: name the folder above its version number.")
    visible = [child for child in base.iterdir() if not (child.name.startswith(".") or _is_server_file(child))]
    if others := sorted(child.name for child in visible if not (child.is_dir() and child.name.isdecimal())):
        raise UserError(
            f"{base} holds something other than model versions ({others[0]}): name another folder, or empty this one."
        )
    return [int(child.name) for child in visible]


def _is_server_file(path: Path) -> bool:
    return path.name in SERVER_FILES and path.is_file()


def _next_version(base: Path) -> int:
    return max(_versions(base), default=0) + 1


def _free_version(base: Path, version: int) -> int:
    if version in _versions(base):
        raise SettingError(
            "{base} already has version {number}: leave {version} out for the next number.",
            base=str(base),
            number=str(version),
        )
    return version
