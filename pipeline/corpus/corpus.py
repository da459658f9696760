"""Turns messages into one encoded text: the ids that windows are cut from.

`gathering` reads the messages that count, normalised by `kept_texts` and joined by `joined_texts`, and `held_out` says
which are for training; this module encodes them, those first; `windows` cuts the result. N is the number of characters.
Everything is decided by `CorpusSettings` and the files' content.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from charflow.pipeline.corpus.cache import FACTS, CorpusCache
from charflow.pipeline.corpus.facts import Fingerprint, facts_of
from charflow.pipeline.corpus.gathering import gather
from charflow.pipeline.corpus.held_out import Tails
from charflow.pipeline.corpus.joined_texts import JoinedTexts, first_texts
from charflow.pipeline.corpus.kept_texts import make_vocabulary, separator, tail_start
from charflow.pipeline.corpus.settings import CorpusSettings, Fraction, HeldOut, HeldOutBy
from charflow.pipeline.corpus.users import with_ids
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.inputs import find_inputs
from charflow.pipeline.formats.long_messages import Noticed
from charflow.pipeline.formats.messages import Messages, read_messages
from charflow.pipeline.read_only import is_learned
from charflow.pipeline.settings import Count, Natural, Paths, Texts, Total, checked
from charflow.pipeline.text_settings import TextSettings
from charflow.pipeline.vocabulary import Vocabulary


@dataclass(frozen=True)
class Corpus:
    """An encoded text, split by messages into a training part and a held-out tail, each in the order of the files.

    Attributes:
        ids: the whole text, [N], of the vocabulary's dtype; where replies are learned, those of what others wrote are
            V higher (see `read_only`).
        split: ids before this index are for training; the rest is held out.
        vocabulary: the characters of `ids`.
        rows: rows read, bad ones included.
        dropped: number of rows left out, by reason.
        messages: messages in the text; `rows` minus all that were dropped.
        held_out_messages: how many of them are held out; the tail begins in an earlier one if they are too short.
        noticed: the longest message of the files, and fields of them that may have swallowed rows.
        settings: those that it was read with, the ids of users in the place of their names; None where it was not read.
        fingerprint: SHA-256 of vocabulary, ids and split, in hexadecimal: equal for equal training data.
    """

    ids: np.ndarray
    split: int
    vocabulary: Vocabulary
    rows: int
    dropped: dict[str, int]
    messages: int
    held_out_messages: int
    noticed: Noticed = field(default_factory=Noticed, kw_only=True)
    settings: CorpusSettings | None = field(default=None, kw_only=True)

    @classmethod
    @checked
    def from_csv(
        cls,
        paths: Paths,
        *,
        user: Texts | None = None,
        drop_users: Texts = (),
        fraction: Fraction = 1.0,
        min_length: Natural = 1,
        min_count: Count = 1,
        held_out: HeldOut = 0.1,
        held_out_by: HeldOutBy = "messages",
        text: TextSettings | None = None,
        csv: CsvFormat | None = None,
        cache: CorpusCache | None = None,
    ) -> "Corpus":
        """Reads chat CSVs into a corpus; the arguments are those of `CorpusSettings`.

        Args:
            paths: files or globs, in the order their messages are to be read.
            user: one id or name, or several, to keep, as one person in the order of the messages; None keeps everybody.
            drop_users: one id or name, or several, to leave out.
            cache: where encoded corpora are kept, so that the same files and settings are not read twice.

        >>> corpus = Corpus.from_csv("chat.csv", user="mira", fraction=0.2)  # doctest: +SKIP
        >>> corpus.vocabulary.decode(corpus.ids[:9])  # doctest: +SKIP
        'oh my dea'

        Raises:
            UserError: whatever is wrong with files or arguments, a user without a message, or no message is left.
        """
        if user is not None and not user:
            raise UserError("user names nobody, and no message would be left: pass None to keep everybody.")
        settings = CorpusSettings(
            users=() if user is None else tuple(user),
            drop_users=tuple(drop_users),
            fraction=fraction,
            min_length=min_length,
            min_count=min_count,
            held_out=held_out,
            held_out_by=held_out_by,
            text=text or TextSettings(),
            csv=csv or CsvFormat(),
        )
        return build_corpus(paths, settings, cache)

    @property
    def train_ids(self) -> np.ndarray:
        """The training part, [split]."""
        return self.ids[: self.split]

    @property
    def held_out_ids(self) -> np.ndarray:
        """The tail that is never trained on, [N - split]."""
        return self.ids[self.split :]

    @property
    def characters(self) -> int:
        """N."""
        return len(self.ids)

    @property
    def held_out_characters(self) -> int:
        """How many the tail has."""
        return self.characters - self.split

    @checked
    def count_learned(self, start: Total, stop: Total) -> int:
        """Counts the characters from `start` to before `stop` that are not only read."""
        return int(np.count_nonzero(is_learned(self.ids[start:stop], self.vocabulary.size)))

    @checked
    def held_out_start(self, most: Total) -> np.ndarray:
        """The first `most` ids of the tail, or all where it has fewer."""
        return self.ids[self.split :][:most]

    @checked
    def train_end(self, most: Total) -> np.ndarray:
        """The last `most` training ids: what an evaluation of the tail begins with."""
        return self.ids[max(0, self.split - most) : self.split]

    @cached_property
    def fingerprint(self) -> str:
        """Hashes what a model can learn from; see the class."""
        found = Fingerprint(self.vocabulary)
        found.add(self.ids)
        return found.of(self.split)

    def facts(self) -> dict[str, Any]:
        """Sums the corpus up, for people and for model cards."""
        return facts_of(self)


@checked
def build_corpus(
    paths: Paths,
    settings: CorpusSettings,
    cache: CorpusCache | None = None,
    *,
    read: Callable[[], Messages] | None = None,
    vocabulary: Vocabulary | None = None,
) -> Corpus:
    """Reads chat CSVs into a corpus, or takes it from the cache; see `Corpus.from_csv`.

    Args:
        paths: files or globs; who gives `read` too has found the files (`find_inputs`) if one may be a pipe.
        settings: which messages count and how they become text.
        cache: where encoded corpora are kept.
        read: gives the messages of `paths`, for who needs them for more than one corpus; they are read here otherwise.
        vocabulary: the characters there are; those of the messages by default.
    """
    settings.check_person()
    files = find_inputs(paths)
    chars = vocabulary.chars if vocabulary else None
    key = cache.key(files, json.dumps([asdict(settings), chars], sort_keys=True)) if cache else ""
    if cache and (stored := cache.load(key)):
        ids, vocabulary, facts = stored
        own = settings.with_people(facts.pop("people"))
        noticed = Noticed.from_table(facts.pop("noticed"))
        return Corpus(ids, facts.pop("split"), vocabulary, **facts, noticed=noticed, settings=own)
    messages = read() if read else read_messages(files, settings.csv)
    own = with_ids(settings, messages)
    corpus = _read(messages, own, vocabulary)
    if cache:
        made = {"noticed": asdict(corpus.noticed), "people": own.people}
        facts = {name: getattr(corpus, name) for name in FACTS.difference(made)} | made
        cache.store(key, corpus.ids, corpus.vocabulary, facts)
    return corpus


def _read(messages: Messages, settings: CorpusSettings, vocabulary: Vocabulary | None) -> Corpus:
    kept: list[JoinedTexts] = []
    found = gather(messages, settings, kept, counting=vocabulary is None)
    vocabulary = vocabulary or make_vocabulary(found.counts, settings)
    ids, n_held_out = _encode(first_texts(kept, found.n_used), found.tails, vocabulary, settings.text)
    return Corpus(
        ids=ids,
        split=tail_start(len(ids), len(ids) - n_held_out, settings.held_out),
        vocabulary=vocabulary,
        rows=messages.all_rows,
        dropped=found.dropped,
        messages=found.n_used,
        held_out_messages=found.tails.messages,
        noticed=messages.noticed,
        settings=settings,
    )


def _encode(
    batches: Iterable[JoinedTexts], tails: Tails, vocabulary: Vocabulary, settings: TextSettings
) -> tuple[np.ndarray, int]:
    """Looks up every character: ids [N], those that are held out last, and how many these are."""
    learned: list[np.ndarray] = []
    held_out: list[np.ndarray] = []
    are_held_out = tails.from_start()
    for batch in batches:
        last = are_held_out(batch.whose)
        for part, which in ((learned, ~last), (held_out, last)):
            part += map(vocabulary.ids_of, batch.chosen(which).points(settings))
    ids, after = np.concatenate([*learned, *held_out]), 0 if settings.ends else len(separator(settings))
    return ids[: len(ids) - after], max(0, sum(map(len, held_out)) - after)
