"""Reads and writes ids with a trained network, without the Keras layers that trained it.

`contexts` keeps the state, `sampling` draws; `text_model` turns strings into ids and back. B is the batch, T a
number of characters, U the units, V the vocabulary size. Id 0, `[UNK]`, has probability 0 everywhere.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import tensorflow as tf

from charflow.model.decoding.contexts import Context, ContextKind, StreamContext, WindowContext
from charflow.model.decoding.samplers import SAMPLERS
from charflow.model.decoding.sampling import draw, uniforms
from charflow.model.decoding.settings import LONGEST_STOP
from charflow.model.network.cells import State
from charflow.model.network.network import Network
from charflow.pipeline.settings import Count, checked
from charflow.pipeline.vocabulary import UNKNOWN_ID

_IMPOSSIBLE = -1e30  # a logit whose softmax is 0 in float32 at every temperature between these two
_COLDEST, _HOTTEST = 1e-6, 1e6


class SamplingOptions(NamedTuple):
    """How each row is sampled; every tensor has shape [B] (`stop_ids` [B, LONGEST_STOP]).

    Attributes:
        max_chars: int32, most characters to write.
        temperature: float32; 0, or what is no number, takes the most likely character.
        samplers: the value of each of `SAMPLERS`, in their order.
        seed: int64.
        stop_ids: int32, the stop string's ids at the right end, filled with -1 at the left; all -1 is off.
    """

    max_chars: tf.Tensor
    temperature: tf.Tensor
    samplers: tuple[tf.Tensor, ...]
    seed: tf.Tensor
    stop_ids: tf.Tensor


class Written(NamedTuple):
    """What `Decoder.write` wrote.

    Attributes:
        ids: int32 [B, T], 0 after a row's end.
        length: int32 [B].
        log_prob: float32 [B], sum of natural logarithms under the model itself (temperature 1, no filter).
        stopped: bool [B], whether the stop string was written.
        state: the context's state after the last character.
        tail: int32 [B, LONGEST_STOP], the last ids written, 0 where there are none.
    """

    ids: tf.Tensor
    length: tf.Tensor
    log_prob: tf.Tensor
    stopped: tf.Tensor
    state: State
    tail: tf.Tensor


class Decoder:
    """A context and the dense layer on top of it.

    Args:
        context: the recurrent layers.
        kernel: float32 [U, V].
        bias: float32 [V].
    """

    def __init__(self, context: Context, kernel: tf.Tensor, bias: tf.Tensor) -> None:
        self.context = context
        self._kernel = kernel
        self._bias = bias

    @property
    def weights(self) -> list[tf.Tensor]:
        """All weights, as the variables they are."""
        return [*(weight for layer in self.context.layers for weight in layer), self._kernel, self._bias]

    @property
    def vocabulary_size(self) -> int:
        """V, with `[UNK]`."""
        return int(self._bias.shape[0])

    def logits(self, state: State) -> tf.Tensor:
        """Scores of the next character, [B, V]."""
        return self._prepared().logits(state)

    def read(self, state: State, ids: tf.Tensor, lengths: tf.Tensor) -> State:
        """Reads the first `lengths` [B] ids of each row of `ids` [B, T]."""
        network = self._prepared()
        by_time = tf.transpose(ids)  # [T, B]

        def body(t: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
            return t + 1, _select(t < lengths, network.advance(state, by_time[t]), state)

        steps = tf.reduce_max(tf.concat([lengths, [0]], axis=0))
        return tf.while_loop(lambda t, _: t < steps, body, (0, state))[1]

    def score(self, state: State, ids: tf.Tensor) -> tuple[State, tf.Tensor, tf.Tensor]:
        """Gives the probability of each id after those before it.

        Args:
            state: what was read before.
            ids: int32 [B, T].

        Returns:
            The state after them, natural logarithms float32 [B, T] (that of an `[UNK]` target is meaningless), and
            whether the target was the most likely id, bool [B, T].
        """
        network = self._prepared()
        by_time = tf.transpose(ids)
        shape = tf.shape(by_time)
        arrays = (_array_like(tf.zeros([shape[1]]), shape[0]), _array_like(tf.zeros([shape[1]], tf.bool), shape[0]))

        def body(t, state, log_probs, hits):  # type: ignore[no-untyped-def]
            logits = network.logits(state)
            log_prob = -tf.nn.sparse_softmax_cross_entropy_with_logits(by_time[t], logits)
            hit = tf.argmax(logits, axis=1, output_type=tf.int32) == by_time[t]
            return t + 1, network.advance(state, by_time[t]), log_probs.write(t + 1, log_prob), hits.write(t + 1, hit)

        _, state, log_probs, hits = tf.while_loop(lambda t, *_: t < shape[0], body, (0, state, *arrays))
        return (
            state,
            tf.transpose(log_probs.stack()[1:]),
            tf.transpose(hits.stack()[1:]),
        )

    def write(self, state: State, tail: tf.Tensor, position: tf.Tensor, options: SamplingOptions) -> Written:
        """Samples characters and reads each one it wrote.

        Args:
            state: what was read before.
            tail: the ids written before, as `Written.tail`; a stop string may begin in them.
            position: int64 [B], number of characters written before.
            options: how to sample.
        """
        # Three loops, because stop strings and rows of different lengths double the ops of a step, and so do samplers,
        # which cost some even where none is used. All give the same text for a row that uses none of these: a sampler
        # only zeroes probabilities.
        taken = tuple(sampler.taken(values) for sampler, values in zip(SAMPLERS, options.samplers, strict=True))
        options = options._replace(samplers=taken)
        used = [tf.reduce_any(sampler.used(values)) for sampler, values in zip(SAMPLERS, taken, strict=True)]
        sampled = tf.reduce_any(tf.stack(used))
        alike = tf.reduce_all((options.stop_ids[:, -1] < 0) & (options.max_chars == options.max_chars[:1]))
        numbers = uniforms(options.seed, position, tf.reduce_max(tf.concat([options.max_chars, [0]], axis=0)))

        def write_rows(sampled: bool) -> tuple:
            return tuple(self._write_rows(state, tail, numbers, options, sampled))

        return Written(
            *tf.case(
                [
                    (sampled, lambda: write_rows(sampled=True)),
                    (alike, lambda: tuple(self._write_plain(state, tail, numbers, options))),
                ],
                default=lambda: write_rows(sampled=False),
            )
        )

    def _write_plain(self, state: State, tail: tf.Tensor, numbers: tf.Tensor, options: SamplingOptions) -> Written:
        """The loop for rows that all write `max_chars` characters, without samplers or stop string."""
        network = self._prepared()
        steps = tf.shape(numbers)[0]
        sample = _drawing(options)

        def body(t, state, written, log_prob):  # type: ignore[no-untyped-def]
            logits = network.logits(state)
            ids, nll = sample(logits, numbers[t])
            return t + 1, network.advance(state, ids), written.write(t + 1, ids), log_prob - nll

        start = (0, state, _array_like(options.max_chars, steps), tf.zeros_like(options.temperature))
        _, state, written, log_prob = tf.while_loop(lambda t, *_: t < steps, body, start)
        ids = tf.transpose(written.stack()[1:])  # [B, T]
        length = options.max_chars
        return Written(ids, length, log_prob, tf.zeros_like(length, tf.bool), state, _latest(tail, ids, length))

    def _write_rows(
        self, state: State, tail: tf.Tensor, numbers: tf.Tensor, options: SamplingOptions, sampled: bool
    ) -> Written:
        """The loop with stop strings and a length of each row's own, and samplers; ends when every row has ended."""
        network = self._prepared()
        sample = _drawing(options, sampled=sampled)
        length = tf.zeros_like(options.max_chars)

        def goes_on(t, stopped, *_):  # type: ignore[no-untyped-def]
            return tf.reduce_any((t < options.max_chars) & ~stopped)

        def body(t, stopped, state, written, log_prob, length, tail):  # type: ignore[no-untyped-def]
            active = (t < options.max_chars) & ~stopped
            ids, nll = sample(network.logits(state), numbers[t])
            tail = tf.where(active[:, tf.newaxis], tf.concat([tail[:, 1:], ids[:, tf.newaxis]], axis=1), tail)
            return (
                t + 1,
                stopped | (active & _ends_with(tail, options.stop_ids)),
                _select(active, network.advance(state, ids), state),
                written.write(t + 1, tf.where(active, ids, UNKNOWN_ID)),
                log_prob - tf.where(active, nll, 0.0),
                length + tf.cast(active, tf.int32),
                tail,
            )

        written = _array_like(length, 0)
        start = (0, tf.cast(length, tf.bool), state, written, tf.zeros_like(options.temperature), length, tail)
        _, stopped, state, written, log_prob, length, tail = tf.while_loop(goes_on, body, start)
        ids = tf.transpose(written.stack()[1:])  # [B, T]
        return Written(ids, length, log_prob, stopped, state, tail)

    def _prepared(self) -> "_Network":
        bias = self._bias + tf.one_hot(UNKNOWN_ID, tf.shape(self._bias)[0], on_value=_IMPOSSIBLE, off_value=0.0)
        return _Network(self.context.prepared(), tf.convert_to_tensor(self._kernel), bias)


@checked
def make_decoder(network: Network, context: ContextKind, window_length: Count) -> Decoder:
    """Makes a decoder that reads a network's weights, now and after further training."""
    reads: Context = (
        StreamContext(network.config.cell, network.layers)
        if context == "stream"
        else WindowContext(network.config.cell, network.layers, window_length)
    )
    return Decoder(reads, *network.dense)


class _Network(NamedTuple):
    """The network as tensors of the graph being traced, outside its loops."""

    context: Context
    kernel: tf.Tensor
    bias: tf.Tensor

    def advance(self, state: State, ids: tf.Tensor) -> State:
        return self.context.advance(state, ids)

    def logits(self, state: State) -> tf.Tensor:
        return self.context.output(state) @ self.kernel + self.bias


def _array_like(first: tf.Tensor, steps: tf.Tensor) -> tf.TensorArray:
    """An array for `steps` tensors from index 1 on; index 0 holds `first`, because no empty array can be stacked."""
    return tf.TensorArray(first.dtype, steps + 1, dynamic_size=True, element_shape=[None]).write(0, first)


def _drawing(
    options: SamplingOptions, *, sampled: bool = False
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Builds a function of logits [B, V] and uniform numbers [B]: sampled ids [B], and -log p of each [B]."""
    warm = options.temperature > _COLDEST  # false for NaN
    samplers = [
        (sampler.keep, values, tf.reduce_any(sampler.used(values)))
        for sampler, values in zip(SAMPLERS, options.samplers if sampled else (), strict=sampled)
    ]
    sharpness = 1.0 / tf.minimum(tf.where(warm, options.temperature, 1.0), _HOTTEST)[:, tf.newaxis]

    def sample(logits: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        probabilities = tf.nn.softmax(logits * sharpness)
        for keep, values, used in samplers:
            probabilities = tf.cond(used, partial(keep, probabilities, values), lambda kept=probabilities: kept)
        most_likely = tf.argmax(logits, axis=1, output_type=tf.int32)
        ids = tf.where(warm, draw(probabilities, numbers), most_likely)
        return ids, tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)

    return sample


def _select(active: tf.Tensor, new: State, old: State) -> State:
    """Takes the new state in active rows."""
    return tuple(
        tf.where(tf.reshape(active, [-1] + [1] * (after.shape.rank - 1)), after, before)
        for after, before in zip(new, old, strict=True)
    )


def _ends_with(tail: tf.Tensor, stop_ids: tf.Tensor) -> tf.Tensor:
    """Whether each row's tail ends with its stop string, bool [B]; a row without one never does."""
    same = tf.reduce_all((tail == stop_ids) | (stop_ids < 0), axis=1)
    return same & (stop_ids[:, -1] >= 0)


def _latest(tail: tf.Tensor, ids: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """The last LONGEST_STOP ids of tail and ids together, where a row of `ids` has `length` ids."""
    both = tf.concat([tail, ids], axis=1)
    places = length[:, tf.newaxis] + tf.range(LONGEST_STOP)  # [B, LONGEST_STOP]
    return tf.gather(both, places, batch_dims=1)
