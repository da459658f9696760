"""What a model knows of the text while it reads and writes: the two decoding contexts.

`cells` has one layer's step; `remembering` puts a memory of counts beside a context; `decoder` drives it character by
character. B is the batch, U the units, L the window length, V the vocabulary size. A context's state is a tuple of
tensors whose dimension 0 is the batch.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import tensorflow as tf

from charflow.model.config import CellKind
from charflow.model.network.cells import CellWeights, GateWeights, State, by_gate, states_per_layer, step

ContextKind = Literal["stream", "window"]


class Context(ABC):
    """Reads characters one after another and gives the top layer's output after each.

    `advance`, `output` and `joined` belong to the copy that `prepared` makes.
    """

    @property
    @abstractmethod
    def weights(self) -> list[tf.Variable]:
        """All weights, as the variables they are."""

    @abstractmethod
    def prepared(self) -> "Context":
        """A copy for use inside a loop of the graph being traced: variables read, invariants computed once."""

    @abstractmethod
    def fixed(self) -> "Context":
        """A copy with the weights as they are now, which are prepared once and no longer in every call."""

    @property
    def reach(self) -> int | None:
        """How many characters before the next one matter; None: all."""
        return None

    @property
    @abstractmethod
    def state_size(self) -> int:
        """Floats in one row's packed state."""

    @abstractmethod
    def zero_state(self, batch: tf.Tensor) -> State:
        """The state before any character, for `batch` rows."""

    @abstractmethod
    def advance(self, state: State, ids: tf.Tensor) -> State:
        """Reads one character in every row; ids int [B]."""

    @abstractmethod
    def output(self, state: State) -> tf.Tensor:
        """The top layer's output after the last character, [B, U]."""

    def joined(self, logits: tf.Tensor, state: State) -> tf.Tensor:
        """The scores of the next character, [B, V], of the network's own and whatever else the state knows."""
        return logits

    def pack(self, state: State) -> tf.Tensor:
        """Flattens a state to float32 [B, state_size]."""
        batch = tf.shape(state[0])[0]
        return tf.concat([tf.reshape(tf.cast(part, tf.float32), [batch, -1]) for part in state], axis=1)

    @abstractmethod
    def unpack(self, packed: tf.Tensor) -> State:
        """Undoes `pack`, of whatever numbers."""


class _Prepared(NamedTuple):
    """The weights of recurrent layers as a step takes them.

    Attributes:
        rows: the first layer's product of one-hot input and kernel is a row of the kernel, so it is looked up; G times
            [V, U], with the bias.
        layers: by gate; of the first the recurrent ones only.
    """

    rows: list[tf.Tensor]
    layers: list[GateWeights]


class RecurrentContext(Context):
    """The recurrent layers.

    Args:
        kind: of the cells.
        layers: weights, from the first layer on.
    """

    def __init__(self, kind: CellKind, layers: Sequence[CellWeights]) -> None:
        self.kind = kind
        self.layers = tuple(layers)
        self.units = int(layers[0].recurrent.shape[0])
        self._per_layer = states_per_layer(kind)
        self._fixed: _Prepared | None = None
        self._prepared = _Prepared([], [])  # of the copy that `prepared` makes

    @property
    def weights(self) -> list[tf.Variable]:
        return tf.nest.flatten(self._fixed or self.layers)

    def prepared(self) -> "RecurrentContext":
        ready = copy.copy(self)
        ready._prepared = tf.nest.map_structure(tf.convert_to_tensor, self._fixed or self._take_apart())
        return ready

    def fixed(self) -> "RecurrentContext":
        fixed = copy.copy(self)
        fixed._fixed = tf.nest.map_structure(lambda each: tf.Variable(each, trainable=False), self._take_apart())
        return fixed

    def _take_apart(self) -> _Prepared:
        layers = [CellWeights(*map(tf.convert_to_tensor, weights)) for weights in self.layers]
        first, *others = (by_gate(self.kind, weights) for weights in layers)
        return _Prepared(first.look_up(), [first._replace(kernels=[], input_bias=[]), *others])

    def _step_layers(self, projected: Sequence[tf.Tensor], state: State) -> State:
        new: list[tf.Tensor] = []
        for index, weights in enumerate(self._prepared.layers):
            if index:
                projected = weights.project(new[-self._per_layer])
            layer_state = state[index * self._per_layer : (index + 1) * self._per_layer]
            new += step(self.kind, projected, layer_state, weights)
        return tuple(new)

    def _project(self, ids: tf.Tensor) -> list[tf.Tensor]:
        return [tf.gather(rows, ids) for rows in self._prepared.rows]  # G times [B, U]

    @property
    def _parts(self) -> int:
        return len(self.layers) * self._per_layer

    @property
    def _output_part(self) -> int:
        return (len(self.layers) - 1) * self._per_layer


class StreamContext(RecurrentContext):
    """Carries the recurrent state from character to character: unlimited context, one cell step a character."""

    @property
    def state_size(self) -> int:
        return self._parts * self.units

    def zero_state(self, batch: tf.Tensor) -> State:
        return tuple(tf.zeros([batch, self.units]) for _ in range(self._parts))

    def advance(self, state: State, ids: tf.Tensor) -> State:
        return self._step_layers(self._project(ids), state)

    def output(self, state: State) -> tf.Tensor:
        return state[self._output_part]

    def unpack(self, packed: tf.Tensor) -> State:
        return tuple(tf.split(packed, self._parts, axis=1))


class WindowContext(RecurrentContext):
    """The last L characters from a zero state, as in the tutorial recipe, without reading L characters each time.

    It keeps L staggered states, each started one character after the other. A new character advances them all in
    one matrix product; the one that has then seen exactly L characters gives the output, and is the next to start
    again from zero. The last part of the state counts the characters read: exactly up to L, from there modulo L.
    """

    def __init__(self, kind: CellKind, layers: Sequence[CellWeights], length: int) -> None:
        super().__init__(kind, layers)
        self.length = length

    @property
    def reach(self) -> int | None:
        return self.length

    @property
    def state_size(self) -> int:
        return self._parts * self.length * self.units + 1

    def zero_state(self, batch: tf.Tensor) -> State:
        parts = (tf.zeros([batch, self.length, self.units]) for _ in range(self._parts))
        return (*parts, tf.zeros([batch], tf.int32))

    def advance(self, state: State, ids: tf.Tensor) -> State:
        *parts, count = state
        starts = tf.one_hot(count % self.length, self.length, on_value=0.0, off_value=1.0)  # [B, L]
        fresh = [part * starts[:, :, tf.newaxis] for part in parts]
        projected = self._project(tf.repeat(ids, self.length))  # G times [B*L, U]
        flat = self._step_layers(projected, tuple(tf.reshape(part, [-1, self.units]) for part in fresh))
        count = tf.where(count + 1 < 2 * self.length, count + 1, self.length)
        return (*(tf.reshape(part, [-1, self.length, self.units]) for part in flat), count)

    def output(self, state: State) -> tf.Tensor:
        count = state[-1]
        oldest = tf.where(count >= self.length, count % self.length, 0)  # [B]
        return tf.gather(state[self._output_part], oldest, batch_dims=1)  # [B, U]

    def unpack(self, packed: tf.Tensor) -> State:
        parts = tf.split(packed[:, :-1], self._parts, axis=1)
        return (
            *(tf.reshape(part, [-1, self.length, self.units]) for part in parts),
            tf.cast(packed[:, -1], tf.int32),
        )
