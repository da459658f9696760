"""Scores text in a Keras layer: how many bits a character takes is the feature of a classifier.

python examples/in_a_classifier.py models/a/1

It learns to tell what the model writes from the same characters in disorder. With two models, of two people, `bits` of
both would tell who wrote a text.
"""

import random
import sys

import keras
import tensorflow as tf


def make_classifier(version: str) -> keras.Model:
    """Makes a model of texts, string [B], that gives the probability, [B, 1], that a text is in order."""
    texts = keras.Input([], dtype="string")
    score = keras.layers.TFSMLayer(version, call_endpoint="score", trainable=False)
    bits = keras.layers.Reshape([1])(score(texts)["bits_per_char"])
    centred = keras.layers.BatchNormalization(momentum=0.5)(bits)  # whatever the model's bits are, a fit is quick
    return keras.Model(texts, keras.layers.Dense(1, activation="sigmoid")(centred))


def sample_texts(version: str, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes texts, string [2 * count], and whether each is in order, [2 * count]."""
    model = tf.saved_model.load(version)  # must outlive the call
    written = model.generate(
        tf.fill([count], ""),
        seed=tf.range(count, dtype=tf.int64),
        max_chars=tf.constant([40]),
        stop_at_end=tf.constant([False]),
    )
    ordered = [text.decode() for text in written["text"].numpy()]
    mixed = ["".join(random.Random(0).sample(text, len(text))) for text in ordered]
    return tf.constant(ordered + mixed), tf.constant([1.0] * count + [0.0] * count)


if __name__ == "__main__":
    texts, labels = sample_texts(sys.argv[1], 64)
    classifier = make_classifier(sys.argv[1])
    classifier.compile(keras.optimizers.Adam(0.3), "binary_crossentropy", metrics=["accuracy"])
    classifier.fit(texts, labels, epochs=40, batch_size=128, verbose=0)
    print(f"accuracy {classifier.evaluate(texts, labels, verbose=0)[1]:.2f}")
