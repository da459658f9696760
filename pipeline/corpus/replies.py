"""Puts before each message that is kept what it answers: the row just before it, where somebody else wrote that.

`kept_texts` judged and normalised the rows; what comes of it goes on as any text does. A row of a user who is left out,
or in which nothing stands, is not there; the person's own is answered by nobody, so that a message after it, and the
first of a chat, has an empty question. M is the number of rows in a batch that somebody may have heard, K how many of
them are kept.
"""

import tensorflow as tf

from charflow.pipeline.marks import REPLY

# What a window of the default length can see before an answer. Longer questions cost steps: windows in which nothing
# is to be learned.
LONGEST_QUESTION = 64

Spoken = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def spoken(texts: tf.Tensor, own: tf.Tensor, kept: tf.Tensor) -> Spoken:
    """Says what each row leaves to be answered.

    Args:
        texts: string [M], normalised, none of them empty.
        own: whether the person wrote them, bool [M].
        kept: which are to be learned, bool [M].

    Returns:
        The questions that others left, "" for a row of the person's own, string [M]; texts; kept.
    """
    return tf.where(own, "", question_end(texts)), texts, kept


def question_end(texts: tf.Tensor) -> tf.Tensor:
    """What is read of questions: their last `LONGEST_QUESTION` characters, string of the same shape."""
    start = tf.maximum(tf.strings.length(texts, unit="UTF8_CHAR") - LONGEST_QUESTION, 0)
    return tf.strings.substr(texts, start, tf.strings.length(texts), unit="UTF8_CHAR")


def answered(question: tf.Tensor, rows: Spoken) -> tuple[tf.Tensor, tf.Tensor]:
    """Joins questions and answers of a batch of rows; for `tf.data.Dataset.scan`, which takes them in order.

    Args:
        question: what the rows before left to be answered, string [].
        rows: as `spoken` gives them.

    Returns:
        What these leave to be answered, string []; and the texts, each `question REPLY answer`, string [K].
    """
    left, texts, kept = rows
    asked = tf.concat([question[tf.newaxis], left], axis=0)  # [M + 1]
    return asked[-1], tf.boolean_mask(asked[:-1] + REPLY + texts, kept)
