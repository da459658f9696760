"""Finds how far a memory is to be trusted beside the weights as they are, before they are judged together.

`chief` calls it before it evaluates or saves. The text that it is fitted to lies between what is learned and what is
held out. R is the number of rows that are read side by side, T the characters of a row, V the vocabulary size.
"""

import tensorflow as tf

from charflow.model.decoding.decoder import Decoder
from charflow.model.evaluation.evaluation import RUN_UP, side_by_side
from charflow.model.memory.memory import Memory
from charflow.model.training_text import TrainingText
from charflow.pipeline.read_only import is_known, plain


class MemoryFit:
    """Fits one memory to one network, again and again.

    Args:
        decoder: of the network alone.
        memory: what is joined to it.
        text: of the run.
    """

    def __init__(self, decoder: Decoder, memory: Memory, text: TrainingText) -> None:
        self._decoder, self._memory = decoder, memory
        before, size = text.piece(max(0, text.train_characters - RUN_UP), RUN_UP), text.vocabulary.size
        rows, inside = side_by_side(text.fitted(), before)
        self._rows, self._judged = plain(rows, size), inside & is_known(rows, size)
        self._judged[:, : len(before)] = False
        self._predict = tf.function(
            self._predict_rows, input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False
        )

    def __call__(self) -> None:
        """Reads the text with the weights as they are, and fits the memory."""
        self._memory.fit(self._predict(self._rows).numpy(), self._rows, self._judged)

    def _predict_rows(self, rows: tf.Tensor) -> tf.Tensor:
        return self._decoder.predict(self._decoder.context.zero_state(tf.shape(rows)[0]), rows)  # [R, T, V]
