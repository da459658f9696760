"""The samplers: ways to leave unlikely characters out before one is drawn. Each is a module here, and nothing else.

`SAMPLERS` lists what the modules define, by their places, which is the order in which they are applied. A new one has
the place that Hugging Face's transformers gives it (`_get_logits_processor`: temperature, top-k 10, top-p 20, min-p 30,
typical 40, epsilon 50, eta 60), so that the same numbers mean the same there. llama.cpp takes typical before top-p, and
the temperature last.

Commands, TOML, checks, signatures, their defaults, the warm-up file and the documentation read this table; none of them
names a sampler. Nothing here loads TensorFlow before a sampler runs.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from charflow.pipeline.bounds import Bounds

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A way to leave characters out, and the setting that says how much. B is the batch, V the vocabulary size.

    Attributes:
        name: of the setting.
        dtype: of its tensor; a whole number for int32.
        off: the value with which nothing is left out; the default everywhere.
        usual: a value that people use; requests that try everything have it.
        bounds: of the value. In a graph, what is outside is taken as the nearest bound, and NaN as off.
        metavar: what the value is called in a command's help.
        help: what the setting does, for the help and the documentation; without a full stop.
        place: samplers are applied from the lowest place to the highest.
        keep: function of probabilities float32 [B, V], in any scale, and values [B]: the probabilities [B, V], 0 where
            left out and as they were elsewhere. It leaves at least one id in each row, and a row that is off as it is.
    """

    name: str
    dtype: Literal["int32", "float32"]
    off: float
    usual: float
    bounds: Bounds
    metavar: str
    help: str
    place: int
    keep: "Callable[[tf.Tensor, tf.Tensor], tf.Tensor]"

    def taken(self, values: "tf.Tensor") -> "tf.Tensor":
        """Takes every value [B] as one that has a meaning, so that no row can fail its batch."""
        import tensorflow as tf

        if self.dtype == "float32":
            values = tf.where(tf.math.is_nan(values), self.off, values)
        low, high = self.bounds.at_least, self.bounds.at_most
        if low is None:
            low = self.bounds.above
        values = values if low is None else tf.maximum(values, tf.cast(low, self.dtype))
        return values if high is None else tf.minimum(values, tf.cast(high, self.dtype))

    def used(self, values: "tf.Tensor") -> "tf.Tensor":
        """Whether each value [B], as `taken` gives it, leaves anything out, bool [B]."""
        import tensorflow as tf

        return values != tf.cast(self.off, self.dtype)


SAMPLERS: tuple[Sampler, ...] = tuple(
    sorted(
        (import_module(f"{__name__}.{module.name}").SAMPLER for module in pkgutil.iter_modules(__path__)),
        key=lambda sampler: sampler.place,
    )
)
