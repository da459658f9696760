"""Turns messages into one encoded text: the ids that windows are cut from.

`messages` reads and judges the rows; this module keeps, normalises, joins and encodes them; `windows` cuts the
result. N is the number of characters. Everything is decided by `CorpusSettings` and the files' content.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from charflow.pipeline.corpus_cache import FACTS, CorpusCache
from charflow.pipeline.csv_source import CsvFormat
from charflow.pipeline.errors import UserError
from charflow.pipeline.messages import VERDICTS, Messages, judge, read_messages
from charflow.pipeline.text import TextSettings, normalise
from charflow.pipeline.vocabulary import CharacterLookup, Vocabulary

SEPARATOR = " "  # between messages, as in the tutorial recipe
_CODE_POINTS = 0x110000
_UNFIT = "bad row"
_BEYOND = "beyond the fraction"


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """Which messages count and how they become text.

    Attributes:
        users: ids to keep; empty keeps everybody.
        drop_users: ids to leave out, such as bots.
        fraction: the first `int(n * fraction)` of the n messages kept so far are used.
        min_length: least code points in a message; empty messages never count.
        min_count: characters that occur less often become `[UNK]`.
        held_out: share of the messages, at the end, that is never trained on.
        text: normalisation of the characters.
        csv: columns and form of the files.
    """

    users: tuple[str, ...] = ()
    drop_users: tuple[str, ...] = ()
    fraction: float = 1.0
    min_length: int = 1
    min_count: int = 1
    held_out: float = 0.1
    text: TextSettings = field(default_factory=TextSettings)
    csv: CsvFormat = field(default_factory=CsvFormat)

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise UserError(f"The fraction of messages must be above 0 and at most 1, not {self.fraction:g}.")
        if not 0 <= self.held_out < 1:
            raise UserError(f"The held-out share must be at least 0 and below 1, not {self.held_out:g}.")
        if self.min_length < 0 or self.min_count < 1:
            raise UserError("The least message length is 0 or more, and the least character count 1 or more.")
        if both := sorted(set(self.users) & set(self.drop_users)):
            raise UserError(f"User {both[0]} is both kept and dropped.")


@dataclass(frozen=True)
class Corpus:
    """An encoded text, split by messages into a training part and a held-out tail.

    Attributes:
        ids: the whole text, [N], smallest unsigned integer type (uint8 up to 255 distinct characters).
        split: ids before this index are for training; the rest is held out.
        vocabulary: the characters of `ids`.
        rows: rows read, bad ones included.
        dropped: number of rows left out, by reason.
        messages: messages in the text; `rows` minus all that were dropped.
        held_out_messages: how many of them are in the tail.
        fingerprint: SHA-256 of vocabulary, ids and split, in hexadecimal: equal for equal training data.
    """

    ids: np.ndarray
    split: int
    vocabulary: Vocabulary
    rows: int
    dropped: dict[str, int]
    messages: int
    held_out_messages: int

    @classmethod
    def from_csv(
        cls,
        paths: str | Sequence[str],
        *,
        user: str | Sequence[str] | None = None,
        drop_users: Sequence[str] = (),
        fraction: float = 1.0,
        min_length: int = 1,
        min_count: int = 1,
        held_out: float = 0.1,
        text: TextSettings | None = None,
        csv: CsvFormat | None = None,
        cache: CorpusCache | None = None,
    ) -> "Corpus":
        """Reads chat CSVs into a corpus; the arguments are those of `CorpusSettings`.

        Args:
            paths: files or globs, in the order their messages are to be read.
            user: one id or several to keep; None keeps everybody.
            cache: where encoded corpora are kept, so that the same files and settings are not read twice.

        >>> corpus = Corpus.from_csv("chat.csv", user="mira", fraction=0.2)  # doctest: +SKIP
        >>> corpus.vocabulary.decode(corpus.ids[:9])  # doctest: +SKIP
        'oh my dea'

        Raises:
            UserError: whatever is wrong with files or arguments, or no message is left.
        """
        settings = CorpusSettings(
            users=(user,) if isinstance(user, str) else tuple(user or ()),
            drop_users=tuple(drop_users),
            fraction=fraction,
            min_length=min_length,
            min_count=min_count,
            held_out=held_out,
            text=text or TextSettings(),
            csv=csv or CsvFormat(),
        )
        return build_corpus(paths, settings, cache)

    @property
    def train_ids(self) -> np.ndarray:
        """The training part, [split]; it ends with the separator before the tail."""
        return self.ids[: self.split]

    @property
    def held_out_ids(self) -> np.ndarray:
        """The tail that is never trained on, [N - split]."""
        return self.ids[self.split :]

    @cached_property
    def fingerprint(self) -> str:
        """Hashes what a model can learn from; see the class."""
        digest = hashlib.sha256("".join(self.vocabulary.chars).encode())
        digest.update(np.ascontiguousarray(self.ids).data)
        digest.update(str(self.split).encode())
        return digest.hexdigest()

    def facts(self) -> dict[str, Any]:
        """Sums the corpus up, for people and for model cards."""
        return {
            "fingerprint": self.fingerprint,
            "rows": self.rows,
            "dropped": self.dropped,
            "messages": self.messages,
            "held_out_messages": self.held_out_messages,
            "characters": len(self.ids),
            "train_characters": self.split,
            "held_out_characters": len(self.ids) - self.split,
            "distinct_characters": len(self.vocabulary.chars),
        }


def build_corpus(paths: str | Sequence[str], settings: CorpusSettings, cache: CorpusCache | None = None) -> Corpus:
    """Reads chat CSVs into a corpus, or takes it from the cache; see `Corpus.from_csv`."""
    key = cache.key(paths, json.dumps(asdict(settings), sort_keys=True)) if cache else ""
    if cache and (stored := cache.load(key)):
        ids, vocabulary, facts = stored
        return Corpus(ids, facts.pop("split"), vocabulary, **facts)
    corpus = _read(read_messages(paths, settings.csv), settings)
    if cache:
        cache.store(key, corpus.ids, corpus.vocabulary, {name: getattr(corpus, name) for name in FACTS})
    return corpus


def _read(messages: Messages, settings: CorpusSettings) -> Corpus:
    kept, dropped = _kept_texts(messages, settings)
    n_kept = sum(len(batch) for batch in kept)
    if not n_kept:
        raise UserError(
            f"No message is left of {messages.rows:,} rows: all were filtered out as dropped users, "
            f"empty or too short. Most active: {_most_active(messages)}."
        )
    n_used = int(n_kept * settings.fraction)
    if not n_used:
        raise UserError(f"A fraction of {settings.fraction:g} leaves none of the {n_kept:,} messages.")
    n_tail = int(n_used * settings.held_out)
    pieces = list(_separated(kept, n_used))
    del kept
    vocabulary = Vocabulary.from_counts(_count_chars(pieces), min_count=settings.min_count)
    ids, lengths = _encode(pieces, vocabulary)
    return Corpus(
        ids=ids,
        split=len(ids) - int(lengths[len(lengths) - n_tail :].sum()),
        vocabulary=vocabulary,
        rows=messages.rows + len(messages.bad_rows),
        dropped={
            reason: count
            for reason, count in {
                _UNFIT: len(messages.bad_rows),
                **dropped,
                _BEYOND: n_kept - n_used,
            }.items()
            if count
        },
        messages=n_used,
        held_out_messages=n_tail,
    )


def _check_users(messages: Messages, settings: CorpusSettings, seen: np.ndarray) -> None:
    """Refuses user ids without a row, `seen` being the rows of each: a misspelt id would go unnoticed."""
    absent = [user for user, rows in zip(settings.users, seen, strict=True) if not rows]
    if absent:
        who = "user" if len(absent) == 1 else "users"
        raise UserError(
            f"No messages from {who} {', '.join(absent)}: 0 of {messages.rows:,} rows."
            f" Most active: {_most_active(messages)}."
        )


def _kept_texts(messages: Messages, settings: CorpusSettings) -> tuple[list[tf.Tensor], dict[str, int]]:
    """Filters and normalises: batches of texts [B], and how many rows each reason dropped."""

    wanted = tf.constant(settings.users, tf.string, shape=[len(settings.users)])

    def judged(users: tf.Tensor, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        verdicts = judge(
            users,
            texts,
            keep_users=settings.users,
            drop_users=settings.drop_users,
            min_length=settings.min_length,
        )
        kept = normalise(tf.boolean_mask(texts, verdicts == 0), settings.text)
        seen = tf.reduce_sum(tf.cast(users[:, tf.newaxis] == wanted, tf.int64), axis=0)
        return kept, tf.math.bincount(verdicts, minlength=len(VERDICTS)), seen

    batches, counts, seen = [], np.zeros(len(VERDICTS), np.int64), np.zeros(len(settings.users), np.int64)
    for texts, verdict_counts, user_rows in messages.dataset().map(judged, num_parallel_calls=tf.data.AUTOTUNE):
        batches.append(texts)
        counts += verdict_counts.numpy()
        seen += user_rows.numpy()
    _check_users(messages, settings, seen)
    return batches, dict(zip(VERDICTS[1:], counts[1:].tolist(), strict=True))


def _separated(batches: list[tf.Tensor], n_used: int) -> Iterator[tf.Tensor]:
    """Cuts the batches off after `n_used` messages and puts the separator after every message but the last."""
    left = n_used
    for batch in batches:
        texts = batch[:left]
        left -= len(texts)
        if not len(texts):
            continue
        if left:
            yield texts + SEPARATOR
        else:
            yield tf.concat([texts[:-1] + SEPARATOR, texts[-1:]], axis=0)
            return


def _count_chars(pieces: Sequence[tf.Tensor]) -> dict[str, int]:
    counts = np.zeros(_CODE_POINTS, np.int64)
    for texts in pieces:
        points = tf.strings.unicode_decode(texts, "UTF-8").flat_values.numpy()
        found = np.bincount(points)
        counts[: len(found)] += found
    return {chr(point): int(counts[point]) for point in np.flatnonzero(counts)}


def _encode(pieces: Sequence[tf.Tensor], vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Looks up every character; returns ids [N] and the length of each message with its separator."""
    lookup = CharacterLookup(vocabulary)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def encode(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        ids = lookup.encode(texts)
        return tf.cast(ids.flat_values, tf.as_dtype(vocabulary.dtype)), ids.row_lengths()

    encoded = [tuple(part.numpy() for part in encode(texts)) for texts in pieces]
    return np.concatenate([ids for ids, _ in encoded]), np.concatenate([lengths for _, lengths in encoded])


def _most_active(messages: Messages) -> str:
    from charflow.pipeline.explore import count_users  # explore describes corpora, so it imports this module

    return ", ".join(f"{user} ({count:,})" for user, count in count_users(messages).most_common(3))
