"""Figures of a chat against pandas, and the bar chart."""

from itertools import pairwise
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from charflow.pipeline.corpus import explore as module
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.corpus.explore import plot_users, summarise_chat, summarise_user
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.messages import read_messages
from charflow.pipeline.sample_chat import write_sample_chat
from charflow.pipeline.windows import make_windows


def test_summarise_chat_equals_pandas(sample_chat: str, sample_table: pd.DataFrame) -> None:
    summary = summarise_chat(read_messages(sample_chat))
    lengths = sample_table["text"].map(len)
    assert (summary.rows, summary.bad_rows) == (600, 0)
    assert summary.empty == (sample_table["text"] == "").sum()
    assert summary.characters == lengths.sum()
    by_user = lengths.groupby(sample_table["fromUser.id"])
    assert dict(zip(summary.users["user"], summary.users["messages"])) == by_user.size().to_dict()
    assert dict(zip(summary.users["user"], summary.users["characters"])) == by_user.sum().to_dict()
    assert summary.users["messages"].is_monotonic_decreasing


def test_summarise_chat_sorts_by_messages_and_ties_by_appearance(tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_text("fromUser.id,text\nжук,1\nbo,é😀\nada,\nbo,\n,x\n")
    summary = summarise_chat(read_messages(str(tmp_path / "chat.csv")))
    assert summary.users.to_dict("list") == {
        "user": ["bo", "жук", "ada", ""],
        "names": [[], [], [], []],
        "messages": [2, 1, 1, 1],
        "characters": [2, 1, 0, 1],
    }
    assert (summary.rows, summary.empty, summary.characters) == (5, 2, 4)


def test_summarise_chat_counts_bad_rows_apart(tmp_path: Path) -> None:
    write_sample_chat(tmp_path / "chat.csv", messages=50, broken_rows=3)
    summary = summarise_chat(read_messages(str(tmp_path / "chat.csv"), CsvFormat(skip_bad_rows=True)))
    assert (summary.rows, summary.bad_rows) == (50, 3)
    assert summary.users["messages"].sum() == 50


def test_first_windows_are_those_that_training_cuts(sample_chat: str) -> None:
    corpus = Corpus.from_csv(sample_chat, user="mira")
    summary = summarise_user(read_messages(sample_chat), corpus, "mira", length=12, shift=5, first_windows=10)
    batch = make_windows(corpus.ids, length=12, shift=5, batch_size=10)
    inputs, targets = next(iter(batch))
    decode = corpus.vocabulary.decode
    assert [window.text for window in summary.first_windows] == [decode(ids) for ids in inputs.numpy()]
    assert [window.next for window in summary.first_windows] == [decode([id]) for id in targets.numpy()]
    long = corpus.split - 6
    short = summarise_user(read_messages(sample_chat), corpus, "mira", length=long, shift=5, first_windows=10)
    assert len(short.first_windows) == short.windows == 2


def test_summarise_user_equals_pandas_and_the_recipe(sample_chat: str, sample_table: pd.DataFrame) -> None:
    corpus = Corpus.from_csv(sample_chat, user="mira")
    summary = summarise_user(read_messages(sample_chat), corpus, "mira", length=40, shift=3)
    texts = sample_table["text"][sample_table["fromUser.id"] == "mira"].tolist()
    assert (summary.user, summary.ids) == ("mira", ["mira"])
    assert summary.messages == len(texts)
    assert summary.characters == sum(map(len, texts))
    assert summary.first == texts[:20]
    text = " ".join(text for text in texts if text).lower()
    assert summary.distinct_characters == len(set(text))
    assert summary.corpus_bytes == len(text)
    n_windows = len(range(0, corpus.split - 40, 3))
    assert summary.windows == n_windows
    x = np.zeros((1, 40, len(set(text))), dtype=bool)
    y = np.zeros((1, len(set(text))), dtype=bool)
    assert summary.one_hot_bytes == n_windows * (x.nbytes + y.nbytes)


@pytest.mark.parametrize("first", [0, 2, 100])
def test_summarise_user_shows_the_first_messages_as_they_stand(first: int, tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_text('fromUser.id,text\nada,One\nbo,Two\nada,\nada,"Thr\nee"\n')
    corpus = Corpus.from_csv(str(tmp_path / "chat.csv"), user="ada", held_out=0)
    messages = read_messages(str(tmp_path / "chat.csv"))
    summary = summarise_user(messages, corpus, "ada", length=2, shift=1, first=first)
    assert summary.first == ["One", "", "Thr\nee"][:first]
    assert summary.messages == 3


def test_summarise_user_joins_several_ids(tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_text("fromUser.id,text\nada,One\nbo,Two\neve,Three\nada,Four\n")
    corpus = Corpus.from_csv(str(tmp_path / "chat.csv"), user=["eve", "ada"], held_out=0)
    messages = read_messages(str(tmp_path / "chat.csv"))
    summary = summarise_user(messages, corpus, ["eve", "ada"], length=2, shift=1)
    assert (summary.user, summary.ids, summary.messages) == ("eve, ada", ["eve", "ada"], 3)
    assert summary.first == ["One", "Three", "Four"]


def test_summarise_chat_has_names_beside_ids(tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_text("user_id,user_name,text\nid7,mira,hi\nid8,bo,hi\nid7,mira,ho\nid7,m,ho\n")
    messages = read_messages(str(tmp_path / "chat.csv"), CsvFormat(user_column="user_id"))
    assert summarise_chat(messages).users[["user", "names"]].to_numpy().tolist() == [
        ["id7", ["mira", "m"]],
        ["id8", ["bo"]],
    ]
    assert summarise_chat(messages, drop_users="mira").users["user"].tolist() == ["id8"]


@pytest.mark.slow
def test_summarise_user_of_a_stranger_has_no_messages(sample_chat: str) -> None:
    corpus = Corpus.from_csv(sample_chat, user="mira", fraction=0.1)
    summary = summarise_user(read_messages(sample_chat), corpus, "zoe", length=40, shift=3)
    assert (summary.messages, summary.characters, summary.first) == (0, 0, [])


def test_summarise_user_refuses_a_corpus_shorter_than_a_window(tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_text("fromUser.id,text\nada,hello\n")
    corpus = Corpus.from_csv(str(tmp_path / "chat.csv"))
    with pytest.raises(UserError, match=r"^The text has 5 characters: too short for one window of 40 "):
        summarise_user(read_messages(str(tmp_path / "chat.csv")), corpus, "ada", length=40, shift=3)


@pytest.mark.parametrize("n_users", [1, 3, 10])
def test_plot_users_writes_a_png_with_room_for_every_bar(n_users: int, tmp_path: Path) -> None:
    users = pd.DataFrame({"user": [f"user {i}" for i in range(n_users)], "messages": range(1000 * n_users, 0, -1000)})
    plot_users(users, tmp_path / "users.png", title="a chat")
    assert (tmp_path / "users.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    height, width, _ = matplotlib.image.imread(tmp_path / "users.png").shape
    assert width == 1200
    assert height == pytest.approx((0.42 * n_users + 1.3) * 150, abs=1)


def blue_columns(path: Path) -> list[int]:
    """How wide each bar is: for each row of pixels with bar colour, how many; one of each run of equal rows."""
    image = matplotlib.image.imread(path)[..., :3]
    blue = np.abs(image - np.array([0x3B, 0x6E, 0xA5]) / 255).max(axis=2) < 0.01
    widths = blue.sum(axis=1)
    return [int(width) for before, width in pairwise(widths) if width > 3 >= before]


def test_plot_users_draws_the_largest_on_top(tmp_path: Path) -> None:
    users = pd.DataFrame({"user": ["mira", "ada", "bo"], "messages": [400, 200, 100]})
    plot_users(users, tmp_path / "users.png", title="a chat")
    mira, ada, bo = blue_columns(tmp_path / "users.png")
    assert mira == pytest.approx(2 * ada, rel=0.02)
    assert ada == pytest.approx(2 * bo, rel=0.02)


@pytest.mark.parametrize(
    ("user", "title"),
    [("$a_$", "a chat"), ("ada", "$_$.csv"), ("x" * 200, "a chat"), ("", ""), ("ö😀", "жук")],
    ids=["dollars in the name", "dollars in the title", "long name", "empty", "beyond Latin"],
)
def test_plot_users_draws_any_name(user: str, title: str, tmp_path: Path) -> None:
    plot_users(pd.DataFrame({"user": [user], "messages": [3]}), tmp_path / "users.png", title=title)
    (bar,) = blue_columns(tmp_path / "users.png")
    assert bar > 400


@pytest.mark.slow
def test_summarise_chat_equals_pandas_on_the_real_chat(gitter_csv: str, gitter_table: pd.DataFrame) -> None:
    summary = summarise_chat(read_messages(gitter_csv))
    lengths = gitter_table["text"].map(len)
    assert (summary.rows, summary.bad_rows) == (125_384, 0)
    assert summary.empty == (lengths == 0).sum()
    assert summary.characters == lengths.sum()
    counts = gitter_table["fromUser.id"].value_counts()
    assert summary.users["messages"].tolist() == counts.tolist()
    assert dict(zip(summary.users["user"], summary.users["messages"])) == counts.to_dict()
    assert summary.users.loc[0].tolist() == ["54ee77ff15522ed4b3dc7cbb", [], 6_860, 557_591]


@pytest.mark.parametrize(
    ("user", "label"),
    [
        ("mira", "mira"),
        ("mira ", "'mira '"),
        (" ", "' '"),
        ("", "''"),
        ("a  b", "'a  b'"),
        ("a b", "a b"),
        ("x" * 30, f"{'x' * 25}…"),
        (" " * 30, f"'{' ' * 23}…'"),
    ],
)
def test_labels_of_a_plot_quote_ids_whose_blanks_would_go_unnoticed(user: str, label: str) -> None:
    assert module._label(user) == label
