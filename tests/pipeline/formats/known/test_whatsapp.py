"""WhatsApp's exports: both phones, many countries, and all that nobody wrote."""

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.pipeline.formats.known.whatsapp import _HEAD
from tests.pipeline.formats.chats import Example, left_out, pairs, read_chat

ANDROID = """\
12/5/19, 11:20 PM - Messages and calls are end-to-end encrypted. Tap to learn more.
12/5/19, 11:20 PM - Mira created group "Boats: and tea"
12/5/19, 11:21\u202fPM - Mira: good evening
12/5/19, 11:21\u202fPM - Mira added Bo - the cook
12/6/19, 9:03\u202fAM - Bo - the cook: morning, all
we have soup

and bread: fresh
12/13/19, 9:04\u202fAM - Dr: Who: who took my cup
12/13/19, 9:05\u202fAM - Dr: Who: it was: blue
12/13/19, 9:06\u202fAM - Dr: Who: and old
12/13/19, 9:06\u202fAM - Mira: <Media omitted>
12/13/19, 9:07\u202fAM - Bo - the cook: <Medien ausgeschlossen>
12/13/19, 9:07\u202fAM - Mira: This message was deleted
12/13/19, 9:08\u202fAM - Mira: a <b> tag, 3 < 4 and 5 > 4
12/13/19, 9:08\u202fAM - Mira: note: buy rope
12/13/19, 9:09\u202fAM - Bo - the cook: soon <This message was edited>
12/13/19, 9:09\u202fAM - Mira: later <This message was edited>
12/13/19, 9:10\u202fAM - Mira: IMG-20191213-WA0001.jpg (file attached)
the harbour at noon
12/13/19, 9:10\u202fAM - Mira: VID-20191213-WA0002.mp4 (Datei angehängt)
12/13/19, 9:11\u202fAM - Bo - the cook: Deze tekst is weg gehaald
12/13/19, 9:11\u202fAM - Mira: Deze tekst is weg gehaald
12/13/19, 9:12\u202fAM - Dr: Who: Deze tekst is weg gehaald
12/13/19, 9:11\u202fAM - Bo - the cook: Deze tekst is weg gehaald
12/13/19, 9:11\u202fAM - Mira: Deze tekst is weg gehaald
12/13/19, 9:12\u202fAM - Dr: Who: Deze tekst is weg gehaald
12/13/19, 9:13\u202fAM - Mira: at 12/13/19, 9:13 we left
[12/13/19, 9:13:00] Bo - the cook: said so himself
12/13/19, 9:14\u202fAM - Mira changed the subject from "Boats: and tea" to "Boats"
12/13/19, 9:14\u202fAM - Mira:
12/13/19, 9:15\u202fAM - +49 170 0000000: hi, I am new
"""
ANDROID_PAIRS = [
    ("Mira", "good evening"),
    ("Bo - the cook", "morning, all\nwe have soup\n\nand bread: fresh"),
    ("Dr: Who", "who took my cup"),
    ("Dr: Who", "it was: blue"),
    ("Dr: Who", "and old"),
    ("Mira", "a <b> tag, 3 < 4 and 5 > 4"),
    ("Mira", "note: buy rope"),
    ("Bo - the cook", "soon"),
    ("Mira", "later"),
    ("Mira", "the harbour at noon"),
    ("Mira", "at 12/13/19, 9:13 we left\n[12/13/19, 9:13:00] Bo - the cook: said so himself"),
    ("+49 170 0000000", "hi, I am new"),
]
IOS = """\
\u200e[24/12/2019, 11:23:45] Boats: \u200eNachrichten und Anrufe sind Ende-zu-Ende-verschlüsselt und bleiben privat.
[24/12/2019, 11:23:46] Mira: \u200eMira hat diese Gruppe mit dem Namen „Boote: alle“ erstellt, und alle sind darin.
[24/12/2019, 11:23:47] Mira: guten Abend
\u200e[24/12/2019, 11:24:00] Mira: \u200eBild weggelassen
\u200e[24/12/2019, 11:24:01] ~\u202fBo: \u200e<angehängt: 00000012-PHOTO.jpg>
[24/12/2019, 11:24:30] ~\u202fBo: zwei
Zeilen
[24/12/2019, 11:25:00] Mira: besser so \u200e<Diese Nachricht wurde bearbeitet.>
\u200e[24/12/2019, 11:25:10] Mira: \u200eDiese Nachricht wurde gelöscht.
[24/12/2019, 11:26:00] \u202a+49 170 0000000\u202c: ich bin neu: hallo
[25/12/2019, 00:00:01] Mira: \u200eaudio omitted
[25/12/2019, 00:00:02] Mira: frohes Fest
"""
IOS_PAIRS = [
    ("Mira", "guten Abend"),
    ("Bo", "zwei\nZeilen"),
    ("Mira", "besser so"),
    ("+49 170 0000000", "ich bin neu: hallo"),
    ("Mira", "frohes Fest"),
]
ANDROID_LEFT_OUT = {"system line": 4, "media mark": 3, "deleted message": 7, "empty message": 1}
IOS_LEFT_OUT = {"system line": 2, "media mark": 3, "deleted message": 1}
EXAMPLES = [
    Example("WhatsApp Chat.txt", ANDROID, ANDROID_PAIRS, ANDROID_LEFT_OUT, "WhatsApp, Android, month first"),
    Example(
        "crlf.txt", ANDROID.replace("\n", "\r\n"), ANDROID_PAIRS, ANDROID_LEFT_OUT, "WhatsApp, Android, month first"
    ),
    Example("_chat.txt", IOS, IOS_PAIRS, IOS_LEFT_OUT, "WhatsApp, iOS, day first"),
]


def test_whatsapp_is_told_in_a_line(tmp_path: Path) -> None:
    messages = read_chat(tmp_path / "chat.txt", ANDROID)
    assert str(messages.chats[0]) == (
        "WhatsApp, Android, month first: 12 messages of 4 people, 4 system lines, 3 media marks, 7 deleted messages "
        "and 1 empty message left out"
    )


def test_whatsapp_shows_the_first_of_what_was_left_out(tmp_path: Path) -> None:
    messages = read_chat(tmp_path / "_chat.txt", "\ufeff" + IOS)
    assert messages.chats[0].left_out[1].example == "Mira: \u200eBild weggelassen"


def test_whatsapp_is_found_in_a_zip_beside_pictures_and_documents(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("00000012-PHOTO.jpg", b"\xff\xd8\xff")
        archive.writestr("recipe.txt", "soup")
        archive.writestr("_chat.txt", IOS)
    assert pairs(read_chat(tmp_path / "export.zip", data.getvalue())) == IOS_PAIRS


HEADS = {
    "24 hours": "24/12/19, 11:23 - ",
    "dots": "24.12.19, 11:23 - ",
    "dashes": "24-12-2019 11:23 - ",
    "no comma": "24/12/2019 11:23 - ",
    "year first": "2019/12/24, 11:23 - ",
    "year first, dashes": "2019-12-24, 11:23 - ",
    "Spanish halves": "24/12/19 11:23 p. m. - ",
    "no-break halves": "24/12/19, 11:23\u00a0p.\u00a0m. - ",
    "narrow blank": "12/24/19, 11:23\u202fPM - ",
    "mark before the half": "12/24/19, 11:23 \u200ePM - ",
    "half before the time": "2019/12/24 下午11:23 - ",
    "Korean": "2019. 12. 24. 오후 11:23 - ",
    "time with dots": "24/12/2019 11.23 - ",
    "Arabic": "\u200f24\u200f/12\u200f/2019، 11:23 م - ".replace("24\u200f/12\u200f/", "24/12/"),
    "Persian digits": "۲۴/۱۲/۲۰۱۹، ۱۱:۲۳ - ",
    "seconds": "[24/12/2019, 11:23:45] ",
    "seconds, halves": "[12/24/19, 11:23:45\u202fPM] ",
    "brackets, dots": "[24.12.19, 11:23:45] ",
    "brackets, year first": "[2019/12/24 下午11:23:45] ",
    "mark first": "\u200e[24/12/2019, 11:23:45] ",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_whatsapp_knows_how_countries_write_dates(tmp_path: Path, head: str) -> None:
    messages = read_chat(tmp_path / "chat.txt", f"{head}Mira: one - two: three\nfour\n{head}Bo: five\n")
    assert pairs(messages) == [("Mira", "one - two: three\nfour"), ("Bo", "five")]


ORDERS = {
    "a day above twelve": (["01/02/20", "13/02/20"], "day first"),
    "a month cannot be above twelve": (["01/02/20", "01/13/20"], "month first"),
    "year first": (["2020/01/02"], "year first"),
    "days go forward": (["01/02/20", "01/03/20", "02/01/20"], "month first"),
    "days go forward the other way": (["01/02/20", "02/02/20", "01/03/20"], "day first"),
}


@pytest.mark.parametrize(("dates", "order"), ORDERS.values(), ids=ORDERS)
def test_whatsapp_decides_the_order_of_dates_by_the_whole_file(tmp_path: Path, dates: list[str], order: str) -> None:
    messages = read_chat(tmp_path / "chat.txt", "".join(f"{date}, 10:00 - Mira: hi\n" for date in dates))
    assert messages.chats[0].format == f"WhatsApp, Android, {order}"


REPEATED = {
    "a program": (["Mira", "Bo", "Zoe"] * 2, "Deze tekst is weg gehaald", "", 0),
    "once each": (["Mira", "Bo", "Zoe"], "Good morning everyone", "", 3),
    "two people": (["Mira", "Bo"] * 9, "Good morning everyone", "", 18),
    "few of many": (
        ["Mira", "Bo", "Zoe"] * 2,
        "Good morning everyone",
        [*"ABCDEFG"],
        6,
    ),
    "once in small letters": (["Mira", "Bo", "Zoe"] * 5, "Good morning everyone", "good morning everyone", 15),
    "once with a sign": (["Mira", "Bo", "Zoe"] * 5, "Good morning everyone", "Good morning everyone! \U0001f600", 15),
    "in small letters": (["Mira", "Bo", "Zoe"] * 2, "good morning everyone", "", 6),
    "two words": (["Mira", "Bo", "Zoe"] * 2, "Good morninggggg", "", 6),
    "known": (["Mira"], "Bu mesaj silindi", "", 0),
}


@pytest.mark.parametrize(("people", "text", "more", "kept"), REPEATED.values(), ids=REPEATED)
def test_whatsapp_takes_for_a_mark_what_people_never_write_otherwise(
    tmp_path: Path, people: list[str], text: str, more: str | list[str], kept: int
) -> None:
    others = [(name, "hi") for name in more] if isinstance(more, list) else [("Mira", more)] if more else []
    said = [("Mira", "hi"), *((name, text) for name in people), *others]
    messages = read_chat(tmp_path / "chat.txt", "".join(f"24/12/19, 11:23 - {name}: {one}\n" for name, one in said))
    assert [one for _, one in pairs(messages)].count(text) == kept
    assert left_out(messages) == ({} if kept else {"deleted message": len(people)})


def test_whatsapp_keeps_what_one_person_repeats(tmp_path: Path) -> None:
    line = "24/12/19, 11:23 - Mira: Good morning everyone\n"
    assert len(pairs(read_chat(tmp_path / "chat.txt", line * 9 + "24/12/19, 11:23 - Bo: hi\n"))) == 10


NAMES = st.text("abcdé -'.", min_size=1, max_size=12).map(lambda name: f"N{name}".strip())
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cf"]), min_size=1).filter(
    lambda text: text.strip() and not (text + " ").startswith("<")
)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(NAMES, st.lists(TEXTS.map(lambda text: f"x{text}y: z."), min_size=1, max_size=3))))
@pytest.mark.slow
def test_whatsapp_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, chat: list[tuple[str, list[str]]]
) -> None:
    chat = [("Mira", ["first"]), *chat]
    written = "".join(f"24/12/19, 11:23 - {name}: {chr(10).join(lines)}\n" for name, lines in chat)
    path = tmp_path_factory.mktemp("chat") / "chat.txt"
    assert all(not _HEAD.match(line) for _, lines in chat for line in lines)
    assert pairs(read_chat(path, written)) == [(name, "\n".join(lines)) for name, lines in chat]
