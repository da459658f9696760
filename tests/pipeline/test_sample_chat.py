import csv
import doctest
from collections import Counter
from pathlib import Path

import pandas
import pytest

from charflow.pipeline import sample_chat
from charflow.pipeline.errors import UserError
from charflow.pipeline.sample_chat import (
    BROKEN_KINDS,
    SAMPLE_BOT,
    SAMPLE_USERS,
    SampleMessage,
    sample_messages,
    write_sample_chat,
)

CHAT = sample_messages(messages=2000, seed=0)


def texts_of(user: str) -> list[str]:
    return [message.text for message in CHAT if message.user == user and message.text]


def test_sample_messages_are_the_same_for_the_same_seed() -> None:
    assert sample_messages(messages=50, seed=7) == sample_messages(messages=50, seed=7)


def test_sample_chat_examples_hold_on_every_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(sample_chat) == (0, 2)


@pytest.mark.parametrize("seed", [1, -7, 8])
def test_sample_messages_differ_between_seeds(seed: int) -> None:
    assert sample_messages(messages=50, seed=seed) != sample_messages(messages=50, seed=7)


def test_sample_messages_of_a_smaller_count_are_the_beginning() -> None:
    assert sample_messages(messages=100, seed=0) == CHAT[:100]


def test_sample_messages_have_no_template_left() -> None:
    assert not [message.text for message in CHAT if set("{}<>|") & set(message.text)]


def test_sample_messages_are_in_order_of_time() -> None:
    times = [message.sent for message in CHAT]
    assert times == sorted(times)
    assert all(time.endswith("Z") for time in times)


def test_sample_messages_are_written_by_every_user_and_mostly_by_mira() -> None:
    counts = Counter(message.user for message in CHAT)
    assert set(counts) == set(SAMPLE_USERS)
    assert 0.36 < counts["mira"] / len(CHAT) < 0.44
    assert counts.most_common(2)[1][1] < counts["mira"] / 2


def test_sample_messages_have_few_distinct_words_of_mira() -> None:
    words = Counter(" ".join(texts_of("mira")).split())
    assert len(words) < 250
    assert words["dears,"] == len(texts_of("mira"))


def test_sample_messages_show_each_habit() -> None:
    assert all(ord(text[-1]) > 0xFFFF for text in texts_of("mira"))
    assert all(text.endswith("??") for text in texts_of("tomas"))
    assert all(text.count("\n") >= 2 for text in texts_of("ada"))
    assert any("\t" in text for text in texts_of("ada"))
    assert all(text.count('"') == 2 for text in texts_of("noor"))
    assert all(text == text.upper() != text.lower() for text in texts_of("bram"))
    assert all("\u0400" <= text[0] <= "\u04ff" for text in texts_of("olena"))
    assert all(text.startswith("build #") for text in texts_of(SAMPLE_BOT))


def test_sample_messages_are_rarely_empty() -> None:
    empty = [message.user for message in CHAT if not message.text]
    assert 0 < len(empty) < len(CHAT) / 50
    assert SAMPLE_BOT not in empty


def test_sample_messages_of_none_are_an_empty_list() -> None:
    assert sample_messages(messages=0) == []


def test_sample_messages_refuse_a_negative_count() -> None:
    with pytest.raises(UserError, match=r"^messages must be at least 0, not -1\.$"):
        sample_messages(messages=-1)


def test_write_sample_chat_writes_the_columns_of_an_export(tmp_path: Path) -> None:
    assert write_sample_chat(tmp_path / "chat.csv", messages=1) == []
    header, row, *_ = (tmp_path / "chat.csv").read_bytes().split(b"\n")
    assert header == b",fromUser.id,id,room,sent,text,unread,v"
    first = CHAT[0]
    fields = f"0,{first.user},000000000000000000000000,{first.room},{first.sent},"
    assert row.startswith(fields.encode())
    assert row.endswith(b",False,1")


def test_write_sample_chat_is_read_back_by_csv(tmp_path: Path) -> None:
    write_sample_chat(tmp_path / "chat.csv", messages=2000)
    with (tmp_path / "chat.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert [SampleMessage(row["fromUser.id"], row["text"], row["room"], row["sent"]) for row in rows] == CHAT


def test_write_sample_chat_is_read_back_by_pandas(tmp_path: Path) -> None:
    write_sample_chat(tmp_path / "chat.csv", messages=2000)
    table = pandas.read_csv(tmp_path / "chat.csv", index_col=0, keep_default_na=False)
    columns = (table[name] for name in ("fromUser.id", "text", "room", "sent"))
    assert [SampleMessage(*row) for row in zip(*columns)] == CHAT
    assert list(table.index) == list(range(2000))
    assert table["id"].is_unique


def test_write_sample_chat_has_line_breaks_and_doubled_quotes_inside_fields(tmp_path: Path) -> None:
    write_sample_chat(tmp_path / "chat.csv", messages=2000)
    written = (tmp_path / "chat.csv").read_bytes()
    assert b":\n- " in written
    assert b'said: ""' in written
    assert b',"""' in written  # a text that begins with a quote
    assert b"\r" not in written


def fault_of(line: bytes) -> str:
    try:
        fields = next(csv.reader([line.decode()], strict=True))
    except UnicodeDecodeError:
        return "not UTF-8"
    except csv.Error:
        return "unbalanced quote"
    return "too few fields" if len(fields) < 8 else "none"


@pytest.mark.parametrize("messages", [0, 3, 500])
def test_write_sample_chat_breaks_the_rows_it_reports(tmp_path: Path, messages: int) -> None:
    broken = write_sample_chat(tmp_path / "broken.csv", messages=messages, broken_rows=9)
    lines = (tmp_path / "broken.csv").read_bytes().split(b"\n")
    assert [fault_of(lines[row.line - 1]) for row in broken] == [*BROKEN_KINDS] * 3
    assert [row.kind for row in broken] == [*BROKEN_KINDS] * 3


def test_write_sample_chat_keeps_every_other_line_as_it_was(tmp_path: Path) -> None:
    write_sample_chat(tmp_path / "clean.csv", messages=500)
    broken = {row.line for row in write_sample_chat(tmp_path / "broken.csv", messages=500, broken_rows=9)}
    lines = (tmp_path / "broken.csv").read_bytes().split(b"\n")
    kept = [line for number, line in enumerate(lines, start=1) if number not in broken]
    assert len(broken) == 9
    assert b"\n".join(kept) == (tmp_path / "clean.csv").read_bytes()


def test_write_sample_chat_unbalanced_quote_is_refused_with_the_lines_below(tmp_path: Path) -> None:
    broken = write_sample_chat(tmp_path / "chat.csv", messages=300, broken_rows=2)
    assert [row.kind for row in broken] == ["too few fields", "unbalanced quote"]
    with (tmp_path / "chat.csv").open(encoding="utf-8", newline="") as file, pytest.raises(csv.Error):
        list(csv.reader(file, strict=True))


def test_write_sample_chat_refuses_a_negative_count_before_it_writes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^broken_rows must be at least 0, not -2\.$"):
        write_sample_chat(tmp_path / "chat.csv", broken_rows=-2)
    assert not (tmp_path / "chat.csv").exists()
