"""Saves and restores a run: weights, optimizer and progress, best and latest.

`trainer` saves; `trainer`, `generator` and `export` restore. Files are written under a new name before the index of
the folder points to them, so a crash or a full disk while saving leaves the checkpoint before it intact.
"""

import math
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from charflow.pipeline.errors import UserError, reason


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


class Checkpoints:
    """The checkpoints of one run folder.

    Args:
        folder: `checkpoints/` of the run.
        model: the network's weights.
        optimizer: its state; None to restore weights only.
        progress: None likewise.
        kept: latest checkpoints, so that there is one before a damaged one.
    """

    def __init__(
        self,
        folder: Path,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer | None = None,
        progress: Progress | None = None,
        *,
        kept: int = 2,
    ) -> None:
        parts = {"model": model, "optimizer": optimizer, "progress": progress}
        self._checkpoint = tf.train.Checkpoint(**{name: part for name, part in parts.items() if part is not None})
        self._latest = tf.train.CheckpointManager(self._checkpoint, str(folder / "latest"), max_to_keep=kept)
        self._best = tf.train.CheckpointManager(self._checkpoint, str(folder / "best"), max_to_keep=1)

    def save_latest(self, step: int) -> None:
        """Saves where the run stands.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        _save(self._latest, step)

    def save_best(self, step: int) -> None:
        """Saves the best weights so far; raises as `save_latest`."""
        _save(self._best, step)

    def restore_latest(self) -> list[str]:
        """Continues where the run stood; at the beginning where it was stopped before its first save.

        Returns:
            Names of checkpoints that are damaged, for which the one before them was taken.

        Raises:
            UserError: all of them are damaged.
        """
        damaged: list[str] = []
        for path in _existing(self._latest):
            try:
                self._read(path)
                return damaged
            except Exception:  # TensorFlow's reader has no error of its own for a damaged file
                damaged.append(Path(path).name)
        if damaged:
            raise UserError(
                f"The checkpoints {', '.join(damaged)} in {self._latest.directory} are damaged or cut short: "
                "train again, or restore one from a backup."
            )
        return damaged

    def restore_best(self) -> None:
        """Takes the best weights; those of the latest checkpoint where no best one was saved yet.

        Raises:
            UserError: there is no checkpoint, or it is damaged.
        """
        manager = self._best if _existing(self._best) else self._latest
        paths = _existing(manager)
        if not paths:
            raise UserError(f"{manager.directory} holds no checkpoint: the run was stopped before its first save.")
        try:
            self._read(paths[0])
        except Exception as error:
            advice = (
                f"delete its files to go back to {Path(paths[1]).name}"
                if len(paths) > 1
                else "train again, or restore it from a backup"
            )
            raise UserError(f"The checkpoint {paths[0]} is damaged or cut short: {advice}.") from error

    @property
    def has_best(self) -> bool:
        """Whether a best checkpoint was saved."""
        return bool(_existing(self._best))

    def _read(self, path: str) -> None:
        status = self._checkpoint.restore(path).expect_partial()  # weights alone may be wanted
        status.assert_existing_objects_matched()


def _existing(manager: tf.train.CheckpointManager) -> list[str]:
    """The checkpoints that have files, newest first: a user may have deleted those of a damaged one."""
    folder = Path(manager.directory)
    return [path for path in reversed(manager.checkpoints) if any(folder.glob(f"{Path(path).name}.*"))]


def _save(manager: tf.train.CheckpointManager, step: int) -> None:
    folder = Path(manager.directory)
    before = set(folder.glob("*"))
    try:
        manager.save(checkpoint_number=step, check_interval=False)
    except (tf.errors.OpError, OSError) as error:
        for leftover in set(folder.glob(f"ckpt-{step}[._]*")) - before:
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        kept = f" The checkpoint before it is intact: {manager.latest_checkpoint}." if manager.latest_checkpoint else ""
        raise UserError(
            f"The checkpoint of step {step:,} could not be saved in {manager.directory}: {reason(error)}.{kept}"
        ) from error
