"""The corpus against the tutorial recipe's `' '.join(texts).lower()` on pandas' rows."""

import csv
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats import csv_rows
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.sample_chat import SAMPLE_BOT, SAMPLE_USERS, write_sample_chat
from charflow.pipeline.text_settings import TextSettings

SMALL_CHAT = [
    ("ada", "One"),
    ("bo", "Two"),
    ("ada", ""),
    ("ada", "Three"),
    ("cy", "x"),
    ("bot", "BEEP"),
    ("ada", "Four"),
]


def text_of(ids: np.ndarray, corpus: Corpus) -> str:
    return corpus.vocabulary.decode(ids)


def write_chat(path: Path, rows: list[tuple[str, str]]) -> str:
    pd.DataFrame(rows, columns=["fromUser.id", "text"]).to_csv(path, index=False, quoting=csv.QUOTE_ALL)
    return str(path)


def recipe_texts(
    table: pd.DataFrame,
    *,
    user: str | list[str] | None = None,
    drop_users: str | list[str] | tuple = (),
    fraction: float = 1.0,
    min_length: int = 1,
) -> list[str]:
    table = table[~table["fromUser.id"].isin([drop_users] if isinstance(drop_users, str) else drop_users)]
    if user is not None:
        table = table[table["fromUser.id"].isin([user] if isinstance(user, str) else user)]
    texts = [text for text in table["text"] if len(text) >= max(1, min_length)]
    return texts[: int(len(texts) * fraction)]


def recipe_text(texts: list[str]) -> str:
    return " ".join(map(str, texts)).lower()


@pytest.fixture
def small_chat(tmp_path: Path) -> str:
    return write_chat(tmp_path / "small.csv", SMALL_CHAT)


@pytest.mark.parametrize("user", SAMPLE_USERS)
def test_corpus_of_a_user_equals_the_recipe(user: str, sample_chat: str, sample_table: pd.DataFrame) -> None:
    corpus = Corpus.from_csv(sample_chat, user=user)
    text = recipe_text(recipe_texts(sample_table, user=user))
    assert text_of(corpus.ids, corpus) == text
    assert corpus.vocabulary.chars == tuple(sorted(set(text)))
    assert corpus.ids.dtype == np.uint8
    assert corpus.ids.min() >= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fraction": 0.2},
        {"user": "mira", "fraction": 0.2},
        {"user": "noor", "fraction": 0.999},
        {"drop_users": [SAMPLE_BOT]},
        {"drop_users": [SAMPLE_BOT, "mira"], "fraction": 0.5},
        {"drop_users": SAMPLE_BOT},
        {"user": ["ada", "olena", "ada"]},
        {"user": ["ada", "noor"], "drop_users": ["mira"]},
        {"min_length": 60},
        {"min_length": 0},
        {"user": "bram", "min_length": 30, "fraction": 0.7},
    ],
    ids=str,
)
def test_corpus_equals_the_recipe_with(options: dict, sample_chat: str, sample_table: pd.DataFrame) -> None:
    corpus = Corpus.from_csv(sample_chat, **options)
    texts = recipe_texts(sample_table, **options)
    assert text_of(corpus.ids, corpus) == recipe_text(texts)
    assert corpus.messages == len(texts)
    assert corpus.messages + sum(corpus.dropped.values()) == corpus.rows == len(sample_table)


@pytest.mark.slow
def test_corpus_reads_several_files_one_after_the_other(tmp_path: Path) -> None:
    write_chat(tmp_path / "1.csv", [("a", "b"), ("a", "")])
    last = write_chat(tmp_path / "2.csv", [("a", ""), ("a", "C")])
    other = write_chat(tmp_path / "3.csv", [("a", ""), ("a", "C")])
    corpus = Corpus.from_csv([last, f"{tmp_path}/1.*", other])
    assert text_of(corpus.ids, corpus) == "c b c"
    assert corpus.rows == 6


@pytest.mark.slow
@pytest.mark.parametrize("rows_per_batch", [1, 2, 5])
@pytest.mark.parametrize("fraction", [1.0, 0.6, 0.2])
def test_corpus_does_not_depend_on_the_batch(
    rows_per_batch: int, fraction: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["", "", "One", "", "Two", "three", "", "", "", "4", "five", "", ""]
    chat = write_chat(tmp_path / "chat.csv", [("ada", text) for text in texts])
    monkeypatch.setattr(csv_rows, "_ROWS_PER_BATCH", rows_per_batch)
    corpus = Corpus.from_csv(chat, fraction=fraction, held_out=0.5)
    kept = ["one", "two", "three", "4", "five"][: int(5 * fraction)]
    assert text_of(corpus.ids, corpus) == " ".join(kept)
    tail = kept[-(len(kept) // 2) :] if len(kept) > 1 else ["e"]  # half of one message's characters, rounded down
    assert text_of(corpus.held_out_ids, corpus) == " ".join(tail)


def test_corpus_counts_dropped_rows_by_reason(small_chat: str) -> None:
    corpus = Corpus.from_csv(small_chat, user="ada", drop_users=["bot"], min_length=4, fraction=0.5)
    assert corpus.dropped == {
        "dropped user": 1,
        "other user": 2,
        "empty": 1,
        "too short": 1,
        "beyond the fraction": 1,
    }
    assert (corpus.rows, corpus.messages) == (7, 1)
    assert text_of(corpus.ids, corpus) == "three"


def test_corpus_counts_only_reasons_that_occurred(small_chat: str) -> None:
    assert Corpus.from_csv(small_chat).dropped == {"empty": 1}


def test_corpus_counts_bad_rows(tmp_path: Path) -> None:
    write_sample_chat(tmp_path / "whole.csv", messages=100)
    write_sample_chat(tmp_path / "broken.csv", messages=100, broken_rows=6)
    whole = Corpus.from_csv(str(tmp_path / "whole.csv"))
    corpus = Corpus.from_csv(str(tmp_path / "broken.csv"), csv=CsvFormat(skip_bad_rows=True))
    assert corpus.dropped == {"bad row": 6, **whole.dropped}
    assert corpus.rows == 106
    assert corpus.fingerprint == whole.fingerprint


@pytest.mark.parametrize("held_out", [0, 0.05, 0.1, 0.5, 0.99])
def test_corpus_is_split_at_a_message(held_out: float, sample_chat: str, sample_table: pd.DataFrame) -> None:
    corpus = Corpus.from_csv(sample_chat, user="ada", held_out=held_out)
    texts = [text.lower() for text in recipe_texts(sample_table, user="ada")]
    n_tail = int(len(texts) * held_out)
    n_train = len(texts) - n_tail
    assert corpus.held_out_messages == n_tail
    assert text_of(corpus.train_ids, corpus) == " ".join(texts[:n_train]) + (" " if n_tail else "")
    assert text_of(corpus.held_out_ids, corpus) == " ".join(texts[n_train:])
    np.testing.assert_array_equal(np.concatenate([corpus.train_ids, corpus.held_out_ids]), corpus.ids, strict=True)


def test_corpus_facts_sum_it_up(small_chat: str) -> None:
    corpus = Corpus.from_csv(small_chat, user="ada", held_out=0.4)
    assert corpus.facts() == {
        "fingerprint": corpus.fingerprint,
        "rows": 7,
        "dropped": {"other user": 3, "empty": 1},
        "messages": 3,
        "held_out_messages": 1,
        "characters": len("one three four"),
        "train_characters": len("one three "),
        "held_out_characters": len("four"),
        "distinct_characters": len(set("one three four")),
    }


@pytest.mark.parametrize(
    ("texts", "held_out", "characters"),
    [
        (["x" * 5000], 0.1, 500),
        (["x" * 5000, "no", "yes"], 0.1, 500),
        (["x" * 5000, *["ok"] * 30], 0.1, 509),
        (["x" * 5000, *["ok"] * 30], 0.0, 0),
        (["ok"] * 30, 0.1, 8),
        ([*["x" * 50] * 90, *["y" * 120] * 10], 0.1, 1209),
        (["x" * 9], 0.1, 0),
    ],
    ids=[
        "one message",
        "a few",
        "short ones at the end",
        "none asked for",
        "equal ones",
        "long ones",
        "next to nothing",
    ],
)
def test_corpus_holds_out_characters_where_the_last_messages_have_hardly_any(
    texts: list[str], held_out: float, characters: int, tmp_path: Path
) -> None:
    chat = write_chat(tmp_path / "chat.csv", [("ada", text) for text in texts])
    corpus = Corpus.from_csv(str(chat), held_out=held_out)
    assert corpus.held_out_characters == characters == len(corpus.held_out_ids)
    assert corpus.split == len(corpus.ids) - characters


def test_corpus_vocabulary_knows_the_held_out_text(tmp_path: Path) -> None:
    chat = write_chat(tmp_path / "chat.csv", [("a", "aa"), ("a", "bz")])
    corpus = Corpus.from_csv(chat, held_out=0.5)
    assert corpus.vocabulary.chars == (" ", "a", "b", "z")
    assert text_of(corpus.held_out_ids, corpus) == "bz"


def test_corpus_min_count_makes_rare_characters_unknown(tmp_path: Path) -> None:
    chat = write_chat(tmp_path / "chat.csv", [("a", "aab"), ("a", "Bcb😀"), ("a", "a")])
    corpus = Corpus.from_csv(chat, min_count=2)
    assert corpus.vocabulary.chars == (" ", "a", "b")
    assert text_of(corpus.ids, corpus) == "aab b\ufffdb\ufffd a"


@pytest.mark.parametrize(
    ("n_chars", "dtype"), [(255, np.uint8), (256, np.uint16), (4000, np.uint16)], ids=["255", "256", "4000"]
)
def test_corpus_ids_take_the_smallest_type(n_chars: int, dtype: type, tmp_path: Path) -> None:
    text = "".join(chr(0x4E00 + i) for i in range(n_chars))
    corpus = Corpus.from_csv(write_chat(tmp_path / "chat.csv", [("a", text)]))
    assert corpus.ids.dtype == dtype
    assert corpus.ids.tolist() == list(range(1, n_chars + 1))


ENDS = TextSettings(ends=True)


def test_ends_close_each_message_and_the_last_one_too(small_chat: str) -> None:
    corpus = Corpus.from_csv(small_chat, user="ada", held_out=0, text=ENDS)
    assert text_of(corpus.ids, corpus) == "one\x03three\x03four\x03"
    assert corpus.vocabulary.chars[0] == "\x03"
    assert len(corpus.ids) == len(Corpus.from_csv(small_chat, user="ada").ids) + 1  # a symbol a message, as blanks were


def test_ends_of_a_fraction_are_those_of_its_messages(small_chat: str) -> None:
    corpus = Corpus.from_csv(small_chat, fraction=0.5, held_out=0.34, text=ENDS)
    assert text_of(corpus.ids, corpus) == "one\x03two\x03three\x03"
    assert text_of(corpus.held_out_ids, corpus) == "three\x03"


def test_ends_are_what_nobody_wrote(tmp_path: Path) -> None:
    chat = write_chat(tmp_path / "chat.csv", [("ada", "a\x03b\x02"), ("ada", "\x02\x03"), ("ada", "c")])
    corpus = Corpus.from_csv(chat, held_out=0, text=ENDS)
    assert text_of(corpus.ids, corpus) == "ab\x03c\x03"
    assert corpus.dropped == {"empty": 1}
    plain = Corpus.from_csv(chat, held_out=0)
    assert text_of(plain.ids, plain) == "a\x03b\x02 \x02\x03 c"  # without ends the text is as the recipe has it


def test_ends_are_known_however_few_they_are(small_chat: str) -> None:
    corpus = Corpus.from_csv(small_chat, min_count=5, text=ENDS)
    assert corpus.vocabulary.chars == ("\x03", "e")
    with pytest.raises(UserError, match=r"^No character occurs 50 times\."):
        Corpus.from_csv(small_chat, min_count=50, text=ENDS)


AWKWARD = ["\n", "a\r\nb", "\r", "\t", '"', '""', "\\", "[LF]", "[UNK]", "\u2028\x85", "\ufffd", "\ufeffa", "😀e\u0301"]


def test_corpus_keeps_awkward_characters(tmp_path: Path) -> None:
    chat = write_chat(tmp_path / "chat.csv", [("a", text) for text in AWKWARD])
    corpus = Corpus.from_csv(chat, text=TextSettings(keep_invisible=True))
    assert text_of(corpus.ids, corpus) == recipe_text(AWKWARD)


def test_corpus_keeps_what_follows_a_nul(tmp_path: Path) -> None:
    corpus = Corpus.from_csv(write_chat(tmp_path / "chat.csv", [("a", "One\0Two"), ("a", "3")]))
    assert text_of(corpus.ids, corpus) == "one\0two 3"


COMPOSED = ["Cafe\u0301 ﬁn", "\u212bngström Ⅷ", "Straße ΤΈΛΟΣ"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (TextSettings(lowercase=False), COMPOSED),
        (TextSettings(unicode_form="NFC"), [unicodedata.normalize("NFC", text).lower() for text in COMPOSED]),
        (TextSettings(unicode_form="NFKC"), [unicodedata.normalize("NFKC", text).lower() for text in COMPOSED]),
        (TextSettings(case_fold=True), [unicodedata.normalize("NFKC", text.casefold()) for text in COMPOSED]),
    ],
    ids=["as it is", "NFC", "NFKC", "case folding"],
)
def test_corpus_normalises_each_message(settings: TextSettings, expected: list[str], tmp_path: Path) -> None:
    corpus = Corpus.from_csv(write_chat(tmp_path / "chat.csv", [("a", text) for text in COMPOSED]), text=settings)
    assert text_of(corpus.ids, corpus) == " ".join(expected)


def test_corpus_fingerprint_is_the_same_on_every_machine(small_chat: str) -> None:
    known = "5061be1d1a3a2191ffce0e5751bcec80d83fe54ac38403b350f3ee7bcd282616"
    assert Corpus.from_csv(small_chat, held_out=0.0).fingerprint == known


@pytest.mark.slow
def test_corpus_fingerprint_depends_on_what_is_trained_on_alone(tmp_path: Path, small_chat: str) -> None:
    base = Corpus.from_csv(small_chat).fingerprint
    other_file = write_chat(tmp_path / "other.csv", [(f"user {user}", text) for user, text in SMALL_CHAT])
    other_text = write_chat(tmp_path / "text.csv", [*SMALL_CHAT[:-1], ("ada", "Fout")])
    same_ids = write_chat(tmp_path / "shifted.csv", [(user, text.replace("x", "y")) for user, text in SMALL_CHAT])
    assert Corpus.from_csv(other_file, min_length=1).fingerprint == base
    different = [
        Corpus.from_csv(other_text),
        Corpus.from_csv(same_ids),
        Corpus.from_csv(small_chat, held_out=0.5),
        Corpus.from_csv(small_chat, fraction=0.9),
    ]
    assert len({base, *(corpus.fingerprint for corpus in different)}) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"user": "zoe"}, "No messages from user 'zoe': 0 of 7 rows. Most active: 'ada' (4), 'bo' (1), 'cy' (1)."),
        (
            {"user": ["zoe", "yan"]},
            "No messages from users 'zoe', 'yan': 0 of 7 rows. Most active: 'ada' (4), 'bo' (1), 'cy' (1).",
        ),
        ({"user": "Ada"}, "No messages from user 'Ada'; did you mean 'ada'?"),
        ({"user": ["ada", "bo "]}, "No messages from user 'bo '; did you mean 'bo'?"),
        ({"drop_users": "Bot"}, "No messages from user 'Bot', who should be left out; did you mean 'bot'?"),
        (
            {"drop_users": ["bot", "zoe", "adda"]},
            "No messages from users 'zoe', 'adda', who should be left out: 0 of 7 rows. Did you mean 'ada'?"
            " Most active: 'ada' (4), 'bo' (1), 'cy' (1).",
        ),
        ({"user": []}, "user names nobody, and no message would be left: pass None to keep everybody."),
        ({"user": 7}, "user must be a text or a list of texts, not 7."),
        ({"drop_users": b"bot"}, "drop_users must be a text or a list of texts, not b'bot'."),
        (
            {"min_length": 9},
            "No message is left of 7 rows (1 empty, 6 too short). Most active: 'ada' (4), 'bo' (1), 'cy' (1).",
        ),
        (
            {"user": "cy", "min_length": 2},
            "No message is left of 7 rows (6 other user, 1 too short). Most active: 'ada' (4), 'bo' (1), 'cy' (1).",
        ),
        (
            {"user": "ada", "fraction": 0.2},
            "A fraction of 0.2 leaves none of the 3 messages. Take more messages, or a larger fraction.",
        ),
        ({"min_count": 1000}, "No character occurs 1,000 times. Lower min_count."),
        ({"fraction": 0}, "fraction must be above 0 and at most 1, not 0."),
        ({"fraction": 1.5}, "fraction must be above 0 and at most 1, not 1.5."),
        ({"fraction": float("nan")}, "fraction must be above 0 and at most 1, not nan."),
        ({"held_out": 1}, "held_out must be at least 0 and below 1, not 1."),
        ({"held_out": -0.1}, "held_out must be at least 0 and below 1, not -0.1."),
        ({"min_length": -1}, "min_length must be at least 0, not -1."),
        ({"min_count": 0}, "min_count must be at least 1, not 0."),
        ({"user": ["ada", "bo"], "drop_users": ["bo"]}, "User 'bo' is both kept and dropped."),
    ],
    ids=[
        "no such user",
        "no such users",
        "other case",
        "a blank too many",
        "nobody left out",
        "two not left out",
        "an empty list",
        "number for a user",
        "bytes for users",
        "all too short",
        "user too short",
        "fraction leaves none",
        "every character rare",
        "fraction 0",
        "fraction above 1",
        "fraction nan",
        "nothing to train on",
        "negative share",
        "negative length",
        "count 0",
        "kept and dropped",
    ],
)
def test_corpus_refuses(options: dict, message: str, small_chat: str) -> None:
    with pytest.raises(UserError) as error:
        Corpus.from_csv(small_chat, **options)
    assert str(error.value) == message


def test_corpus_refuses_wrong_settings_before_it_looks_for_files() -> None:
    with pytest.raises(UserError, match=r"^fraction must be above 0 and at most 1, not 2\.$"):
        Corpus.from_csv("missing.csv", fraction=2)
    with pytest.raises(UserError, match=r"^missing\.csv: no such file\.$"):
        Corpus.from_csv("missing.csv")


def test_corpus_settings_default_to_everybody_and_a_tenth_held_out() -> None:
    settings = CorpusSettings()
    assert (settings.users, settings.fraction, settings.held_out) == ((), 1.0, 0.1)


def equal(corpus: Corpus, text: str) -> bool:
    """Compares by truth, so that a failure does not print the chat."""
    return text_of(corpus.ids, corpus) == text


@pytest.mark.slow
def test_corpus_of_one_person_of_the_real_chat(gitter_csv: str, gitter_table: pd.DataFrame) -> None:
    user = "54ee77ff15522ed4b3dc7cbb"
    corpus = Corpus.from_csv(gitter_csv, user=user)
    assert corpus.rows == 125_384
    assert len(corpus.ids) - (corpus.messages - 1) == 557_591  # separators not counted
    assert len(corpus.vocabulary.chars) == 76
    assert equal(corpus, recipe_text(recipe_texts(gitter_table, user=user)))


@pytest.mark.slow
def test_corpus_of_everybody_in_the_real_chat(gitter_csv: str, gitter_table: pd.DataFrame) -> None:
    corpus = Corpus.from_csv(gitter_csv, text=TextSettings(keep_invisible=True))
    texts = recipe_texts(gitter_table)
    assert (corpus.rows, corpus.messages) == (125_384, len(texts))
    assert corpus.dropped == {"empty": 125_384 - len(texts)}
    assert equal(corpus, recipe_text(texts))
    n_tail = int(len(texts) * 0.1)
    assert corpus.held_out_messages == n_tail
    assert len(corpus.held_out_ids) == len(recipe_text(texts[-n_tail:]))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fast", "repaired"])
def test_every_character_of_unicode_goes_the_whole_way(way: str, tmp_path: Path) -> None:
    every = "".join(chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)
    texts = [every[start : start + 20_000] for start in range(0, len(every), 20_000)]
    chat = Path(write_chat(tmp_path / "every.csv", [("ada", text) for text in texts]))
    if way == "repaired":
        chat.write_bytes(chat.read_bytes() + b"a row of one field\n")
    settings = {"text": TextSettings(lowercase=False, keep_invisible=True), "csv": CsvFormat(skip_bad_rows=True)}
    corpus = Corpus.from_csv(str(chat), **settings)
    assert corpus.dropped == ({"bad row": 1} if way == "repaired" else {})
    assert text_of(corpus.ids, corpus) == " ".join(texts)


@pytest.mark.slow
def test_corpus_leaves_out_messages_of_nothing_that_is_seen(tmp_path: Path) -> None:
    chat = write_chat(
        tmp_path / "marks.csv", [("ada", "\ufeff"), ("ada", "o\u200bh\ufeff"), ("ada", "\u200e\xad"), ("ada", "")]
    )
    corpus = Corpus.from_csv(chat)
    assert (text_of(corpus.ids, corpus), corpus.messages, corpus.dropped) == ("oh", 1, {"empty": 3})
    kept = Corpus.from_csv(chat, text=TextSettings(keep_invisible=True))
    assert text_of(kept.ids, kept) == "\ufeff o\u200bh\ufeff \u200e\xad"
    with pytest.raises(UserError, match=r"^No message is left of 1 row \(1 empty\)\. Most active: 'ada' \(1\)\.$"):
        Corpus.from_csv(write_chat(tmp_path / "mark.csv", [("ada", "\ufeff")]))


def high_water() -> int:
    """The most memory this process has had at a time since it was last asked to forget that, in bytes."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


@pytest.mark.slow
def test_corpus_of_one_message_without_end_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text("fromUser.id,text\nada,hi\nada," + "oh my " * 3_000_000 + "\nada,bye\n")
    Corpus.from_csv(write_chat(tmp_path / "small.csv", SMALL_CHAT))  # what TensorFlow takes once
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("needs Linux's /proc/self/clear_refs")
    before = high_water()
    corpus = Corpus.from_csv(str(tmp_path / "long.csv"))
    assert len(corpus.ids) == 2 + 1 + 18_000_000 + 1 + 3
    assert high_water() - before < 20 * len(corpus.ids)
