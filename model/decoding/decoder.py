"""Reads and writes ids with a trained network, without the Keras layers that trained it.

`contexts` keeps the state, `sampling` draws; `text_model` turns strings into ids and back. B is the batch, T a
number of characters, U the units, V the vocabulary size. Ids that are never written have probability 0 everywhere:
`[UNK]`, and where answers were learned `[REPLY]`.
"""

from collections.abc import Callable, Sequence
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

_AT_ONCE = 2  # steps of the plain loop between two looks whether to go on: 5 % faster than 1 for a single row
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
        end_id: int32, the id that closes a message; -1 where no end of a message ends the text.
        messages: int32, how many messages to write, at least 1.
    """

    max_chars: tf.Tensor
    temperature: tf.Tensor
    samplers: tuple[tf.Tensor, ...]
    seed: tf.Tensor
    stop_ids: tf.Tensor
    end_id: tf.Tensor
    messages: tf.Tensor


class Written(NamedTuple):
    """What `Decoder.write` wrote.

    Attributes:
        ids: int32 [B, T], 0 after a row's end.
        length: int32 [B].
        log_prob: float32 [B], sum of natural logarithms under the model itself (temperature 1, no filter).
        stopped: bool [B], whether the stop string was written.
        state: the context's state after the last character.
        tail: int32 [B, LONGEST_STOP], the last ids written, 0 where there are none.
        left: int32 [B], how many messages remain; 0 where the last one's end was written, by which the text ends.
    """

    ids: tf.Tensor
    length: tf.Tensor
    log_prob: tf.Tensor
    stopped: tf.Tensor
    state: State
    tail: tf.Tensor
    left: tf.Tensor


class Decoder:
    """A context and the dense layer on top of it.

    Args:
        context: the recurrent layers.
        kernel: float32 [U, V].
        bias: float32 [V].
        never: the ids that are never written.
    """

    def __init__(
        self, context: Context, kernel: tf.Tensor, bias: tf.Tensor, never: Sequence[int] = (UNKNOWN_ID,)
    ) -> None:
        self.context = context
        self._never = tuple(never)
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

    @property
    def writes(self) -> list[int]:
        """The ids that may be written."""
        return [each for each in range(self.vocabulary_size) if each not in self._never]

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

    def write(
        self,
        state: State,
        tail: tf.Tensor,
        position: tf.Tensor,
        options: SamplingOptions,
        *,
        after_end: bool = True,
    ) -> Written:
        """Samples characters and reads each one it wrote.

        A message that may end the text has a character at least: `end_id` is no choice where one begins.

        Args:
            state: what was read before.
            tail: the ids written before, as `Written.tail`; a stop string may begin in them.
            position: int64 [B], number of characters written before.
            options: how to sample.
            after_end: whether `Written.state` is needed of rows that ended before others, too.
        """
        # Three loops, because stop strings, several messages and rows of different lengths double the ops of a step,
        # and so do samplers, which cost some even where none is used. All give the same text for a row that uses none
        # of these: a sampler only zeroes probabilities.
        taken = tuple(sampler.taken(values) for sampler, values in zip(SAMPLERS, options.samplers, strict=True))
        options = options._replace(samplers=taken)
        used = [tf.reduce_any(sampler.used(values)) for sampler, values in zip(SAMPLERS, taken, strict=True)]
        sampled = tf.reduce_any(tf.stack(used))
        one = (options.messages == 1) | (options.end_id < 0)
        alike = tf.reduce_all(one & (options.stop_ids[:, -1] < 0) & (options.max_chars == options.max_chars[:1]))
        numbers = uniforms(options.seed, position, tf.reduce_max(tf.concat([options.max_chars, [0]], axis=0)))
        begins = (position == 0) | (tail[:, -1] == options.end_id)

        def write_rows(sampled: bool) -> tuple:
            return tuple(self._write_rows(state, tail, begins, numbers, options, sampled))

        return Written(
            *tf.case(
                [
                    (sampled, lambda: write_rows(sampled=True)),
                    (alike, lambda: tuple(self._write_plain(state, tail, begins, numbers, options, after_end))),
                ],
                default=lambda: write_rows(sampled=False),
            )
        )

    def _write_plain(
        self,
        state: State,
        tail: tf.Tensor,
        begins: tf.Tensor,
        numbers: tf.Tensor,
        options: SamplingOptions,
        after_end: bool,
    ) -> Written:
        """The loop for rows that all write `max_chars` characters, or one message, without samplers or stop string.

        Rows that have ended run on with the others; what they wrote then is cut off, and their state read again,
        afterwards. The first steps are a loop of their own: there a message may begin, and the others come in twos.
        """
        network, choose = self._prepared(), _choosing(options)
        steps = tf.shape(numbers)[0]
        barred = self._barred(begins, options)
        nothing = tf.zeros_like(barred)

        def step(t, writes, state, written, nlls, barred=None):  # type: ignore[no-untyped-def]
            logits = network.logits(state)
            ids = choose(logits if barred is None else logits + barred, tf.gather(numbers, t))
            nll = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)
            writes &= ids != options.end_id
            return t + 1, writes, network.advance(state, ids), written.write(t + 1, ids), nlls.write(t + 1, nll)

        def first_steps(*variables):  # type: ignore[no-untyped-def]
            return *step(*variables), nothing

        def more_steps(*variables):  # type: ignore[no-untyped-def]
            for _ in range(_AT_ONCE):
                variables = step(*variables)
            return variables

        first = tf.minimum(steps, (steps - 1) % _AT_ONCE + 1)
        arrays = (_array_like(options.max_chars, steps), _array_like(options.temperature, steps))
        start = (0, tf.ones_like(begins), state, *arrays, barred)
        *begun, _ = tf.while_loop(lambda t, *_: t < first, first_steps, start)
        _, _, run_on, written, nlls = tf.while_loop(
            lambda t, writes, *_: (t < steps) & tf.reduce_any(writes), more_steps, begun
        )
        ids, nlls = (tf.transpose(array.stack()[1:]) for array in (written, nlls))  # [B, T]
        ends = tf.cast(ids == options.end_id[:, tf.newaxis], tf.int32)
        inside = tf.cumsum(ends, axis=1, exclusive=True) == 0
        ids, length = tf.where(inside, ids, UNKNOWN_ID), tf.reduce_sum(tf.cast(inside, tf.int32), axis=1)
        if after_end:
            early = length < tf.shape(ids)[1]
            run_on = _select(early, self.read(state, ids, tf.where(early, length, 0)), run_on)
        return Written(
            ids=ids,
            length=length,
            log_prob=0.0 - tf.reduce_sum(tf.where(inside, nlls, 0.0), axis=1),  # not -sum, which makes -0.0 of nothing
            stopped=tf.zeros_like(begins),
            state=run_on,
            tail=_latest(tail, ids, length),
            left=options.messages - tf.minimum(tf.reduce_sum(ends, axis=1), 1),
        )

    def _write_rows(
        self,
        state: State,
        tail: tf.Tensor,
        begins: tf.Tensor,
        numbers: tf.Tensor,
        options: SamplingOptions,
        sampled: bool,
    ) -> Written:
        """The loop with stop strings, several messages and rows of different lengths, and samplers."""
        network = self._prepared()
        choose = _choosing(options, sampled=sampled)
        length = tf.zeros_like(options.max_chars)

        def active(t, stopped, left):  # type: ignore[no-untyped-def]
            return (t < options.max_chars) & ~stopped & (left > 0)

        def goes_on(t, stopped, left, *_):  # type: ignore[no-untyped-def]
            return tf.reduce_any(active(t, stopped, left))

        def body(t, stopped, left, begins, state, written, log_prob, length, tail):  # type: ignore[no-untyped-def]
            writes = active(t, stopped, left)
            logits = network.logits(state)
            ids = choose(logits + self._barred(begins, options), numbers[t])
            nll = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)
            tail = tf.where(writes[:, tf.newaxis], tf.concat([tail[:, 1:], ids[:, tf.newaxis]], axis=1), tail)
            ended = writes & (ids == options.end_id)
            return (
                t + 1,
                stopped | (writes & _ends_with(tail, options.stop_ids)),
                left - tf.cast(ended, tf.int32),
                ended,
                _select(writes, network.advance(state, ids), state),
                written.write(t + 1, tf.where(writes, ids, UNKNOWN_ID)),
                log_prob - tf.where(writes, nll, 0.0),
                length + tf.cast(writes, tf.int32),
                tail,
            )

        written, log_prob = _array_like(length, 0), tf.zeros_like(options.temperature)
        start = (0, tf.zeros_like(begins), options.messages, begins, state, written, log_prob, length, tail)
        _, stopped, left, _, state, written, log_prob, length, tail = tf.while_loop(goes_on, body, start)
        ids = tf.transpose(written.stack()[1:])  # [B, T]
        return Written(ids, length, log_prob, stopped, state, tail, left)

    def _barred(self, begins: tf.Tensor, options: SamplingOptions) -> tf.Tensor:
        """What is added to logits, [B, V], so that a message that begins does not end at once."""
        end_id = tf.where(begins, options.end_id, -1)
        return tf.one_hot(end_id, self.vocabulary_size, on_value=_IMPOSSIBLE, off_value=0.0)

    def _prepared(self) -> "_Network":
        bias = tf.convert_to_tensor(self._bias)
        for each in self._never:
            bias += tf.one_hot(each, tf.shape(bias)[0], on_value=_IMPOSSIBLE, off_value=0.0)
        return _Network(self.context.prepared(), tf.convert_to_tensor(self._kernel), bias)


@checked
def make_decoder(
    network: Network, context: ContextKind, window_length: Count, never: Sequence[int] = (UNKNOWN_ID,)
) -> Decoder:
    """Makes a decoder that reads a network's weights, now and after further training.

    Args:
        network: what was trained.
        context: what it remembers.
        window_length: of the context "window".
        never: the ids that are never written; of a vocabulary `Vocabulary.never_written`.
    """
    reads: Context = (
        StreamContext(network.config.cell, network.layers)
        if context == "stream"
        else WindowContext(network.config.cell, network.layers, window_length)
    )
    return Decoder(reads, *network.dense, never)


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


def _choosing(options: SamplingOptions, *, sampled: bool = False) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Builds a function of logits [B, V] and uniform numbers [B]: sampled ids [B]."""
    warm = options.temperature > _COLDEST  # false for NaN
    samplers = [
        (sampler.keep, values, tf.reduce_any(sampler.used(values)))
        for sampler, values in zip(SAMPLERS, options.samplers if sampled else (), strict=sampled)
    ]
    sharpness = 1.0 / tf.minimum(tf.where(warm, options.temperature, 1.0), _HOTTEST)[:, tf.newaxis]

    def choose(logits: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        probabilities = tf.nn.softmax(logits * sharpness)
        for keep, values, used in samplers:
            probabilities = tf.cond(used, partial(keep, probabilities, values), lambda kept=probabilities: kept)
        return tf.where(warm, draw(probabilities, numbers), tf.argmax(logits, axis=1, output_type=tf.int32))

    return choose


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
