"""What the loops that sample characters take and give.

`sampling_loops` writes so. B is the batch, T a number of characters.
"""

from typing import NamedTuple

import tensorflow as tf

from charflow.model.network.cells import State


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


class Begun(NamedTuple):
    """Where the loops begin.

    Attributes:
        state: what was read before.
        tail: int32 [B, LONGEST_STOP], the ids written before.
        begins: bool [B], whether a message begins.
        numbers: float32 [T, B], what each character is drawn with; 0 in greedy rows.
    """

    state: State
    tail: tf.Tensor
    begins: tf.Tensor
    numbers: tf.Tensor
