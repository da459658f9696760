"""Trains a run from Python and hands its network to Keras: whoever loads the file needs no charflow.

python examples/with_keras.py chat.csv mira runs/mira mira.keras
"""

import sys

import keras
import numpy as np

from charflow.model import load_keras, train


def likeliest(path: str, ids: np.ndarray) -> int:
    """The id that a saved network finds likeliest after these, int [T]."""
    logits = keras.models.load_model(path)(ids[np.newaxis].astype(np.int32))  # [1, T, V]
    return int(np.argmax(logits[0, -1]))


if __name__ == "__main__":
    chat, user, out, path = sys.argv[1:]
    run = train(chat, out, users=user, units=64, steps=100)
    load_keras(run).save(path)
    vocabulary = run.load()[1]
    print(repr(vocabulary.decode([likeliest(path, vocabulary.encode("good mornin"))])))
