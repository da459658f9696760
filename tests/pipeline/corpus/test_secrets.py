"""What is found in a chat, by kind, by everybody and by one user."""

import doctest
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charflow.pipeline.corpus import secrets as module
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.corpus.explore import summarise_chat, summarise_user
from charflow.pipeline.corpus.secrets import Found, masked
from charflow.pipeline.formats.messages import read_messages


@pytest.fixture
def found(tmp_path: Path) -> Callable[[list[tuple[str, str]], str | None], tuple[list[Found], list[Found]]]:
    def find(rows: list[tuple[str, str]], user: str | None) -> tuple[list[Found], list[Found]]:
        chat = tmp_path / "chat.csv"
        chat.write_text("fromUser.id,text\n" + "".join(f'{user},"{text}"\n' for user, text in rows))
        messages = read_messages(str(chat))
        everybody, own = summarise_chat(messages).secrets, []
        if user:
            corpus = Corpus.from_csv(str(chat), user=user, held_out=0)
            own = summarise_user(messages, corpus, user, length=1, shift=1).secrets
        return [each for each in everybody if each.count], [each for each in own if each.count]

    return find


def test_secrets_examples_hold() -> None:
    assert doctest.testmod(module) == (0, 1)


@pytest.mark.slow
def test_secrets_are_counted_by_kind_and_user(found: Callable) -> None:
    rows = [("mira", "@ada: +49 170 1234567"), ("ada", "@mira @noor"), ("mira", "www.example.com/x"), ("ada", "a.org")]
    everybody, own = found(rows, "mira")
    assert [(each.kind, each.count, each.messages) for each in everybody] == [
        ("link", 2, 2),
        ("phone number", 1, 1),
        ("mention", 3, 2),
    ]
    assert [(each.kind, each.count) for each in own] == [("link", 1), ("phone number", 1), ("mention", 1)]
    assert found(rows, None) == (everybody, [])


def test_secrets_show_two_different_examples_masked(found: Callable) -> None:
    everybody, _ = found([("mira", "@ada @ada @mira"), ("mira", "@ada @tomasina")], None)
    assert everybody == [Found("mention", 5, 2, ["@•••", "@••••"])]


def test_secrets_go_on_looking_for_a_different_example(found: Callable) -> None:
    everybody, _ = found([("mira", "@ada"), ("ada", "@eve"), ("mira", "@tomasina @ada"), ("ada", "@zoe")], None)
    assert everybody == [Found("mention", 5, 4, ["@•••", "@t••••••a"])]


@given(st.text(min_size=1, max_size=60))
def test_masked_shows_three_characters_at_most(find: str) -> None:
    shown = masked(find)
    assert len(shown) <= 12
    assert len(shown.replace("•", "")) <= (3 if len(find) >= 8 else 1) + find.count("•")
    assert shown[0] == find[0]
