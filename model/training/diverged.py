"""Ends a run whose loss will not come back, and says what is left of it.

`trainer` shows it the losses and its chief the weights; what is far from all hope is `divergence`'s to say.
"""

import math
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from charflow.model.config import Config
from charflow.model.evaluation.divergence import LossWatch, guess_bits, is_beyond_return
from charflow.model.run.checkpoints import best_step
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.errors import UserError
from charflow.sentences import Sentence


class DivergedError(UserError):
    """The loss is no number, or far worse than guessing and stays there: a lower learning rate may help."""


class DivergenceGuard:
    """Watches one session of a run; each check raises `DivergedError` where the run has diverged.

    Args:
        config: of the run.
        run_dir: where its checkpoints are.
        vocabulary_size: V.
        saved: waits for what is being saved there; what that raises came before.
    """

    def __init__(
        self, config: Config, run_dir: RunDir, vocabulary_size: int, saved: Callable[[], None] = lambda: None
    ) -> None:
        self._learning_rate, self._run_dir, self._saved = config.training.learning_rate, run_dir, saved
        self._vocabulary_size, self._watch = vocabulary_size, LossWatch(vocabulary_size)

    def check_losses(self, step: int, losses: np.ndarray, *, last: bool) -> None:
        """Looks at the losses of the steps before `step`, nats [steps]; `last` as for `LossWatch.sign`."""
        if (bits := self._watch.sign(losses, last=last)) is not None:
            self._raise(step, bits)

    def check_held_out(self, step: int, bits: float) -> None:
        """Looks at what the weights of a step make of the held-out text, bits per character."""
        if is_beyond_return(bits):
            self._raise(step, bits)

    def check_weights(self, step: int, weights: Sequence[keras.Variable]) -> None:
        """Keeps a checkpoint from being replaced by weights that are no numbers."""
        # Where they are: to copy them as NumPy arrays took six times as long.
        if not all(tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(weight))) for weight in weights):
            self._raise(step, math.nan)

    def _raise(self, step: int, bits: float) -> None:
        self._saved()
        guess = guess_bits(self._vocabulary_size)
        best = best_step(self._run_dir.checkpoints)
        kept = "No checkpoint was saved yet." if best is None else f"The best checkpoint, of step {best:,}, is intact."
        if best is not None and not (self._run_dir.figures_of(best)["train_bits"] or math.nan) < guess:
            kept = "No checkpoint of it is better than guessing."
        raise DivergedError(
            Sentence(
                f"The loss diverged after step {step:,}: it is {bits:.4g} bits per character, where guessing takes "
                f"{guess:.3g}; start a new run with a lower {{learning_rate}} (it is "
                f"{self._learning_rate:g}) or with {{clipping}}. {kept}",
                clipping={"clip_norm": 1},
            )
        )
