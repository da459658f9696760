"""Bounds what a request may take in all, so that one of many long rows does not take a server's memory.

`text_model` asks it before it computes anything; `export` puts it into the graph, where limits of a row alone are not
enough. B is the batch.
"""

from typing import NamedTuple

import tensorflow as tf

from charflow.model.decoding.settings import Limits


class LargestRequest(NamedTuple):
    """Bounds of what a request may take in all; larger ones are refused, for memory grows with these products.

    Attributes:
        chars: rows times the longest prompt or completion of them.
        floats: rows times the floats of a state and of a distribution.
    """

    chars: int = 2**22
    floats: int = 2**25

    def at_least(self, limits: Limits) -> "LargestRequest":
        """The same, but that one row as long as the limits allow is always within."""
        return self._replace(chars=max(self.chars, limits.prompt_chars, limits.completion_chars))

    def holding(self, text: tf.Tensor, *, chars: tf.Tensor | int, longest: int, floats: int) -> tf.Tensor:
        """Gives the texts of a request, string [B], back if it is within; the op fails otherwise.

        Args:
            text: what is to be read.
            chars: to be written in each row.
            longest: characters of a text that are read.
            floats: of a state and of a distribution.
        """
        rows = tf.shape(text, tf.int64)[0]
        read = tf.reduce_max(tf.concat([tf.strings.length(text, unit="UTF8_CHAR"), [0]], axis=0))
        request = rows * tf.cast(tf.maximum(tf.minimum(read, longest), chars), tf.int64)
        checks = [
            tf.debugging.Assert(
                found <= most, [f"a request may have at most {most} {what}; send fewer rows than", rows]
            )
            for found, most, what in (
                (request, self.chars, "characters, its rows times the longest"),
                (rows * floats, self.floats, "floats of state and probabilities, all rows together"),
            )
        ]
        with tf.control_dependencies([check for check in checks if check is not None]):  # eager ones give nothing
            return tf.identity(text)
