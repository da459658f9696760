"""Writes what TensorBoard shows of a run: the loss of its steps, evaluations, samples, settings.

`trainer` calls it; where there is no default writer, as in workers that are not the chief, nothing is written. The
settings are for the HPARAMS page, which compares the runs below a folder, such as the trials of a sweep.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from charflow.model.config import Config
from charflow.model.evaluation.evaluation import Evaluation
from charflow.model.training.samples import Sample

_POINTS = 4  # of the training loss a call of the graph, which is about half a second
_EVALUATED = ("train_bits", "held_out_part_bits", "held_out_part_accuracy", "windows_per_second")


def log_settings(config: Config, *, run: str) -> None:
    """Begins the run's row on the HPARAMS page."""
    from tensorboard.plugins.hparams import api

    api.hparams({**vars(config.network), **vars(config.training)}, trial_id=run, start_time_secs=time.time())


def log_steps(step: int, losses: np.ndarray, rates: list[float]) -> None:
    """Writes the training loss and the learning rate of the steps before `step`, a few means of them.

    Args:
        step: steps done.
        losses: of the last ones, nats per target character, [steps].
        rates: their learning rates.
    """
    first = step - len(losses)
    for part in np.array_split(np.arange(len(losses)), min(_POINTS, len(losses))):
        at = first + int(part[-1]) + 1
        tf.summary.scalar("step_train_bits", losses[part].mean() / np.log(2), step=at)
        tf.summary.scalar("learning_rate", rates[part[-1]], step=at)


def log_evaluation(row: Mapping[str, Any]) -> None:
    """Writes a row of the metrics file."""
    for name in _EVALUATED:
        if row[name] is not None:
            tf.summary.scalar(name, row[name], step=row["step"])


def log_sample(sample: Sample) -> None:
    """Writes a sample as a text that stands as it is: TensorBoard reads an indented one as code."""
    lines = f"{sample.seed_text}|{sample.text}".splitlines()
    text = "\n".join(f"    {line}" for line in lines)
    tf.summary.text(f"samples/temperature {sample.temperature:g}", text, step=sample.step)


def log_result(held_out: Evaluation | None, best_step: int) -> None:
    """Writes what the best weights came to, which ends the run's row on the HPARAMS page."""
    from tensorboard.plugins.hparams import api_pb2, summary

    if held_out:
        tf.summary.scalar("held_out_bits", held_out.bits_per_char, step=best_step)
        tf.summary.scalar("held_out_accuracy", held_out.accuracy, step=best_step)
    end = summary.session_end_pb(api_pb2.STATUS_SUCCESS)
    tf.summary.experimental.write_raw_pb(end.SerializeToString(), step=best_step)
