"""The network: ids, one-hot, recurrent layers, dense, logits.

Its weights live in Keras layers; `trainer` differentiates it, `decoding` reads the weights and steps by itself.
B is the batch size, T the window length, U the units, V the vocabulary size.
"""

import gc
from typing import NamedTuple

import keras
import tensorflow as tf

from charflow.model.config import NetworkConfig, Precision
from charflow.model.network.cells import CellWeights
from charflow.model.network.fused_lstm import loss_and_gradients
from charflow.pipeline.settings import Count, Natural, Targets, checked


class LayerSize(NamedTuple):
    """One layer: its kind, how many units it has, and how many trainable floats."""

    kind: str
    units: int
    weights: int


class Network:
    """A trainable network.

    Args:
        config: cell, units, layers, dropout.
        vocabulary_size: V.
        targets: whether training predicts the next character only or every position's.
        seed: of the initial weights and of dropout.
        precision: of the recurrent layers in training; weights, logits, loss and decoding are always float32. On a GPU
            bfloat16 stays float32, whose products the GPU rounds to the 10 bits of TensorFloat-32 by itself.

    Attributes:
        model: the Keras model without dropout, ids int32 [B, T] to logits [B, V] (targets "next") or [B, T, V]
            ("all"). Its layers are the way through on a GPU, where they call cuDNN, and the reference for the CPU's
            faster way.
    """

    @checked
    def __init__(
        self,
        config: NetworkConfig,
        vocabulary_size: Count,
        *,
        targets: Targets,
        seed: Natural,
        precision: Precision = "float32",
    ) -> None:
        self.config = config
        self._seed = seed
        # XLA compiles Keras's LSTM poorly, and Keras reaches cuDNN only uncompiled: hence two ways.
        on_gpus = _computes_on_gpus()
        self._fused = config.cell == "lstm" and precision == "float32" and not on_gpus
        if on_gpus and precision == "bfloat16":  # in which cuDNN left the weights without a gradient
            precision = "float32"
        self._compute_dtype = precision
        layer_class = keras.layers.LSTM if config.cell == "lstm" else keras.layers.GRU
        self._recurrent = [
            layer_class(
                config.units,
                return_sequences=targets == "all" or index < config.layers - 1,
                kernel_initializer=_kernel_initializer(0.0 if index else config.input_init, seed + 3 * index),
                recurrent_initializer=keras.initializers.Orthogonal(seed=seed + 3 * index + 1),
                dtype="float32" if precision == "float32" else f"mixed_{precision}",
                use_cudnn="auto" if on_gpus else False,  # Keras asks only whether the machine has a GPU
                name=f"recurrent_{index}",
            )
            for index in range(config.layers)
        ]
        self._dense = keras.layers.Dense(
            vocabulary_size,
            kernel_initializer=keras.initializers.GlorotUniform(seed + 3 * config.layers),
            dtype="float32",
            name="logits",
        )
        self._vocabulary_size = vocabulary_size
        ids = keras.Input([None], dtype="int32", name="ids")
        self.model = keras.Model(ids, self._logits(ids, masks=[]), name="charflow")

    @property
    def layers(self) -> list[CellWeights]:
        """Weights of the recurrent layers, as the variables they are."""
        return [CellWeights(*(v.value for v in layer.trainable_variables)) for layer in self._recurrent]

    @property
    def layer_sizes(self) -> list[LayerSize]:
        """What it is made of, from its inputs on."""
        recurrent = [LayerSize(self.config.cell, layer.units, layer.count_params()) for layer in self._recurrent]
        return [*recurrent, LayerSize("dense", self._dense.units, self._dense.count_params())]

    @property
    def vocabulary_size(self) -> int:
        """V, with `[UNK]`."""
        return self._vocabulary_size

    @property
    def n_weights(self) -> int:
        """Number of trainable floats."""
        return int(self.model.count_params())

    @property
    def dense(self) -> tuple[tf.Variable, tf.Variable]:
        """Kernel [U, V] and bias [V] of the layer that gives the logits."""
        return self._dense.kernel.value, self._dense.bias.value

    def loss_and_gradients(
        self,
        ids: tf.Tensor,
        targets: tf.Tensor,
        step: tf.Tensor,
        weight: tf.Tensor | float = 1.0,
        learned: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Sums the cross-entropy over all targets, or those to be learned, and differentiates it.

        Args:
            ids: [B, T], any integer type.
            targets: [B] or [B, T].
            step: int64 scalar; together with the seed it decides what dropout drops.
            weight: float32 scalar that the sum is multiplied by before it is differentiated.
            learned: 1 for each target to be learned, 0 for others, float32 of their shape; None learns all.

        Returns:
            The sum in nats, and the gradients, float32, in the order of `model.trainable_variables`.
        """
        ids, targets = tf.cast(ids, tf.int32), tf.cast(targets, tf.int32)
        masks = self._masks(tf.shape(ids)[0], step)
        if self._fused:
            layers = [CellWeights(*map(tf.convert_to_tensor, layer)) for layer in self.layers]
            kernel, bias = map(tf.convert_to_tensor, self.dense)
            loss, gradients = loss_and_gradients(layers, kernel, bias, ids, targets, masks, learned)
            return loss, [gradient * weight for gradient in gradients]
        with tf.GradientTape() as tape:
            logits = self._logits(ids, masks)
            nats = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)  # [B] or [B, T]
            loss = tf.reduce_sum(nats if learned is None else nats * learned)
        variables = [v.value for v in self.model.trainable_variables]
        gradients = tape.gradient(loss, variables, output_gradients=tf.convert_to_tensor(weight, tf.float32))
        return loss, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _logits(self, ids: tf.Tensor, masks: list[tf.Tensor]) -> tf.Tensor:
        """The way through the Keras layers; masks as in `_masks`."""
        hidden = keras.ops.one_hot(ids, self._vocabulary_size, dtype=self._compute_dtype)  # [B, T, V]
        for index, layer in enumerate(self._recurrent):
            hidden = layer(hidden)  # [B, T, U], or [B, U] of the last where only the next character is the target
            if masks:
                mask = masks[index][0] if hidden.shape.rank == 2 else tf.transpose(masks[index], [1, 0, 2])
                hidden *= tf.cast(mask, hidden.dtype)
        return self._dense(hidden)

    def _masks(self, batch: tf.Tensor, step: tf.Tensor) -> list[tf.Tensor]:
        """Dropout masks [1, B, U] of each layer; made outside XLA, whose random numbers are slow on a CPU.

        They are drawn for the global batch, of which each replica takes its part: dropout does not depend on how many
        replicas train.
        """
        if not self.config.dropout:
            return []
        replica = tf.distribute.get_replica_context()
        shape = [1, replica.num_replicas_in_sync * batch, self.config.units]
        first = replica.replica_id_in_sync_group * batch
        kept = 1.0 - self.config.dropout
        seeds = [
            tf.stack([step, tf.constant((self._seed << 8) + index, tf.int64)]) for index in range(self.config.layers)
        ]
        uniforms = [tf.random.stateless_uniform(shape, seed)[:, first : first + batch] for seed in seeds]
        return [tf.cast(uniform < kept, tf.float32) / kept for uniform in uniforms]


def forget_networks() -> None:
    """Frees graphs and weights that nobody uses: they stand in circles that only the collector can break."""
    keras.backend.clear_session()
    gc.collect()


def count_weights(network: NetworkConfig, vocabulary_size: int) -> int:
    """Counts the trainable floats of a network that is not built yet."""
    units, gates = network.units, 4 if network.cell == "lstm" else 3
    biases = 1 if network.cell == "lstm" else 2  # a GRU of Keras has one for the input and one for the state
    inputs = [vocabulary_size, *[units] * (network.layers - 1)]
    recurrent = sum(gates * units * (size + units + biases) for size in inputs)
    return recurrent + (units + 1) * vocabulary_size


def _kernel_initializer(limit: float, seed: int) -> keras.initializers.Initializer:
    """Draws evenly between -limit and limit; 0 is Glorot's limit, by the sizes."""
    if limit:
        return keras.initializers.RandomUniform(-limit, limit, seed)
    return keras.initializers.GlorotUniform(seed)


def _computes_on_gpus() -> bool:
    """Whether the strategy in scope does; outside of any, TensorFlow takes the GPU where there is one."""
    if tf.distribute.has_strategy():
        return any("GPU" in device for device in tf.distribute.get_strategy().extended.worker_devices)
    return bool(tf.config.list_logical_devices("GPU"))
