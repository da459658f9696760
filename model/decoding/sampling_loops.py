"""Writes ids one by one: the loops in which characters are sampled, and what ends a text.

`decoder` calls `write`, `compiled_loop` has XLA compile one of them; `rounds` has them go on with the rows that are
left, `sampling` draws, `samplers` narrow down what may be drawn. B is the batch, T a number of characters, V the
vocabulary size.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import tensorflow as tf

from charflow.model.decoding.rounds import in_rounds, rows_at, with_rows_at
from charflow.model.decoding.samplers import SAMPLERS
from charflow.model.decoding.sampling import draw, uniforms, weigh
from charflow.model.decoding.settings import LONGEST_STOP
from charflow.model.decoding.stepping import Stepper, array_like, select
from charflow.model.decoding.writing import Begun, SamplingOptions, Written
from charflow.model.network.cells import State
from charflow.pipeline.marks import UNKNOWN_ID

_AT_ONCE = 4  # steps of the plain loop between two looks whether to go on: 10 % faster than 2 for a single row
_COLDEST, _HOTTEST = 1e-6, 1e6
_FROZEN = 1e38  # 1 / temperature of greedy rows
Noted = tuple[tf.Tensor, ...]
Choose = Callable[[tf.Tensor, tf.Tensor, Noted], tuple[tf.Tensor, Noted]]
Loop = Literal["sampled", "plain", "rows"]


def write(
    stepper: Stepper,
    state: State,
    tail: tf.Tensor,
    position: tf.Tensor,
    options: SamplingOptions,
    *,
    after_end: bool,
    loop: Loop | None = None,
) -> Written:
    """Samples characters and reads each one it wrote.

    A message that may end the text has a character at least: `end_id` is no choice where one begins.

    Args:
        stepper: the network.
        state: what was read before.
        tail: the ids written before, as `Written.tail`; a stop string may begin in them.
        position: int64 [B], number of characters written before.
        options: how to sample.
        after_end: whether `Written.state` is needed of rows that ended before others, too.
        loop: the one that `options` call for, where that is known when the graph is traced, which is sooner done then;
            None has the graph find out.
    """
    options = taken(options)

    # Three loops, because stop strings and several messages double the ops of a step, and so do samplers, which cost
    # some even where none is used. All give the same text for a row that uses none of these: a sampler only zeroes
    # probabilities.
    def piece(state: State, tail: tf.Tensor, position: tf.Tensor, options: SamplingOptions, few: tf.Tensor) -> Written:
        begun = begin(state, tail, position, options)
        loops: dict[Loop, Callable[[], Written]] = {
            "sampled": lambda: _write_rows(stepper, begun, options, few, sampled=True),
            "plain": lambda: _write_plain(stepper, begun, options, few, after_end),
            "rows": lambda: _write_rows(stepper, begun, options, few, sampled=False),
        }
        if loop:
            return loops[loop]()
        one = (options.messages == 1) | (options.end_id < 0)
        if after_end:  # what the plain loop has to read again takes longer than the other's ops
            one &= options.max_chars == options.max_chars[:1]
        plain = tf.reduce_all(one & (options.stop_ids[:, -1] < 0))
        return tf.case([(uses_samplers(options), loops["sampled"]), (plain, loops["plain"])], loops["rows"])

    return in_rounds(piece, state, tail, position, options)


def taken(options: SamplingOptions) -> SamplingOptions:
    """The options with every sampler's value taken as one that has a meaning."""
    return options._replace(
        samplers=tuple(each.taken(values) for each, values in zip(SAMPLERS, options.samplers, strict=True))
    )


def begin(state: State, tail: tf.Tensor, position: tf.Tensor, options: SamplingOptions) -> Begun:
    """Where the loops begin."""
    numbers = uniforms(options.seed, position, tf.reduce_max(tf.concat([options.max_chars, [0]], axis=0)))
    return Begun(
        state=state,
        tail=tail,
        begins=(position == 0) | (tail[:, -1] == options.end_id),
        numbers=tf.where(warmth(options.temperature)[0], numbers, 0.0),
    )


def uses_samplers(options: SamplingOptions) -> tf.Tensor:
    """Whether any row, of options as `taken` gives them, has a sampler at work, a bool scalar."""
    used = [tf.reduce_any(sampler.used(values)) for sampler, values in zip(SAMPLERS, options.samplers, strict=True)]
    return tf.reduce_any(tf.stack(used))


def _write_plain(stepper: Stepper, begun: Begun, options: SamplingOptions, few: tf.Tensor, after_end: bool) -> Written:
    """The loop for rows that write one message, or as much as they may, without samplers or stop string.

    Rows that have ended run on with the others; what they wrote then is cut off afterwards. The first steps are a loop
    of their own: there a message may begin, and the others come in fours.
    """
    choose = _choosing(options)
    steps = tf.shape(begun.numbers)[0]
    barred = _barred(stepper, begun.begins, options)
    nothing = tf.zeros_like(barred)

    def step(t, writes, state, written, nlls, barred=None):  # type: ignore[no-untyped-def]
        logits = stepper.logits(state)
        ids = choose(logits if barred is None else logits + barred, tf.gather(begun.numbers, t))
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)
        writes &= ids != options.end_id
        return t + 1, writes, stepper.advance(state, ids), written.write(t + 1, ids), nlls.write(t + 1, nll)

    def first_steps(*variables):  # type: ignore[no-untyped-def]
        return *step(*variables), nothing

    def more_steps(*variables):  # type: ignore[no-untyped-def]
        for _ in range(_AT_ONCE):
            variables = step(*variables)
        return variables

    first = tf.minimum(steps, (steps - 1) % _AT_ONCE + 1)
    arrays = (array_like(options.max_chars, steps), array_like(options.temperature, steps))
    start = (0, tf.ones_like(begun.begins), begun.state, *arrays, barred)
    *variables, _ = tf.while_loop(lambda t, *_: t < first, first_steps, start)
    t, _, state, written, nlls = tf.while_loop(
        lambda t, writes, *_: _more_than(few, writes & (t < options.max_chars)), more_steps, variables
    )
    ids, nlls = (tf.transpose(array.stack()[1 : t + 1]) for array in (written, nlls))  # [B, T]
    return _cut_at_ends(stepper, begun, options, state, ids, nlls, after_end)


def _cut_at_ends(
    stepper: Stepper,
    begun: Begun,
    options: SamplingOptions,
    state: State,
    ids: tf.Tensor,
    nlls: tf.Tensor,
    after_end: bool,
) -> Written:
    """Cuts off what was written after a row's end, and reads the others' state again up to there.

    Args:
        stepper: the network.
        begun: where writing began.
        options: how it was done.
        state: after all that was written.
        ids: int32 [B, T].
        nlls: float32 [B, T], of each of them.
        after_end: whether the state of rows that ended early is needed.
    """
    ends = ids == options.end_id[:, tf.newaxis]
    inside = tf.cumsum(tf.cast(ends, tf.int32), axis=1, exclusive=True) == 0
    inside &= tf.range(tf.shape(ids)[1]) < options.max_chars[:, tf.newaxis]
    ids, length = tf.where(inside, ids, UNKNOWN_ID), tf.reduce_sum(tf.cast(inside, tf.int32), axis=1)
    if after_end:
        early = tf.where(length < tf.shape(ids)[1])[:, 0]
        state = with_rows_at(early, state, stepper.read(*rows_at(early, (begun.state, ids, length))))
    return Written(
        ids=ids,
        length=length,
        log_prob=0.0 - tf.reduce_sum(tf.where(inside, nlls, 0.0), axis=1),  # not -sum, which makes -0.0 of nothing
        stopped=tf.zeros_like(begun.begins),
        state=state,
        tail=_latest(begun.tail, ids, length),
        left=options.messages - tf.cast(tf.reduce_any(ends & inside, axis=1), tf.int32),
    )


def _write_rows(stepper: Stepper, begun: Begun, options: SamplingOptions, few: tf.Tensor, *, sampled: bool) -> Written:
    """The loop with stop strings, several messages, and samplers."""
    choose = _choosing(options, sampled=sampled)
    written = array_like(tf.zeros_like(options.max_chars), 0)
    return loop_of_rows(stepper, begun, options, lambda *given: (choose(*given[:2]), ()), written, few=few)[0]


def loop_of_rows(
    stepper: Stepper,
    begun: Begun,
    options: SamplingOptions,
    choose: Choose,
    written: tf.TensorArray,
    noted: Noted = (),
    few: tf.Tensor | int = 0,
) -> tuple[Written, Noted]:
    """Writes rows of different lengths, with stop strings and several messages.

    Args:
        stepper: the network.
        begun: where writing begins.
        options: how it is done.
        choose: function of logits [B, V], uniform numbers [B] and what was noted before: ids [B], and what to note,
            which of a row that has ended is left out.
        written: takes ids from index 1 on.
        noted: what is noted before the first character; tensors [B].
        few: no more rows than that are left to others to go on with, int32 [].
    """
    length = tf.zeros_like(options.max_chars)

    def active(t, stopped, left):  # type: ignore[no-untyped-def]
        return (t < options.max_chars) & ~stopped & (left > 0)

    def goes_on(t, stopped, left, *_):  # type: ignore[no-untyped-def]
        return _more_than(few, active(t, stopped, left))

    def body(t, stopped, left, begins, state, written, log_prob, length, tail, noted):  # type: ignore[no-untyped-def]
        writes = active(t, stopped, left)
        logits = stepper.logits(state)
        ids, notes = choose(logits + _barred(stepper, begins, options), begun.numbers[t], noted)
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)
        tail = tf.where(writes[:, tf.newaxis], tf.concat([tail[:, 1:], ids[:, tf.newaxis]], axis=1), tail)
        ended = writes & (ids == options.end_id)
        return (
            t + 1,
            stopped | (writes & _ends_with(tail, options.stop_ids)),
            left - tf.cast(ended, tf.int32),
            ended,
            select(writes, stepper.advance(state, ids), state),
            written.write(t + 1, tf.where(writes, ids, UNKNOWN_ID)),
            log_prob - tf.where(writes, nll, 0.0),
            length + tf.cast(writes, tf.int32),
            tail,
            select(writes, notes, noted),
        )

    begins = (begun.begins, begun.state)
    so_far = (written, tf.zeros_like(options.temperature), length, begun.tail, noted)
    start = (0, tf.zeros_like(begun.begins), options.messages, *begins, *so_far)
    _, stopped, left, _, state, written, log_prob, length, tail, noted = tf.while_loop(goes_on, body, start)
    ids = tf.transpose(written.stack()[1:])  # [B, T]
    return Written(ids, length, log_prob, stopped, state, tail, left), noted


def _more_than(few: tf.Tensor | int, these: tf.Tensor) -> tf.Tensor:
    """Whether more rows than `few` are among these, bool [B]; a bool scalar."""
    return tf.reduce_sum(tf.cast(these, tf.int32)) > few


def _barred(stepper: Stepper, begins: tf.Tensor, options: SamplingOptions) -> tf.Tensor:
    """What is added to logits, [B, V], so that a message that begins does not end at once."""
    return stepper.barred(tf.where(begins, options.end_id, -1))


def _choosing(options: SamplingOptions, *, sampled: bool = False) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Builds a function of logits [B, V] and uniform numbers [B]: sampled ids [B]."""
    warm, sharpness = warmth(options.temperature)
    if not sampled:
        return lambda logits, numbers: draw(weigh(logits, sharpness), numbers)
    samplers = [
        (sampler.keep, values, tf.reduce_any(sampler.used(values)))
        for sampler, values in zip(SAMPLERS, options.samplers, strict=True)
    ]

    def choose(logits: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        probabilities = weigh(logits, sharpness)
        for keep, values, used in samplers:
            probabilities = tf.cond(used, partial(keep, probabilities, values), lambda kept=probabilities: kept)
        return tf.where(warm, draw(probabilities, numbers), tf.argmax(logits, axis=1, output_type=tf.int32))

    return choose


def warmth(temperature: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Which rows are drawn, bool [B], the others being greedy, and 1 / temperature, float32 [B, 1].

    Of greedy rows that leaves nothing but the likeliest any probability: the number 0 draws the first of those, which
    is sooner done than to look for it beside.
    """
    warm = temperature > _COLDEST  # false for NaN
    return warm, tf.where(warm, 1.0 / tf.clip_by_value(temperature, _COLDEST, _HOTTEST), _FROZEN)[:, tf.newaxis]


def _ends_with(tail: tf.Tensor, stop_ids: tf.Tensor) -> tf.Tensor:
    """Whether each row's tail ends with its stop string, bool [B]; a row without one never does."""
    same = tf.reduce_all((tail == stop_ids) | (stop_ids < 0), axis=1)
    return same & (stop_ids[:, -1] >= 0)


def _latest(tail: tf.Tensor, ids: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """The last LONGEST_STOP ids of tail and ids together, where a row of `ids` has `length` ids."""
    both = tf.concat([tail, ids], axis=1)
    places = length[:, tf.newaxis] + tf.range(LONGEST_STOP)  # [B, LONGEST_STOP]
    return tf.gather(both, places, batch_dims=1)
