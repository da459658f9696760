"""The weights of a run in one file that other programs read, too: safetensors, in the root of a folder for a hub.

Such a folder is a run without its training: `checkpoints` takes its weights from here. Tensors have the names of the
Keras model's variables; the memory's gate is beside them.
"""

from pathlib import Path

import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from charflow.model.memory.memory import Memory
from charflow.pipeline.errors import UserError, reason

NAME = "model.safetensors"
_STEP, _GATE = "step", "memory/gate"


def weights_file(checkpoints: Path) -> Path:
    """Where such a file stands, by the folder where the run would have its checkpoints."""
    return checkpoints.parent / NAME


def write_weights(path: Path, model: keras.Model, memory: Memory | None, step: int) -> None:
    """Writes weights, float32 as they are, and the step that they are of; raises OSError where that fails."""
    tensors = {name: np.ascontiguousarray(variable) for name, variable in _variables(model, memory).items()}
    path.write_bytes(save(tensors, metadata={_STEP: str(step)}))


def read_weights(path: Path, model: keras.Model, memory: Memory | None = None) -> None:
    """Gives a model, and a memory that it was fitted to, the weights of a file.

    Raises:
        UserError: the file is damaged, or of another network.
    """
    try:
        with safe_open(path, framework="np") as file:
            wanted = _variables(model, memory)
            tensors = {name: file.get_tensor(name) for name in wanted}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged, or of another network: {reason(error)}.") from error
    for name, variable in wanted.items():
        if tensors[name].shape != tuple(variable.shape):
            raise UserError(
                f"{path} is of another network: {name} is {tensors[name].shape}, not {tuple(variable.shape)}."
            )
        variable.assign(tensors[name])


def step_of(path: Path) -> int:
    """After how many steps the weights were saved; 0 where the file does not tell."""
    try:
        with safe_open(path, framework="np") as file:
            step = (file.metadata() or {}).get(_STEP, "")
    except (SafetensorError, OSError):
        return 0
    return int(step) if step.isdecimal() else 0


def _variables(model: keras.Model, memory: Memory | None) -> dict:
    named = {variable.path: variable for variable in model.weights}
    return {**named, _GATE: memory.gate} if memory else named
