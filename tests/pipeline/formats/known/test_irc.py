"""Logs of IRC: what people said and did, and nothing that the server or the client said."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.pipeline.formats.messages import read_messages
from tests.pipeline.formats.chats import Example, pairs, read_chat

IRSSI = """\
--- Log opened Mon May 06 07:08:09 2024
07:08 -!- mira [~mira@boats.example] has joined #harbour
07:08 -!- Irssi: #harbour: Total of 3 nicks [1 ops, 0 halfops, 1 voices, 1 normal]
07:09 < mira> good morning, all
07:09 <@ada> \x02morning\x02 \x0304,12mira\x03, 3 < 4 and 5 > 4
07:10  * mira has quit sleeping
07:10 <+bo[away]> 07:11 < mira> is how it looks
07:11 -!- mode/#harbour [+o mira] by ada
07:11 -!- ada changed the topic of #harbour to: <soup> at noon
07:12 -!- bo[away] is now known as bo
07:12 < bo> it's me:  two blanks
07:13 -!- cat was kicked from #harbour by ada [no fish]
07:13 -services:#harbour- a notice
--- Day changed Tue May 07 2024
00:01 -!- mira [~mira@boats.example] has quit [Quit: leaving]
00:02 -!- bo [bo@x] has left #harbour []
00:03 < ada> -!- not a system line
00:03 < ada> \x0f
--- Log closed Tue May 07 00:04:00 2024
"""
IRSSI_PAIRS = [
    ("mira", "good morning, all"),
    ("ada", "morning mira, 3 < 4 and 5 > 4"),
    ("mira", "has quit sleeping"),
    ("bo[away]", "07:11 < mira> is how it looks"),
    ("bo", "it's me:  two blanks"),
    ("ada", "-!- not a system line"),
]
WEECHAT = """\
2024-05-06 07:08:09\t-->\tmira (~mira@boats.example) has joined #harbour
2024-05-06 07:08:10\t--\tTopic for #harbour is "soup"
2024-05-06 07:08:11\t--\tMode #harbour [+nt] by ada
2024-05-06 07:09:00\t@ada\tgood\tmorning
2024-05-06 07:09:10\tmira\t--> over there
2024-05-06 07:09:11\t+bo\t\x1ditalic\x1d
2024-05-06 07:10:00\t *\tmira waves: hello
2024-05-06 07:10:10\t--\tbo is now known as bob
2024-05-06 07:10:20\t<--\tada (~ada@x) has quit (Quit: bye)
2024-05-06 07:10:30\t=!=\tirc: disconnected from server
2024-05-06 07:10:40\t\ta line of the client
2024-05-06 07:10:50\tbob\tstill me
"""
WEECHAT_PAIRS = [
    ("ada", "good\tmorning"),
    ("mira", "--> over there"),
    ("bo", "italic"),
    ("mira", "waves: hello"),
    ("bob", "still me"),
]
ZNC = """\
[07:08:09] *** Joins: mira (~mira@boats.example)
[07:08:10] *** ChanServ sets mode: +o mira
[07:09:00] <mira> good morning
[07:09:10] * mira is now known as the cook
[07:09:20] <ada> [07:09:00] *** Joins: no
[07:09:30] -ada- a notice
[07:10:00] *** ada is now known as ada_
[07:10:10] *** ada_ changes topic to 'soup'
[07:10:20] *** Parts: ada_ (~ada@x) (bye)
[07:10:30] *** Quits: mira (~mira@boats.example) (Quit: leaving)
"""
ZNC_PAIRS = [("mira", "good morning"), ("mira", "is now known as the cook"), ("ada", "[07:09:00] *** Joins: no")]
IRSSI_LEFT_OUT = {
    "system line": 5,
    "join": 1,
    "mode change": 1,
    "topic change": 1,
    "nick change": 1,
    "kick": 1,
    "quit": 1,
    "part": 1,
    "empty message": 1,
}
WEECHAT_LEFT_OUT = {
    "join": 1,
    "topic change": 1,
    "mode change": 1,
    "nick change": 1,
    "quit": 1,
    "system line": 2,
}
ZNC_LEFT_OUT = {
    "join": 1,
    "mode change": 1,
    "system line": 1,
    "nick change": 1,
    "topic change": 1,
    "part": 1,
    "quit": 1,
}
EXAMPLES = [
    Example("#harbour.log", IRSSI, IRSSI_PAIRS, IRSSI_LEFT_OUT, "IRC"),
    Example("irc.weechatlog", WEECHAT.replace("\n", "\r\n"), WEECHAT_PAIRS, WEECHAT_LEFT_OUT, "IRC, WeeChat"),
    Example("2024-05-06.log", ZNC, ZNC_PAIRS, ZNC_LEFT_OUT, "IRC"),
]
OTHERS = {
    "mIRC": (
        "Session Start: Mon May 06 07:08:09 2024\nSession Ident: #harbour\n[07:08] * Now talking in #harbour\n"
        "[07:08] <@mira> hi\n[07:09] * mira waves\n[07:09] * ada (a@x) has joined #harbour\n"
        "[07:09] * mira sets mode: +v ada\n[07:10] * ada has quit (bye)\nSession Close: Mon May 06 07:11:00 2024\n"
    ),
    "HexChat": (
        "**** BEGIN LOGGING AT Mon May  6 07:08:09 2024\nMay 06 07:08:09 *\tNow talking on #harbour\n"
        "May 06 07:08:10 <mira>\thi\nMay 06 07:08:20 *\tmira waves\n"
        "May 06 07:08:30 *\tada (a@x) has joined\n**** ENDING LOGGING AT Mon May  6 07:09:00 2024\n"
    ),
    "Eggdrop": "[07:08] ada (a@x) joined #harbour.\n[07:08] <mira> hi\n[07:09] Action: mira waves\n",
    "without times": "<mira> hi\n<+mira> waves\n",
}


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS)
def test_other_logs_are_read(tmp_path: Path, content: str) -> None:
    assert pairs(read_chat(tmp_path / "chat.log", content)) == [("mira", "hi"), ("mira", "waves")]


def test_days_of_a_log_are_read_in_order(tmp_path: Path) -> None:
    for day in ("07", "06"):
        (tmp_path / f"2024-05-{day}.log").write_text(f"[07:08:09] <mira> day {day}\n")
    messages = read_messages(str(tmp_path / "*.log"))
    assert pairs(messages) == [("mira", "day 06"), ("mira", "day 07")]


@pytest.mark.parametrize(
    "content",
    ["07:08 INFO started\n07:09 WARN stopped\n", "07:08\tstarted\n07:09\tstopped\n", "<p> text\n</p>\n<b>more</b>\n"],
    ids=["a program's", "two columns", "HTML"],
)
def test_other_lines_are_not_taken_for_irc(tmp_path: Path, content: str) -> None:
    with pytest.raises(ValueError, match=r"in no format that|no columns|is one field"):
        read_chat(tmp_path / "chat.log", content)


NICKS = st.from_regex(r"[a-z_][a-z0-9_\[\]|^-]{0,9}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1).filter(str.strip)
WRITERS = {
    "irssi": "07:08 <@{nick}> {text}\n",
    "WeeChat": "2024-05-06 07:08:09\t+{nick}\t{text}\n",
    "ZNC": "[07:08:09] <{nick}> {text}\n",
}


@settings(deadline=None, max_examples=30)
@given(chat=st.lists(st.tuples(NICKS, TEXTS), min_size=1, max_size=6), client=st.sampled_from([*WRITERS]))
@pytest.mark.slow
def test_irc_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, chat: list[tuple[str, str]], client: str
) -> None:
    content = "".join(WRITERS[client].format(nick=nick, text=text) for nick, text in chat)
    assert pairs(read_chat(tmp_path_factory.mktemp("chat") / "chat.log", content)) == chat
