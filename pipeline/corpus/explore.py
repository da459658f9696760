"""Describes a chat before anything is trained on it: who writes how much, and what a training run would get.

Reads the same `messages` as `corpus` does; `charflow explore` prints what these functions return.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tensorflow as tf

from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.corpus.secrets import Found, Secrets
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.corpus.users import with_ids
from charflow.pipeline.files import replacing
from charflow.pipeline.fonts import drawable, fonts_for, one_line
from charflow.pipeline.formats.messages import Messages, is_one_of
from charflow.pipeline.places import check_file
from charflow.pipeline.scrub import finds_in
from charflow.pipeline.settings import Count, Natural, Texts, checked
from charflow.pipeline.windows import count_windows

_LABEL_LENGTH = 26  # characters of a user id that fit beside a bar
_SHOWN_LENGTH = 1000  # characters of a message; one may have millions


@dataclass(frozen=True)
class ChatSummary:
    """Figures of a whole chat.

    Attributes:
        rows: readable rows.
        bad_rows: rows that were skipped because they cannot be read.
        empty: readable rows without text.
        characters: code points of all messages, separators not counted.
        users: a table of `user`, `names` (a list, the most frequent first), `messages`, `characters`; most messages
            first, ties in order of appearance.
        secrets: what `scrub` would replace, by kind.
    """

    rows: int
    bad_rows: int
    empty: int
    characters: int
    users: pd.DataFrame
    secrets: list[Found]


@dataclass(frozen=True)
class Window:
    """What is read at once when a model is trained.

    Attributes:
        text: its characters, as they are encoded; ends of messages are U+0003.
        next: the character after them, which is learned.
    """

    text: str
    next: str


@dataclass(frozen=True)
class UserSummary:
    """Figures of one person's messages; the corpus figures after normalisation.

    Attributes:
        user: the id; several are listed.
        ids: of the person.
        messages: the person's messages, empty ones included.
        characters: code points of the messages, separators not counted.
        distinct_characters: size of the vocabulary without `[UNK]`; the separator counts.
        windows: training windows of the corpus (without its held-out tail).
        corpus_bytes: memory of the encoded corpus on the host.
        one_hot_bytes: what dense boolean one-hot arrays of the same windows would take (the tutorial recipe's way).
        first: the first messages as they stand in the file; of one above 1,000 characters these, and its length.
        secrets: what `scrub` would replace in them, by kind.
        first_windows: the first windows of the corpus, as many as were asked for.
    """

    user: str
    ids: list[str]
    messages: int
    characters: int
    distinct_characters: int
    windows: int
    corpus_bytes: int
    one_hot_bytes: int
    first: list[str]
    secrets: list[Found]
    first_windows: list[Window]


@checked
def summarise_chat(messages: Messages, *, drop_users: Texts = ()) -> ChatSummary:
    """Reads all rows once and counts them; `drop_users`, ids or names, are left out of the table of users only.

    Raises:
        UserError: one of `drop_users` wrote nothing, or has the name of another.
    """
    dropped = with_ids(CorpusSettings(drop_users=tuple(drop_users)), messages).drop_users

    @tf.autograph.experimental.do_not_convert
    def look(users: tf.Tensor, texts: tf.Tensor) -> tuple:
        return users, tf.strings.length(texts, unit="UTF8_CHAR"), tuple(finds_in(texts))

    tables, secrets = [], Secrets()
    for users, lengths, finds in messages.dataset().map(look, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator():
        tables.append(pd.DataFrame({"user": users, "characters": lengths}))
        secrets.add(finds)
    table = pd.concat(tables)
    users = (
        table.groupby("user", sort=False)["characters"]
        .agg(messages="size", characters="sum")
        .sort_values("messages", ascending=False, kind="stable")
        .reset_index()
    )
    users["user"] = users["user"].str.decode("utf-8")
    names = messages.all_names()
    users.insert(1, "names", users["user"].map(names.of))
    users = users[~users["user"].isin(dropped)]
    return ChatSummary(
        rows=messages.rows,
        bad_rows=len(messages.bad_rows),
        empty=int((table["characters"] == 0).sum()),
        characters=int(table["characters"].sum()),
        users=users,
        secrets=secrets.found,
    )


@checked
def summarise_user(
    messages: Messages,
    corpus: Corpus,
    ids: Texts,
    *,
    length: Count,
    shift: Count,
    first: Natural = 20,
    first_windows: Natural = 0,
) -> UserSummary:
    """Describes one person, by one id or several, and the windows that training on the person's `corpus` would see.

    Raises:
        UserError: the training part is shorter than one window.
    """

    @tf.autograph.experimental.do_not_convert
    def look(users: tf.Tensor, texts: tf.Tensor) -> tuple:
        own = tf.boolean_mask(texts, is_one_of(users, tuple(ids)))
        return own, tf.strings.length(own, unit="UTF8_CHAR"), tuple(finds_in(own))

    n_messages, n_characters, shown, secrets = 0, 0, [], Secrets()
    for texts, lengths, finds in messages.dataset().map(look, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator():
        shown += [_beginning(text.decode()) for text in texts[: max(0, first - n_messages)]]
        n_messages += len(texts)
        n_characters += int(lengths.sum())
        secrets.add(finds)
    windows = count_windows(corpus.split, length=length, shift=shift)
    size = len(corpus.vocabulary.chars)
    return UserSummary(
        user=", ".join(ids),
        ids=list(ids),
        messages=n_messages,
        characters=n_characters,
        distinct_characters=size,
        windows=windows,
        corpus_bytes=corpus.ids.nbytes,
        one_hot_bytes=windows * (length + 1) * size,
        first=shown,
        secrets=secrets.found,
        first_windows=[_window(corpus, at * shift, length) for at in range(min(first_windows, windows))],
    )


def _window(corpus: Corpus, start: int, length: int) -> Window:
    text = corpus.vocabulary.decode(corpus.ids[start : start + length + 1])
    return Window(text[:length], text[length:])


def check_plot(path: Path) -> None:
    """Raises UserError unless a chart can be written at `path`: for who wants to know before a chat is read."""
    check_file(path, "the chart", (".png",))


@checked
def plot_users(users: pd.DataFrame, path: Path, *, title: str) -> set[str]:
    """Draws messages by user as a bar chart (PNG): one bar a row of `users`, the largest on top.

    Returns:
        The characters that no font of this machine has; the chart has boxes for them.

    Raises:
        UserError: the file cannot be written, or its name is not that of a PNG.
    """
    from matplotlib.figure import Figure

    check_plot(path)
    labels = [_label(user) for user in users["user"]]
    mono, lacking = fonts_for(labels, "monospace")
    sans, lacking_in_title = fonts_for([title], "sans-serif")
    figure = Figure(figsize=(8, 0.42 * len(users) + 1.3), dpi=150, layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(range(len(users)), users["messages"], color="#3b6ea5", height=0.72)
    axes.bar_label(bars, labels=[f"{count:,}" for count in users["messages"]], padding=4, fontsize=9, color="#333333")
    axes.set_yticks(range(len(users)), [drawable(label, lacking) for label in labels], family=mono, fontsize=9)
    axes.invert_yaxis()
    axes.set_title(drawable(title, lacking_in_title), loc="left", family=sans, fontsize=11)
    axes.set_xlabel("messages")
    axes.margins(x=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    with replacing(path) as beside:
        figure.savefig(beside, format="png")
    return lacking | lacking_in_title


def _label(user: str) -> str:
    """An id beside its bar, quoted where blanks would go unnoticed; what is no sign is a box."""
    if not user or user != " ".join(user.split()):
        return f"'{one_line(user, _LABEL_LENGTH - 2)}'"
    return one_line(user, _LABEL_LENGTH)


def _beginning(text: str) -> str:
    if len(text) <= _SHOWN_LENGTH:
        return text
    return f"{text[:_SHOWN_LENGTH]}… ({len(text):,} characters)"
