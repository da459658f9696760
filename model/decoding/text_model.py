"""Strings in, strings out: the trained model as one TensorFlow module.

It joins `pipeline.text`, `pipeline.vocabulary` and `decoder`. `generator` calls its methods in process and `export`
traces the same methods into signatures, so both give the same text. B is the batch, S the size of a packed state,
V the number of characters that can be written.
"""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from charflow.model.decoding.decoder import Decoder
from charflow.model.decoding.largest_request import LargestRequest
from charflow.model.decoding.samplers import SAMPLERS
from charflow.model.decoding.sampling_loops import Loop
from charflow.model.decoding.settings import LONGEST_STOP, Limits, SamplingSettings
from charflow.model.decoding.writing import SamplingOptions
from charflow.model.network.cells import State
from charflow.pipeline.corpus.kept_texts import opening
from charflow.pipeline.corpus.replies import question_end
from charflow.pipeline.marks import END, LINE_BREAK, NAMES, REPLY, UNKNOWN_ID
from charflow.pipeline.text import normalise
from charflow.pipeline.text_settings import TextSettings
from charflow.pipeline.vocabulary import CharacterLookup

_BYTES_PER_CHAR = 16  # of a text that are read for each character it may keep; what NFKC shrinks more is cut shorter
_STATE_STEP = 2.0**24  # a cell's state moves by at most 1 a character, and float32 counts no further than this


class Completions(NamedTuple):
    """What was written, a row each; every tensor has shape [B], `state` [B, S].

    `text` ends with the stop string where `finish_reason` is `stop`, and where it is `end` the last message is over,
    whose `[END]` is not in `text` nor in `length`; else it is `length`. An end inside of the text is a line break.
    `log_prob` is the sum of natural logarithms of all that was drawn, ends too, under the model (temperature 1, no
    filter). `state` and `position` continue the text, after its end with another message.
    """

    text: tf.Tensor
    log_prob: tf.Tensor
    length: tf.Tensor
    finish_reason: tf.Tensor
    state: tf.Tensor
    position: tf.Tensor


class Scores(NamedTuple):
    """How likely texts are.

    Attributes:
        bits_per_char: bits a known character, float32 [B]; 0 without any.
        char_log_probs: natural logarithms, float32 [B, T] padded with 0; of where messages end the last.
        length: characters judged, int32 [B]; the end of a message is one.
        unknown_chars: those of them that the model does not know, int32 [B].
        truncated: whether the text went on beyond what was judged, bool [B].
    """

    bits_per_char: tf.Tensor
    char_log_probs: tf.Tensor
    length: tf.Tensor
    unknown_chars: tf.Tensor
    truncated: tf.Tensor


class TextModel(tf.Module):
    """Completes and scores text.

    Args:
        decoder: the trained network.
        lookup: the vocabulary's tables.
        settings: how text was normalised for training; prompts are treated the same.
        limits: longest prompt (its end is kept) and longest completion.
        largest: bounds of a request; a single row of full length is always within them. None has no bounds.
    """

    def __init__(
        self,
        decoder: Decoder,
        lookup: CharacterLookup,
        settings: TextSettings,
        limits: Limits,
        largest: LargestRequest | None = None,
    ) -> None:
        super().__init__(name="text_model")
        self._decoder = decoder
        self._weights = decoder.weights  # a tf.Module saves the variables that its own attributes hold
        self._lookup = lookup
        self.settings = settings
        self.limits = limits
        self.largest = largest and largest.at_least(limits)

    def within(self, limits: Limits, largest: LargestRequest | None) -> "TextModel":
        """The same weights and tables, which both then share, with other bounds."""
        return TextModel(self._decoder, self._lookup, self.settings, limits, largest)

    @property
    def state_size(self) -> int:
        """S: the packed context, the tail that a stop string may begin in, and of ends how many messages are over."""
        return self._decoder.context.state_size + LONGEST_STOP + self.settings.ends

    def complete(
        self,
        prompt: tf.Tensor,
        settings: Mapping[str, tf.Tensor],
        state: tf.Tensor,
        position: tf.Tensor,
        *,
        after_end: bool = True,
        loop: Loop | None = None,
        xla: bool = False,
    ) -> Completions:
        """Reads the prompts and writes after them.

        Every value of every argument has a text, so that no row can fail its batch: a NaN is 0 in `state`, greedy as
        `temperature`, off in a sampler; `max_chars` is clamped to 0 and the limit, `max_messages` to 0.

        Args:
            prompt: string [B]. At position 0 an empty prompt reads as what separates messages; where answers were
                learned, what stands before the last `REPLY` is answered, and the rest the answer's beginning.
            settings: a tensor [B] or [1] for each of `decoding.settings.SETTINGS`.
            state: float32 [B, S] or [1, S]; zeros to begin.
            position: int64 [B] or [1], characters drawn before; 0 to begin.
            after_end: whether texts that ended are continued, too; their states cost time.
            loop: what `loop_of` says, where all rows have these settings; None has the graph find out.
            xla: whether few rows without samplers are written by a loop that XLA compiles; see `compiled_loop`.
        """
        max_chars = tf.clip_by_value(settings["max_chars"], 0, self.limits.completion_chars)
        prompt = self._bounded(prompt, tf.reduce_max(tf.concat([max_chars, [0]], axis=0)))
        batch = tf.shape(prompt)[0]
        one_each = lambda value: tf.broadcast_to(value, [batch])  # noqa: E731
        position = one_each(position)
        carried, tail, over = self._unpack(tf.broadcast_to(state, [batch, self.state_size]))
        most, stops = one_each(settings["max_messages"]), one_each(settings["stop_at_end"])
        if self.settings.reply:  # what stands behind an answer is not learned
            most, stops = tf.ones_like(most), tf.ones_like(stops)
        ending = stops & (most > 0) & self.settings.ends
        options = SamplingOptions(
            max_chars=one_each(max_chars),
            temperature=one_each(settings["temperature"]),
            samplers=tuple(one_each(settings[sampler.name]) for sampler in SAMPLERS),
            seed=one_each(settings["seed"]),
            stop_ids=self._stop_ids(one_each(settings["stop"])),
            end_id=tf.where(ending, self._end_id(), -1),
            messages=tf.maximum(most - over, 1),
        )
        read = self._read(carried, prompt, begin=position == 0)
        written = self._decoder.write(read, tail, position, options, after_end=after_end, loop=loop, xla=xla)
        ended = written.left == 0
        length = written.length - tf.cast(ended, tf.int32)
        over = tf.where(ended, 0, over + options.messages - written.left)
        return Completions(
            text=self._text_of(written.ids, length),
            log_prob=written.log_prob,
            length=length,
            finish_reason=tf.where(ended, "end", tf.where(written.stopped, "stop", "length")),
            state=self._packed(written.state, written.tail, over),
            position=position + tf.cast(written.length, tf.int64),
        )

    def loop_of(self, wanted: SamplingSettings) -> Loop:
        """The loop that `complete` takes with these settings."""
        if any(getattr(wanted, sampler.name) != sampler.off for sampler in SAMPLERS):
            return "sampled"
        several = self.settings.ends and not self.settings.reply and wanted.stop_at_end and wanted.max_messages > 1
        return "rows" if wanted.stop or several else "plain"

    def next_char(self, prompt: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ranks what may follow each prompt, most likely first (ties: lower code point first).

        Returns:
            The characters, string [B, V], of which the end of a message is called `[END]`, and their probabilities,
            float32 [B, V].
        """
        prompt = self._bounded(prompt, self._decoder.vocabulary_size)
        state = self._read(self._zero_state(prompt), prompt, begin=tf.ones_like(prompt, tf.bool))
        writes = tf.constant(self._decoder.writes, tf.int32)
        probabilities = tf.gather(tf.nn.softmax(self._decoder.logits(state)), writes, axis=1)  # [B, V]
        order = tf.argsort(probabilities, direction="DESCENDING", stable=True)
        return self._chars_of(tf.gather(writes, order), end=NAMES[END]), tf.gather(probabilities, order, batch_dims=1)

    def score(self, text: tf.Tensor) -> Scores:
        """Says how likely each text is, as what follows a separator; where messages end, as a whole message.

        Where answers were learned, what stands before the last `REPLY` is what is answered: it is read as of a prompt.
        Texts over the prompt limit are scored up to it, and not their end. Unknown characters are read, but have no
        probability: they count 0 in the sums and are reported.
        """
        text = self._bounded(text, 1)
        before = tf.zeros_like(text)
        if self.settings.reply:
            question, text = _split(text)
            before = question + REPLY
        most = self.limits.prompt_chars
        ragged = self._ids_of(tf.strings.substr(text, 0, _BYTES_PER_CHAR * (most + 1)))
        truncated = ragged.row_lengths() > most
        ragged = ragged[:, :most]
        if self.settings.ends:
            ends = tf.RaggedTensor.from_row_lengths(
                tf.repeat(self._end_id(), tf.math.count_nonzero(~truncated)), tf.cast(~truncated, tf.int64)
            )
            ragged = tf.concat([ragged, ends], axis=1)
        ids, length = ragged.to_tensor(), tf.cast(ragged.row_lengths(), tf.int32)
        state = self._read(self._zero_state(text), before, begin=tf.ones_like(text, tf.bool))
        _, log_probs, _ = self._decoder.score(state, ids)
        inside = tf.sequence_mask(length, tf.shape(ids)[1])
        known = inside & (ids != UNKNOWN_ID)
        log_probs = tf.where(known, log_probs, 0.0)
        n_known = tf.reduce_sum(tf.cast(known, tf.int32), axis=1)
        nats = 0.0 - tf.reduce_sum(log_probs, axis=1)  # not -sum, which makes -0.0 of nothing
        bits = tf.math.divide_no_nan(nats, tf.cast(n_known, tf.float32) * tf.math.log(2.0))
        return Scores(bits, log_probs, length, length - n_known, truncated)

    def _bounded(self, text: tf.Tensor, chars: tf.Tensor | int) -> tf.Tensor:
        """Gives the texts back if a request of these rows, with so many characters to write, is not too large."""
        if self.largest is None:
            return text
        floats = self.state_size + self._decoder.vocabulary_size
        return self.largest.holding(text, chars=chars, longest=self.limits.prompt_chars, floats=floats)

    def _ids_of(self, text: tf.Tensor) -> tf.RaggedTensor:
        return self._encode(normalise(text, self.settings))

    def _encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        ids = self._lookup.encode(text)
        return ids.with_flat_values(tf.cast(ids.flat_values, tf.int32))

    def _zero_state(self, text: tf.Tensor) -> State:
        return self._decoder.context.zero_state(tf.shape(text)[0])

    def _read(self, state: State, prompt: tf.Tensor, begin: tf.Tensor) -> State:
        prompt = normalise(_last_bytes(prompt, self.limits.prompt_chars), self.settings)
        ids = self._encode(tf.where(begin, self._opened(prompt), prompt))[:, -self._most_read :]
        return self._decoder.read(state, ids.to_tensor(), tf.cast(ids.row_lengths(), tf.int32))

    def _opened(self, prompt: tf.Tensor) -> tf.Tensor:
        """Makes of prompts what stands in the corpus where a text like them begins."""
        if not self.settings.reply:
            return tf.where(tf.strings.length(prompt) == 0, opening(self.settings), prompt)
        question, answer = _split(prompt)
        return question_end(question) + REPLY + answer

    @property
    def _most_read(self) -> int:
        """Characters of a prompt that count: a window forgets what is before it."""
        reach, limit = self._decoder.context.reach, self.limits.prompt_chars
        return limit if reach is None else min(reach, limit)

    def _packed(self, state: State, tail: tf.Tensor, over: tf.Tensor) -> tf.Tensor:
        """Puts together what the next call needs, float32 [B, S]: the context, the tail, messages that are over [B]."""
        numbers = [tail, over[:, tf.newaxis]] if self.settings.ends else [tail]
        parts = [self._decoder.context.pack(state), *(tf.cast(part, tf.float32) for part in numbers)]
        return tf.ensure_shape(tf.concat(parts, axis=1), [None, self.state_size])

    def _unpack(self, packed: tf.Tensor) -> tuple[State, tf.Tensor, tf.Tensor]:
        """Undoes `_packed`, of whatever numbers."""
        packed = tf.clip_by_value(tf.where(tf.math.is_nan(packed), 0.0, packed), -_STATE_STEP, _STATE_STEP)
        context = self._decoder.context
        numbers = tf.cast(packed[:, context.state_size :], tf.int32)
        over = tf.maximum(numbers[:, -1], 0) if self.settings.ends else tf.zeros_like(numbers[:, 0])
        return context.unpack(packed[:, : context.state_size]), numbers[:, :LONGEST_STOP], over

    def _end_id(self) -> tf.Tensor:
        """The id of a message's end, int32; that of `[UNK]`, which is never drawn, where the model has none."""
        return tf.cast(self._lookup.ids_of(tf.constant(END)), tf.int32)

    def _stop_ids(self, stop: tf.Tensor) -> tf.Tensor:
        """Right-aligns the ids of the stop strings, int32 [B, LONGEST_STOP], with -1 on the left."""
        ids = self._ids_of(_last_bytes(stop, LONGEST_STOP))[:, -LONGEST_STOP:]
        ids = ids.with_flat_values(tf.where(ids.flat_values == UNKNOWN_ID, tf.int32.max, ids.flat_values))  # never met
        length = tf.cast(ids.row_lengths(), tf.int32)
        padded = tf.concat(
            [tf.fill([tf.size(length), LONGEST_STOP], -1), ids.to_tensor(shape=[None, LONGEST_STOP])], axis=1
        )
        return tf.gather(padded, length[:, tf.newaxis] + tf.range(LONGEST_STOP), batch_dims=1)

    def _text_of(self, ids: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        inside = tf.sequence_mask(length, tf.shape(ids)[1])
        return tf.strings.reduce_join(tf.where(inside, self._chars_of(ids, end=LINE_BREAK), ""), axis=1)

    def _chars_of(self, ids: tf.Tensor, *, end: str) -> tf.Tensor:
        """Looks up ids [B, T]; the end of a message becomes `end`."""
        chars = self._lookup.chars_of(tf.cast(ids, tf.int64))
        return tf.where(ids == self._end_id(), end, chars) if self.settings.ends else chars


def _split(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts texts at the last `REPLY`: what is answered, "" without one, and the answer."""
    answers = tf.strings.regex_replace(texts, rf"^\C*{REPLY}", "")
    asked = tf.maximum(tf.strings.length(texts) - tf.strings.length(answers) - len(REPLY), 0)
    return tf.strings.substr(texts, tf.zeros_like(asked), asked), answers


def _last_bytes(text: tf.Tensor, chars: int) -> tf.Tensor:
    """Cuts texts before anything is made of each character: enough for the last `chars` of what normalising leaves."""
    most = _BYTES_PER_CHAR * chars
    return tf.strings.substr(text, tf.maximum(tf.strings.length(text) - most, 0), tf.fill(tf.shape(text), most))
