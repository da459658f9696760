"""The tutorial recipe, step by step as a notebook does it: the baseline of every comparison.

Dense boolean one-hot arrays filled by Python loops, `LSTM(128)`, RMSprop, `fit`, and one `predict` a character.
"""

from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd

LENGTH, STEP, BATCH = 40, 3, 128


def read_text(csvs: Sequence[str], users: Sequence[str], user_column: str, text_column: str) -> str:
    """Reads people's messages with pandas and joins them; everybody's if `users` is empty.

    Raises:
        ValueError: pandas cannot read a file so.
    """
    table = pd.concat([pd.read_csv(csv, usecols=[user_column, text_column]) for csv in csvs])
    kept = table[table[user_column].isin(users)] if users else table
    return " ".join(map(str, kept[text_column])).lower()


def make_arrays(text: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Cuts windows and fills x bool [n, 40, V] and y bool [n, V]."""
    chars = sorted(set(text))
    index = {char: i for i, char in enumerate(chars)}
    sentences, next_chars = [], []
    for i in range(0, len(text) - LENGTH, STEP):
        sentences.append(text[i : i + LENGTH])
        next_chars.append(text[i + LENGTH])
    x = np.zeros((len(sentences), LENGTH, len(chars)), dtype=bool)
    y = np.zeros((len(sentences), len(chars)), dtype=bool)
    for i, sentence in enumerate(sentences):
        for t, char in enumerate(sentence):
            x[i, t, index[char]] = True
        y[i, index[next_chars[i]]] = True
    return chars, x, y


def build_model(n_chars: int) -> keras.Model:
    """LSTM(128), Dense, softmax; RMSprop 0.01; categorical cross-entropy."""
    model = keras.Sequential(
        [keras.Input((LENGTH, n_chars)), keras.layers.LSTM(128), keras.layers.Dense(n_chars, activation="softmax")]
    )
    model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.RMSprop(learning_rate=0.01))
    return model


def generate(model: keras.Model, chars: list[str], seed_text: str, count: int, diversity: float) -> str:
    """Writes `count` characters, one `predict` on the last 40 characters each."""
    index = {char: i for i, char in enumerate(chars)}
    rng = np.random.default_rng(0)
    sentence, written = seed_text[-LENGTH:], ""
    for _ in range(count):
        x = np.zeros((1, LENGTH, len(chars)))
        for t, char in enumerate(sentence):
            x[0, t, index[char]] = 1.0
        predictions = np.log(model.predict(x, verbose=0)[0].astype("float64") + 1e-12) / diversity
        weights = np.exp(predictions) / np.sum(np.exp(predictions))
        char = chars[int(np.argmax(rng.multinomial(1, weights / weights.sum())))]
        sentence, written = sentence[1:] + char, written + char
    return written
