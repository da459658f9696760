"""The network: ids, one-hot, recurrent layers, dense, logits.

Its weights live in Keras layers; `trainer` differentiates it, `decoder` reads the weights and steps by itself.
B is the batch size, T the window length, U the units, V the vocabulary size.
"""

import keras
import tensorflow as tf

from charflow.model.cells import CellWeights
from charflow.model.config import NetworkConfig
from charflow.model.contexts import Context, ContextKind, StreamContext, WindowContext
from charflow.model.decoder import Decoder
from charflow.model.fused_lstm import loss_and_gradients
from charflow.pipeline.windows import Targets


class Network:
    """A trainable network.

    Args:
        config: cell, units, layers, dropout.
        vocabulary_size: V.
        targets: whether training predicts the next character only or every position's.
        seed: of the initial weights and of dropout.

    Attributes:
        model: the Keras model, ids int32 [B, T] to logits [B, V] (targets "next") or [B, T, V] ("all"). It is the
            way through on a GPU, where its layers call cuDNN, and the reference for the CPU's faster way.
    """

    def __init__(self, config: NetworkConfig, vocabulary_size: int, *, targets: Targets, seed: int) -> None:
        self.config = config
        self._seed = seed
        # XLA compiles Keras's LSTM poorly, and Keras reaches cuDNN only uncompiled: hence two ways.
        self._fused = config.cell == "lstm" and not tf.config.list_logical_devices("GPU")
        layer_class = keras.layers.LSTM if config.cell == "lstm" else keras.layers.GRU
        ids = keras.Input([None], dtype="int32", name="ids")
        hidden = keras.ops.one_hot(ids, vocabulary_size)
        self._recurrent = []
        for index in range(config.layers):
            last = index == config.layers - 1
            layer = layer_class(
                config.units,
                return_sequences=targets == "all" or not last,
                kernel_initializer=keras.initializers.GlorotUniform(seed + 3 * index),
                recurrent_initializer=keras.initializers.Orthogonal(seed=seed + 3 * index + 1),
                name=f"recurrent_{index}",
            )
            hidden = layer(hidden)
            self._recurrent.append(layer)
            if config.dropout:
                shape = (None, 1, None) if hidden.ndim == 3 else None
                hidden = keras.layers.Dropout(config.dropout, noise_shape=shape, seed=seed + index)(hidden)
        self._dense = keras.layers.Dense(
            vocabulary_size,
            kernel_initializer=keras.initializers.GlorotUniform(seed + 3 * config.layers),
            name="logits",
        )
        self.model = keras.Model(ids, self._dense(hidden), name="charflow")

    @property
    def layers(self) -> list[CellWeights]:
        """Weights of the recurrent layers, as the variables they are."""
        return [CellWeights(*(v.value for v in layer.trainable_variables)) for layer in self._recurrent]

    @property
    def n_weights(self) -> int:
        """Number of trainable floats."""
        return int(self.model.count_params())

    def decoder(self, kind: ContextKind, window_length: int) -> Decoder:
        """Makes a decoder that reads this network's weights, now and after further training."""
        context: Context = (
            StreamContext(self.config.cell, self.layers)
            if kind == "stream"
            else WindowContext(self.config.cell, self.layers, window_length)
        )
        return Decoder(context, self._dense.kernel.value, self._dense.bias.value)

    def loss_and_gradients(
        self, ids: tf.Tensor, targets: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Sums the cross-entropy over all targets, and differentiates it.

        Args:
            ids: [B, T], any integer type.
            targets: [B] or [B, T].
            step: int64 scalar; together with the seed it decides what dropout drops.

        Returns:
            The sum in nats, and the gradients in the order of `model.trainable_variables`.
        """
        ids, targets = tf.cast(ids, tf.int32), tf.cast(targets, tf.int32)
        if self._fused:
            layers = [CellWeights(*map(tf.convert_to_tensor, layer)) for layer in self.layers]
            kernel, bias = (tf.convert_to_tensor(v.value) for v in (self._dense.kernel, self._dense.bias))
            return loss_and_gradients(layers, kernel, bias, ids, targets, self._masks(tf.shape(ids)[0], step))
        with tf.GradientTape() as tape:
            logits = self.model(ids, training=True)
            loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits))
        variables = [v.value for v in self.model.trainable_variables]
        return loss, [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]

    def _masks(self, batch: tf.Tensor, step: tf.Tensor) -> list[tf.Tensor]:
        """Dropout masks [1, B, U] of each layer; made outside XLA, whose random numbers are slow on a CPU."""
        if not self.config.dropout:
            return []
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        kept = 1.0 - self.config.dropout
        seeds = [
            tf.stack([step, tf.cast(replica, tf.int64) + (self._seed << 16) + (index << 8)])
            for index in range(self.config.layers)
        ]
        return [
            tf.cast(tf.random.stateless_uniform([1, batch, self.config.units], seed) < kept, tf.float32) / kept
            for seed in seeds
        ]
