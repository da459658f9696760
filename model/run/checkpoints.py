"""Saves and restores a run: weights, optimizer and progress, best and latest.

`trainer` saves; `trainer`, `generator` and `export` restore. While a run trains, a `Snapshot` is written by a thread.
TensorFlow writes a checkpoint's index last, so a crash or a full disk while saving leaves the one before it intact. The
list of checkpoints that TensorFlow keeps beside them is written for other tools and not read here: a power cut may tear
it.
"""

import math
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import keras
import tensorflow as tf

from charflow.model.free_memory import free_memory
from charflow.model.memory.memory import Memory
from charflow.model.run.snapshot import Snapshot
from charflow.model.run.weights_file import read_weights, step_of, weights_file
from charflow.pipeline.errors import UserError, reason

_LATEST, _BEST = "latest", "best"


class Progress(tf.Module):
    """Where a run stands.

    Attributes:
        step: batches done, int64.
        elapsed: seconds of training, float64.
        best: lowest loss by which the best checkpoint is chosen, bits per character, float64.
        stale: evaluations since then, int64.
    """

    def __init__(self) -> None:
        super().__init__(name="progress")
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.elapsed = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.best = tf.Variable(math.inf, dtype=tf.float64, trainable=False)
        self.stale = tf.Variable(0, dtype=tf.int64, trainable=False)

    def is_out_of(self, patience: int) -> bool:
        """Whether so many evaluations brought nothing; never with a patience of 0."""
        return bool(patience) and int(self.stale) >= patience


class Checkpoints:
    """The checkpoints of one run folder.

    Args:
        folder: `checkpoints/` of the run.
        model: the network's weights.
        optimizer: its state; None to restore weights only.
        progress: None likewise.
        memory: whose gate is kept with the weights that it was fitted to; None where there is none.
        kept: latest checkpoints, so that there is one before a damaged one.
    """

    def __init__(
        self,
        folder: Path,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer | None = None,
        progress: Progress | None = None,
        *,
        memory: Memory | None = None,
        kept: int = 2,
    ) -> None:
        parts = {"model": model, "optimizer": optimizer, "progress": progress, "gate": memory and memory.gate}
        self._model, self._memory = model, memory
        self._checkpoint = tf.train.Checkpoint(**{name: part for name, part in parts.items() if part is not None})
        self._latest, self._best, self._kept = folder / _LATEST, folder / _BEST, kept
        self._writing: Future[None] | None = None

    def save_latest(self, step: int) -> None:
        """Saves where the run stands, and comes back when that is written.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        self._save(self._latest, step, self._checkpoint.write, kept=self._kept)

    def save_best(self, step: int) -> None:
        """Saves the best weights so far; as `save_latest`."""
        self._save(self._best, step, self._checkpoint.write, kept=1)

    def save(self, step: int, *, best: bool = False) -> None:
        """Copies where the run stands, and has a thread save that; first as the best so far, if it is.

        It is written at once where the memory for the copy, as much as weights and optimizer take, is not free.

        Raises:
            UserError: as `save_latest`; of the save before this one, or of this where it is written at once.
        """
        self.wait()
        free = free_memory()
        if free is not None and free < self._snapshot.n_bytes:
            self._save_both(step, self._checkpoint.write, best=best)
            return
        self._snapshot.take()
        thread = ThreadPoolExecutor(1, "checkpoints")
        self._writing = thread.submit(self._save_snapshot, step, best=best)
        thread.shutdown(wait=False)  # when this is done; the interpreter's end waits for it

    def wait(self) -> None:
        """Waits until what is being saved is written; raises as `save_latest`, once."""
        if self._writing:
            writing, self._writing = self._writing, None
            writing.result()

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Makes ready for `save`, and leaves when all is written, whatever happens inside; raises as `save_latest`."""
        _ = self._snapshot
        try:
            yield
        finally:
            self.wait()

    def restore_latest(self) -> list[str]:
        """Continues where the run stood; at the beginning where it was stopped before its first save.

        Returns:
            Names of checkpoints that are damaged, for which the one before them was taken.

        Raises:
            UserError: all of them are damaged; or as `wait`.
        """
        self.wait()
        damaged: list[str] = []
        for path in _existing(self._latest, whole=False):
            try:
                self._read(path)
                return damaged
            except Exception:  # TensorFlow's reader has no error of its own for a damaged file
                damaged.append(path.name)
        if damaged:
            raise UserError(
                f"The checkpoints {', '.join(damaged)} in {self._latest} are damaged or cut short: "
                "train again, or restore one from a backup."
            )
        return damaged

    def restore_best(self) -> None:
        """Takes the best weights; those of the latest checkpoint where no best one was saved yet, or of a file of them.

        Raises:
            UserError: there is no checkpoint, or it is damaged; or as `wait`.
        """
        self.wait()
        if file := _file_alone(self._best.parent):
            read_weights(file, self._model, self._memory)
            self._weigh()
            return
        paths = _best(self._best.parent)
        try:
            self._read(paths[0])
        except Exception as error:
            advice = (
                f"delete its files to go back to {paths[1].name}"
                if len(paths) > 1
                else "train again, or restore it from a backup"
            )
            raise UserError(f"The checkpoint {paths[0]} is damaged or cut short: {advice}.") from error

    def _read(self, path: Path) -> None:
        status = self._checkpoint.read(str(path)).expect_partial()  # weights alone may be wanted
        status.assert_existing_objects_matched()
        self._weigh()

    def _weigh(self) -> None:
        if self._memory:
            self._memory.weigh()

    @cached_property
    def _snapshot(self) -> Snapshot:
        return Snapshot(self._checkpoint)

    def _save_snapshot(self, step: int, *, best: bool) -> None:
        try:
            self._save_both(step, self._snapshot.write, best=best)
        finally:
            self._snapshot.drop()

    def _save_both(self, step: int, write: Callable[[str], object], *, best: bool) -> None:
        if best:
            self._save(self._best, step, write, kept=1)
        self._save(self._latest, step, write, kept=self._kept)

    def _save(self, folder: Path, step: int, write: Callable[[str], object], *, kept: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        before, intact = set(folder.iterdir()), _existing(folder)
        try:
            write(str(folder / f"ckpt-{step}"))
            # Those of later steps are of a time that the run has gone back from.
            keep = [path for path in _existing(folder) if _step(path) <= step][:kept]
            tf.compat.v1.train.update_checkpoint_state(
                str(folder.resolve()), keep[0].name, all_model_checkpoint_paths=[path.name for path in reversed(keep)]
            )
        except (tf.errors.OpError, OSError) as error:
            for leftover in set(folder.glob(f"ckpt-{step}[._]*")) - before:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            known = f" The checkpoint before it is intact: {intact[0]}." if intact else ""
            raise UserError(
                f"The checkpoint of step {step:,} could not be saved in {folder}: {reason(error)}.{known}"
            ) from error
        for path in set(_existing(folder, whole=False)) - set(keep):
            for file in folder.glob(f"{path.name}.*"):
                file.unlink()
        for unfinished in folder.glob("ckpt-*_temp"):  # of a run that was killed while it saved
            shutil.rmtree(unfinished, ignore_errors=True)


def best_step(folder: Path) -> int | None:
    """The step of the weights that `Checkpoints.restore_best` takes; None where none were saved."""
    if file := _file_alone(folder):
        return step_of(file)
    paths = _existing(folder / _BEST) or _existing(folder / _LATEST)
    return _step(paths[0]) if paths else None


def best_files(folder: Path) -> list[Path]:
    """The files of these weights; raises as `Checkpoints.restore_best` where there are none."""
    if file := _file_alone(folder):
        return [file]
    return sorted(_best(folder)[0].parent.glob(f"{_best(folder)[0].name}.*"))


def has_weights_alone(folder: Path) -> bool:
    """Whether there is a file of weights and no checkpoint that training could go on from."""
    return _file_alone(folder) is not None


def _file_alone(folder: Path) -> Path | None:
    file = weights_file(folder)
    return file if file.exists() and not folder.exists() else None


def _best(folder: Path) -> list[Path]:
    """The checkpoints of the best weights, newest first."""
    if not (paths := _existing(folder / _BEST) or _existing(folder / _LATEST)):
        raise UserError(f"{folder / _LATEST} holds no checkpoint: the run was stopped before its first save.")
    return paths


def _existing(folder: Path, *, whole: bool = True) -> list[Path]:
    """The checkpoints of a folder, newest first, without the endings of their files; all or those with an index."""
    files = [path for path in folder.glob("ckpt-*.*") if path.suffix == ".index" or not whole]
    found = {path.with_suffix("") for path in files if path.stem.removeprefix("ckpt-").isdecimal()}
    return sorted(found, key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("ckpt-"))
