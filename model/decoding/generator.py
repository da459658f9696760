"""Completes text in process, with a model loaded from a run folder.

The friendly face of `text_model`: plain Python in and out. `charflow generate` prints what it yields.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from charflow.model.decoding.contexts import ContextKind
from charflow.model.decoding.decoder import Decoder, make_decoder
from charflow.model.decoding.sampling_loops import Loop
from charflow.model.decoding.settings import SETTINGS, Limits, SamplingSettings
from charflow.model.decoding.text_model import Completions, TextModel
from charflow.model.free_memory import refuse_beyond_memory
from charflow.model.memory.memory import Memory
from charflow.model.network.network import Network, count_weights
from charflow.model.run.checkpoints import Checkpoints
from charflow.model.run.run_dir import RunDir
from charflow.model.run.run_memory import load_memory
from charflow.pipeline.errors import SettingError
from charflow.pipeline.marks import asked
from charflow.pipeline.settings import checked
from charflow.pipeline.text import normalise
from charflow.pipeline.vocabulary import CharacterLookup, Vocabulary

_CHUNK = 256  # characters a call; longer texts carry the state from call to call
_XLA_CHUNK = 512  # likewise; the fewer calls the better, because the state carries XLA's rounding from call to call
_STATES = 3  # before, after, and on the way
_PIECE = 32  # characters a call where somebody watches
_LONGEST_PROMPT = 1 << 20  # characters; only a bound for the graph, not for users
_UNASKED = 1 << 20  # bytes that are taken without a look at what is free, which takes a millisecond
# The ops of one character are too small for a GPU, whose rounding would change texts besides.
_DEVICE = "/cpu:0"


@dataclass(frozen=True)
class GeneratedText:
    """One completion.

    Attributes:
        text: what follows the prompt; ends with the stop string where `finish_reason` is "stop". The end of a message
            inside of it is a line break.
        log_prob: sum of natural logarithms under the model (temperature 1, no filter).
        length: characters written.
        finish_reason: "length", "stop", or "end" where the last message is over.
    """

    text: str
    log_prob: float
    length: int
    finish_reason: str


class Generator:
    """A trained model that writes.

    Attributes:
        vocabulary: its characters.
        text_model: the TensorFlow module underneath.
    """

    @checked
    def __init__(self, text_model: TextModel, vocabulary: Vocabulary, *, xla: bool = False) -> None:
        self.text_model = text_model
        self.vocabulary = vocabulary
        self._xla = xla
        self._complete = tf.function(self._complete_on_cpu, reduce_retracing=True, autograph=False)

    @classmethod
    @checked
    def load(
        cls, run_dir: Path | str, *, context: ContextKind = "stream", memory: bool = True, xla: bool = False
    ) -> "Generator":
        """Loads the best checkpoint of a run.

        Args:
            run_dir: the run folder.
            context: "stream" carries the state along; "window" sees the last window of characters only, as the
                tutorial recipe does.
            memory: False leaves out the run's memory of counts, if it has one.
            xla: has XLA compile the loop that writes: half a second the first time for each number of texts at once,
                up to 4 without samplers, and faster from then on. The texts are the same; of one of more than 512
                characters, now and then one is another from some character on.

        >>> generator = Generator.load("runs/a")  # doctest: +SKIP
        >>> generator.generate(["how do i "], seed=7)[0].text  # doctest: +SKIP

        Raises:
            UserError: there is no run, or its checkpoint is damaged.
        """
        run = RunDir(run_dir)
        config, vocabulary = run.load()
        with tf.device(_DEVICE):
            decoder = load_decoder(run, context, memory=memory)
        limits = Limits(prompt_chars=_LONGEST_PROMPT, completion_chars=max(_CHUNK, _XLA_CHUNK))
        return cls(TextModel(decoder, CharacterLookup(vocabulary), config.corpus.text, limits), vocabulary, xla=xla)

    @checked
    def generate(self, prompts: str | Sequence[str], **settings: Any) -> list[GeneratedText]:
        """Completes every prompt, all in one batch.

        Args:
            prompts: one or several; an empty one begins a message.
            settings: fields of `SamplingSettings`.

        Raises:
            UserError: a setting is out of range.
        """
        rows = [prompts] if isinstance(prompts, str) else list(prompts)
        if not rows:
            return []
        wanted = SamplingSettings(**settings)
        found = [GeneratedText("", 0.0, 0, "length")] * len(rows)
        for places, chunk in self._chunks(rows, wanted, self._chunk):
            written = zip(*(part.numpy().tolist() for part in chunk[:4]), strict=True)
            for place, (text, log_prob, length, reason) in zip(places, written, strict=True):
                before = found[place]
                found[place] = GeneratedText(
                    before.text + text.decode(), before.log_prob + log_prob, before.length + length, reason.decode()
                )
        return found

    @checked
    def stream(self, prompt: str, **settings: Any) -> Iterator[str]:
        """Completes one prompt piece by piece; joined, the pieces are the text of `generate`.

        Raises:
            UserError: a setting is out of range.
        """
        size = self._chunk if self._xla else _PIECE
        return (
            chunk.text.numpy()[0].decode() for _, chunk in self._chunks([prompt], SamplingSettings(**settings), size)
        )

    @checked
    def asked(self, question: str, begun: str = "") -> str:
        """Makes the prompt that has a question answered.

        Args:
            question: what somebody else wrote.
            begun: the words that the answer begins with.

        >>> generator.generate(generator.asked("how are you?"))[0].text  # doctest: +SKIP

        Raises:
            UserError: the model has not learned to answer.
        """
        if not self.vocabulary.replies:
            raise SettingError("The run has not learned to answer: train one with {reply}, or leave {reply_to} out.")
        return asked(question, begun)

    @checked
    def unknown_chars(self, prompt: str) -> list[str]:
        """Lists the characters of a prompt that the model has never seen, as they stand in the prompt.

        One that comes about only where the prompt is normalised, from several that were typed, stands as it is then.
        """
        missing = self.vocabulary.unknown_chars(self.normalise(prompt))
        if not missing:
            return []
        typed = list(dict.fromkeys(prompt))
        alone = [text.decode() for text in normalise(tf.constant(typed), self.text_model.settings).numpy()]
        unknown = [char for char, text in zip(typed, alone, strict=True) if set(text) & set(missing)]
        return unknown + [char for char in missing if char not in "".join(alone)]

    @checked
    def normalise(self, text: str) -> str:
        """Treats text as the training text was treated."""
        return normalise(tf.constant(text), self.text_model.settings).numpy().decode()

    def _chunks(
        self, prompts: list[str], settings: SamplingSettings, size: int
    ) -> Iterator[tuple[np.ndarray, Completions]]:
        """Writes piece by piece; yields of each piece the rows that were still being written, and what they got."""
        rows = len(prompts)
        self._check_memory(rows, max(map(len, prompts)))
        places, left = np.arange(rows), settings.max_chars
        columns = {
            setting.name: tf.constant([getattr(settings, setting.name)] * rows, setting.dtype) for setting in SETTINGS
        }
        columns["seed"] = tf.constant(settings.seeds(rows), tf.int64)
        prompt = tf.constant(prompts)
        state = tf.zeros([rows, self.text_model.state_size])
        position = tf.zeros([rows], tf.int64)
        loop = self.text_model.loop_of(settings)
        while True:
            columns["max_chars"] = tf.fill([len(places)], min(left, size))
            chunk = self._complete(prompt, columns, state, position, loop=loop)
            yield places, chunk
            left -= size
            on = np.flatnonzero(chunk.finish_reason.numpy() == b"length")
            if left <= 0 or not len(on):
                return
            places, columns = places[on], {name: tf.gather(column, on) for name, column in columns.items()}
            state, position, prompt = tf.gather(chunk.state, on), tf.gather(chunk.position, on), tf.fill([len(on)], "")

    @property
    def _chunk(self) -> int:
        return _XLA_CHUNK if self._xla else _CHUNK

    def _complete_on_cpu(self, *tensors: Any, loop: Loop) -> Completions:
        with tf.device(_DEVICE):
            return self.text_model.complete(*tensors, after_end=False, loop=loop, xla=self._xla)

    def _check_memory(self, rows: int, longest: int) -> None:
        """Refuses a batch whose ids and states, of which a step holds a few, are more than there is room for."""
        ids = rows * (min(longest, _LONGEST_PROMPT) + 2 * self._chunk)
        floats = rows * (_STATES * self.text_model.state_size + 2 * self.vocabulary.size)
        needed = 4 * (ids + floats)
        if needed > _UNASKED:
            refuse_beyond_memory(needed, f"Completing {rows:,} prompts at once needs", "their number")


@checked
def load_decoder(run_dir: RunDir, context: ContextKind, *, memory: bool = True) -> Decoder:
    """Loads the best weights of a run, and its memory where it has one and that is wanted.

    Raises:
        UserError: there is no run, or its files are damaged.
    """
    config, vocabulary = run_dir.load()
    counts = load_memory(run_dir) if memory else None
    network = load_network(run_dir, counts)
    return make_decoder(network, context, config.training.window_length, vocabulary.never_written, counts).fixed()


def load_network(run_dir: RunDir, memory: Memory | None = None) -> Network:
    """Builds the network of a run and restores its best weights, and what a memory is trusted beside them.

    Raises:
        UserError: there is no run, or its checkpoint is damaged.
    """
    config, vocabulary = run_dir.load()
    refuse_beyond_memory(2 * 4 * count_weights(config.network, vocabulary.size), f"The network of {run_dir.path} needs")
    network = Network(config.network, vocabulary.size, targets=config.training.targets, seed=config.training.seed)
    Checkpoints(run_dir.checkpoints, network.model, memory=memory).restore_best()
    return network
