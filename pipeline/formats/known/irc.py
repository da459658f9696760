"""Logs of IRC clients, bouncers and bots: irssi, WeeChat, ZNC, mIRC, HexChat, Eggdrop.

A message is a line; what somebody does (`* mira waves`) is hers too, without her name before it. All but WeeChat, which
puts tabs between time, name and text, write `<mira> text`.
"""

import re
from collections.abc import Iterator

from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat, Notes

_FORMATTING = re.compile("\x03(?:\\d{1,2}(?:,\\d{1,2})?)?|\x04(?:[0-9a-fA-F]{6})?|[\x02\x0f\x11\x16\x1d\x1e\x1f]")
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?"
_DAY = r"(?:\d{4}-\d{2}-\d{2}[ T]|\w{3} \d{1,2} )?"
_TIME = rf"(?:\[{_DAY}{_CLOCK}\]|{_DAY}{_CLOCK})"
_NICK = r"(?P<nick>[^\s<>/=\"':]{1,64})"
_MODES = "[~&@%+! ]{0,3}"  # of somebody in a channel, before the name
_SAID = re.compile(rf"(?:{_TIME}\s)?<{_MODES}{_NICK}>\s(?P<text>.*)", re.DOTALL)
_DONE = re.compile(rf"{_TIME}\s{{1,2}}(?:\*\s|Action: ){_NICK}\s(?P<text>.*)", re.DOTALL)
_TOLD = re.compile(
    rf"{_TIME}\s(?:-!-|\*{{3}}|-[^\s-]\S*-|\*|\S+ \(\S+@\S+\) (?:joined|left))[\s.](?P<text>.*)", re.DOTALL
)
_FRAME = re.compile(r"--- (?:Log|Day) |\*{4} (?:BEGIN|ENDING) LOGGING|Session (?:Start|Close|Ident|Time)")
_TABBED = re.compile(rf"{_DAY}{_CLOCK}\t(?P<prefix>[^\t]*)\t(?P<text>.*)", re.DOTALL)
_SIGNS = ("-->", "<--", "--", "=!=", "")  # WeeChat's in the place of a name
_OWN_MARKS = re.compile(rf"{_TIME}\s(?:-!-|\*{{3}})\s")  # of logs in which a single star is always somebody's doing
_EVENT = re.compile(  # of the others: what the client says behind a single star
    r"(?:Joins|Parts|Quits|Now talking|Topic|Set by|Disconnected|Rejoined)\b|\S+ (?:"
    r"\(\S+@\S+\) has (?:joined|left|quit)|has (?:joined|left|quit) [(#]|is now known as |sets mode|was kicked |"
    r"(?:has )?change[sd] (?:the )?topic|(?:gives|removes) (?:channel|voice))"
)
_REASONS = tuple(
    (reason, re.compile(pattern))
    for reason, pattern in {
        "join": r"^Joins: |\bjoined\b|^-->",
        "part": r"^Parts: |\bleft\b",
        "quit": r"^Quits: |\bquit\b|^<--",
        "kick": r"\bkicked\b",
        "nick change": r"now known as",
        "mode change": r"\b[Mm]ode\b|(?:gives|removes) (?:channel|voice)",
        "topic change": r"[Tt]opic",
    }.items()
)
_HEAD = 200  # lines that tell which marks the log has
_SHARE = 0.8  # of the first lines are of a log


def _recognises(chat: ChatFile) -> bool:
    lines = [_FORMATTING.sub("", line) for line in chat.head_lines()]
    known = [line for line in lines if _SAID.match(line) or _is_tabbed(line) or _DONE.match(line) or _TOLD.match(line)]
    timed = [line for line in known if re.match(_TIME, line)]
    others = sum(bool(_FRAME.match(line)) for line in lines)
    told = any(_SAID.match(line) or _is_tabbed(line) or _OWN_MARKS.match(line) for line in lines)
    return told and len(known) + others >= _SHARE * len(lines) and (len(timed) > 0 or len(known) == len(lines) > 1)


def _is_tabbed(line: str) -> bool:
    found = _TABBED.match(line)
    return found is not None and " " not in found["prefix"].strip()


def _read(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    head = chat.head.splitlines()[:_HEAD]
    tabbed, marked = any(map(_is_tabbed, chat.head_lines())), any(map(_OWN_MARKS.match, head))
    notes.kind = "WeeChat" if tabbed else notes.kind
    for raw in chat.lines():
        line = _FORMATTING.sub("", raw)
        if not line.strip():
            continue
        found = _tabbed(line) if tabbed else _plain(line, marked)
        if isinstance(found, str):
            notes.leave_out(found, line)
        elif not found[1].strip():
            notes.leave_out("empty message", line)
        else:
            yield found


def _plain(line: str, marked: bool) -> tuple[str, str] | str:
    """Who said or did what, or why it is no message."""
    if said := _SAID.match(line):
        return said["nick"], said["text"]
    done = _DONE.match(line)
    if done and (marked or not _EVENT.match(f"{done['nick']} {done['text']}")):
        return done["nick"], done["text"]
    told = _TOLD.match(line)
    if told or _FRAME.match(line):
        return _reason(told["text"] if told else line)
    return "other line"


def _tabbed(line: str) -> tuple[str, str] | str:
    found = _TABBED.match(line)
    if not found:
        return "other line"
    prefix, text = found["prefix"].strip(), found["text"]
    if prefix == "*":
        nick, _, done = text.partition(" ")
        return nick, done
    if prefix in _SIGNS:
        return _reason(f"{prefix} {text}")
    return prefix.lstrip("~&@%+!"), text


def _reason(text: str) -> str:
    return next((reason for reason, pattern in _REASONS if pattern.search(text)), "system line")


FORMAT = ChatFormat(
    title="IRC",
    files="logs of irssi, WeeChat, ZNC, mIRC, HexChat, Eggdrop",
    users="the nick",
    changed="joins, parts, topics and other lines that no one said",
    recognises=_recognises,
    read=_read,
)
