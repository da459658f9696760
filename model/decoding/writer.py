"""Writes ids after given ids, by temperature alone: what `samples` and `memorisation` let a network say.

Traced once, for any number of rows: a row's text depends on its own temperature and seed. B is the number of rows.
"""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import tensorflow as tf

from charflow.model.decoding.decoder import Decoder
from charflow.model.decoding.samplers import SAMPLERS
from charflow.model.decoding.settings import LONGEST_STOP
from charflow.model.decoding.writing import SamplingOptions
from charflow.pipeline.marks import END
from charflow.pipeline.vocabulary import Vocabulary

_GIVEN = (([None], tf.int32), ([None], tf.int32), ([None], tf.float32), ([None], tf.int64))


class Writer:
    """Writes with one decoder.

    Args:
        decoder: of the network.
        xla: whether a loop that XLA compiles writes, as far as there is one.
    """

    def __init__(self, decoder: Decoder, *, xla: bool = False) -> None:
        self._decoder, self._xla = decoder, xla

    def __call__(
        self, before: np.ndarray, chars: int | Sequence[int], *, temperatures: Sequence[float], seeds: Sequence[int]
    ) -> np.ndarray:
        """Writes `chars` ids after the ids `before` [n], for each temperature and seed a row: int32 [B, chars].

        Where `chars` differ, one a row, there are as many columns as the longest has, and 0 after a row's end.
        """
        given = (before, [chars] if isinstance(chars, int) else list(chars), list(temperatures), list(seeds))
        ids = self._write(*(tf.constant(each, dtype) for each, (_, dtype) in zip(given, _GIVEN, strict=True)))
        written: np.ndarray = ids.numpy()
        return written

    @cached_property
    def _write(self) -> Callable[..., tf.Tensor]:
        """The one graph; a `tf.function` would look for it in each call, which takes a third of a millisecond."""
        function = tf.function(self._write_ids, autograph=False)
        return function.get_concrete_function(*(tf.TensorSpec(*spec) for spec in _GIVEN))

    def _write_ids(self, before: tf.Tensor, chars: tf.Tensor, temperatures: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        rows = tf.size(seeds)
        state = self._decoder.read(
            self._decoder.context.zero_state(rows),
            tf.repeat(before[tf.newaxis], rows, axis=0),
            tf.fill([rows], tf.size(before)),
        )
        options = SamplingOptions(
            max_chars=tf.broadcast_to(chars, [rows]),
            temperature=temperatures,
            samplers=tuple(tf.fill([rows], tf.constant(each.off, each.dtype)) for each in SAMPLERS),
            seed=seeds,
            stop_ids=tf.fill([rows, LONGEST_STOP], -1),
            end_id=tf.fill([rows], -1),  # as long as they are asked for: who reads them sees several messages
            messages=tf.ones([rows], tf.int32),
        )
        tail = tf.zeros([rows, LONGEST_STOP], tf.int32)
        begins = tf.zeros([rows], tf.int64)
        written = self._decoder.write(state, tail, begins, options, after_end=False, loop="plain", xla=self._xla)
        return written.ids


def learned_part(written: np.ndarray, vocabulary: Vocabulary) -> str:
    """Decodes what was written, as far as it was learned: behind an answer a question would be next, and none was."""
    text = vocabulary.decode(written)
    return text.partition(END)[0] if vocabulary.replies else text
