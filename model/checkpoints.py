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

_KEPT = 2  # latest checkpoints, so that there is one before a damaged one


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
    """

    def __init__(
        self,
        folder: Path,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer | None = None,
        progress: Progress | None = None,
    ) -> None:
        parts = {"model": model, "optimizer": optimizer, "progress": progress}
        self._checkpoint = tf.train.Checkpoint(**{name: part for name, part in parts.items() if part is not None})
        self._latest = tf.train.CheckpointManager(self._checkpoint, str(folder / "latest"), max_to_keep=_KEPT)
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

    def restore_latest(self) -> None:
        """Continues where the run stood; at the beginning where it was stopped before its first save.

        Raises:
            UserError: the latest checkpoint is damaged.
        """
        if _newest(self._latest):
            self._restore(self._latest)

    def restore_best(self) -> None:
        """Takes the best weights; those of the latest checkpoint where no best one was saved yet.

        Raises:
            UserError: there is no checkpoint, or it is damaged.
        """
        self._restore(self._best if _newest(self._best) else self._latest)

    @property
    def has_best(self) -> bool:
        """Whether a best checkpoint was saved."""
        return _newest(self._best) is not None

    def _restore(self, manager: tf.train.CheckpointManager) -> None:
        path = _newest(manager)
        if path is None:
            raise UserError(f"{manager.directory} holds no checkpoint: the run was stopped before its first save.")
        try:
            status = self._checkpoint.restore(path).expect_partial()  # weights alone may be wanted
            status.assert_existing_objects_matched()
        except Exception as error:  # TensorFlow's reader has no error of its own for a damaged file
            others = [str(Path(other).name) for other in manager.checkpoints if other != path]
            advice = (
                f"delete its files to go back to {others[-1]}" if others else "train again, or restore it from a backup"
            )
            raise UserError(f"The checkpoint {path} is damaged or cut short: {advice}.") from error


def _newest(manager: tf.train.CheckpointManager) -> str | None:
    """The last checkpoint that has files: a user may have deleted those of a damaged one."""
    folder = Path(manager.directory)
    return next((path for path in reversed(manager.checkpoints) if any(folder.glob(f"{Path(path).name}.*"))), None)


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
