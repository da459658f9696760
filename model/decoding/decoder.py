"""Reads and writes ids with a trained network, without the Keras layers that trained it.

`contexts` keeps the state, and `remembering` that of a memory beside it; `stepping` takes it further, `sampling_loops`
writes; `text_model` turns strings into ids and back. B is the batch, T a number of characters, U the units, V the
vocabulary size. Ids that are never written have probability 0 everywhere: `[UNK]`, and where answers were learned
`[REPLY]`.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from charflow.model.decoding.compiled_loop import write_compiled
from charflow.model.decoding.contexts import Context, ContextKind, StreamContext, WindowContext
from charflow.model.decoding.remembering import Remembering
from charflow.model.decoding.sampling_loops import Loop, write
from charflow.model.decoding.stepping import IMPOSSIBLE, Stepper, array_like
from charflow.model.decoding.writing import SamplingOptions, Written
from charflow.model.memory.memory import Memory
from charflow.model.network.cells import State
from charflow.model.network.network import Network
from charflow.pipeline.marks import UNKNOWN_ID
from charflow.pipeline.settings import Count, checked


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

    def fixed(self) -> "Decoder":
        """A copy that does not follow further training; see `Context.fixed`."""
        return Decoder(self.context.fixed(), self._kernel, self._bias, self._never)

    @property
    def weights(self) -> list[tf.Tensor]:
        """All weights, as the variables they are."""
        return [*self.context.weights, self._kernel, self._bias]

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
        return self.stepper().logits(state)

    def step(self, ids: tf.Tensor, packed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Reads an id in each row, int32 [B], after a packed state, [B, S].

        Returns:
            Scores of the next character, float32 [B, V], and the packed state, float32 [B, S].
        """
        network = self.stepper()
        state = network.advance(self.context.unpack(packed), ids)
        return network.logits(state), self.context.pack(state)

    def read(self, state: State, ids: tf.Tensor, lengths: tf.Tensor) -> State:
        """Reads the first `lengths` [B] ids of each row of `ids` [B, T]."""
        return self.stepper().read(state, ids, lengths)

    def score(self, state: State, ids: tf.Tensor) -> tuple[State, tf.Tensor, tf.Tensor]:
        """Gives the probability of each id after those before it.

        Args:
            state: what was read before.
            ids: int32 [B, T].

        Returns:
            The state after them, natural logarithms float32 [B, T] (that of an `[UNK]` target is meaningless), and
            whether the target was the most likely id, bool [B, T].
        """

        def judged(logits: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            log_prob = -tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits)
            return log_prob, tf.argmax(logits, axis=1, output_type=tf.int32) == target

        batch = tf.shape(ids)[0]
        state, log_probs, hits = self._before_each(state, ids, judged, [tf.zeros([batch]), tf.zeros([batch], tf.bool)])
        return state, tf.transpose(log_probs), tf.transpose(hits)

    def predict(self, state: State, ids: tf.Tensor) -> tf.Tensor:
        """Scores of all characters before each id is read, float32 [B, T, V].

        Args:
            state: what was read before.
            ids: int32 [B, T].
        """
        nothing = tf.zeros([tf.shape(ids)[0], self.vocabulary_size])
        return tf.transpose(self._before_each(state, ids, lambda logits, _: (logits,), [nothing])[1], [1, 0, 2])

    def _before_each(
        self,
        state: State,
        ids: tf.Tensor,
        look: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, ...]],
        like: Sequence[tf.Tensor],
    ) -> tuple:
        """Reads ids [B, T]; gives the state after them, and what `look` makes of the scores before each, [T, B, ...].

        Args:
            state: what was read before.
            ids: int32 [B, T].
            look: function of logits [B, V] and the id to come [B].
            like: tensors as it gives them.
        """
        network, by_time = self.stepper(), tf.transpose(ids)
        steps = tf.shape(by_time)[0]

        def body(t, state, *arrays):  # type: ignore[no-untyped-def]
            seen = zip(arrays, look(network.logits(state), by_time[t]), strict=True)
            return t + 1, network.advance(state, by_time[t]), *(array.write(t + 1, each) for array, each in seen)

        start = (0, state, *(array_like(each, steps) for each in like))
        _, state, *arrays = tf.while_loop(lambda t, *_: t < steps, body, start)
        return state, *(array.stack()[1:] for array in arrays)

    def write(
        self,
        state: State,
        tail: tf.Tensor,
        position: tf.Tensor,
        options: SamplingOptions,
        *,
        after_end: bool = True,
        loop: Loop | None = None,
        xla: bool = False,
    ) -> Written:
        """Samples characters and reads each one it wrote; see `sampling_loops.write`, with XLA `write_compiled`."""
        if xla:
            return write_compiled(self.stepper, state, tail, position, options, after_end=after_end, loop=loop)
        return write(self.stepper(), state, tail, position, options, after_end=after_end, loop=loop)

    def stepper(self) -> Stepper:
        """What takes a state further, for use inside a loop of the graph that is being traced."""
        bias = tf.convert_to_tensor(self._bias)
        for each in self._never:
            bias += tf.one_hot(each, tf.shape(bias)[0], on_value=IMPOSSIBLE, off_value=0.0)
        return Stepper(self.context.prepared(), tf.convert_to_tensor(self._kernel), bias)


@checked
def make_decoder(
    network: Network,
    context: ContextKind,
    window_length: Count,
    never: Sequence[int] = (UNKNOWN_ID,),
    memory: Memory | None = None,
) -> Decoder:
    """Makes a decoder that reads a network's weights, now and after further training.

    Args:
        network: what was trained.
        context: what it remembers.
        window_length: of the context "window".
        never: the ids that are never written; of a vocabulary `Vocabulary.never_written`.
        memory: what is joined to the network; None where it stands alone.
    """
    reads: Context = (
        StreamContext(network.config.cell, network.layers)
        if context == "stream"
        else WindowContext(network.config.cell, network.layers, window_length)
    )
    return Decoder(Remembering(reads, memory) if memory else reads, *network.dense, never)
