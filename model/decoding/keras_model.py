"""The network of a run as a plain Keras model, for programs that know Keras and nothing of charflow."""

from pathlib import Path

import keras

from charflow.model.decoding.generator import load_network
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.settings import checked


@checked
def load_keras(run: RunDir | Path | str) -> keras.Model:
    """Loads the Keras model of a run with its best weights: `save`, `fit`, `export` and the like work on it.

    It has the network alone, in float32: no sampling, and no memory of counts. Ids are those of the run's vocabulary,
    `run.load()[1].encode(text)`; B is the batch, T the number of characters, V the vocabulary size.

    Args:
        run: the run, or its folder.

    Returns:
        A model of ids int32 [B, T] that gives logits float32: [B, T, V], after each character, or [B, V], after the
        last, where the run was trained on the next character alone (`targets`).

    >>> model = load_keras("runs/a")  # doctest: +SKIP
    >>> model.save("a.keras")  # doctest: +SKIP
    >>> keras.models.load_model("a.keras").predict(ids)  # doctest: +SKIP

    Raises:
        UserError: there is no run, or its checkpoint is damaged.
    """
    return load_network(run if isinstance(run, RunDir) else RunDir(run)).model
