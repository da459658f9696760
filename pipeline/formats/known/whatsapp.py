"""WhatsApp's "Export chat": lines of a date, a time, a name and a text, in the manner of the phone's country.

Android writes `12/24/19, 11:23 - Mira: hello`, iOS `[24/12/2019, 11:23:45] Mira: hello`. What is no message is found by
its shape, as the words are those of the phone's language. The file is read twice: names first, then messages.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat, Notes

_MARK = "\u200e"  # left-to-right mark: iOS puts it before what it writes itself
_DIRECTIONS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_M = f"(?:{_DIRECTIONS.pattern})*"
_HALF = r"[^\W\d_][^\d\[\]:\-–]{0,11}"  # AM, p. m., 下午: a half of the day
_HEAD = re.compile(
    rf"{_M}(?P<bracket>\[)?{_M}(?P<date>\d{{1,4}}(?P<mark>[./-]|\. )\d{{1,2}}(?P=mark)\d{{1,4}})\.?{_M}[,،]?\s*{_M}"
    rf"(?:{_HALF}\s?)?\d{{1,2}}[:.]\d{{2}}(?:[:.]\d{{2}})?{_M}(?:\s?{_M}{_HALF})?{_M}"
    r"(?(bracket)\][ \u00a0]?|\s[-–][ \u00a0])"
)
_QUOTES = re.compile('["“”„«»「」『』]')
_LONGEST_NAME = 100
_FEW_TEXTS = 100_000  # distinct ones that are counted; marks come early and often
_OFTEN = 3
_MARK_LENGTHS = range(15, 81)
_BRACKETED = re.compile(r"<[^<>\n]*[^\W\d_][^<>\n]*>")
_EDITED = re.compile(rf" ?(?:{_MARK}<[^<>\n]+>|<[^<>\n]+ [^<>\n]+>)$")  # after the text
_ATTACHED = re.compile(r"\S[^\n:]*\.\w{2,5} \([^()\n]+\)(?:\n|$)")  # IMG-20191224-WA0001.jpg (file attached)
_OMITTED = re.compile("(?:image|video|audio|sticker|GIF|document|Contact card) omitted")  # of old iOS, without the mark
_TWICE = 2  # by each of the people who count: that a sentence is another's to the letter happens, but not again
_DELETED = re.compile(  # the commonest; others are found by how many people "write" the same again and again
    "This message was deleted|You deleted this message|Diese Nachricht wurde gelöscht|Du hast diese Nachricht gelöscht|"
    "Se eliminó este mensaje|Eliminaste este mensaje|Ce message a été supprimé|Vous avez supprimé ce message|"
    "(?:Mensagem|Essa mensagem foi|Esta mensagem foi) apagada|Você apagou (?:essa|esta) mensagem|"
    "Questo messaggio è stato eliminato|Hai eliminato questo messaggio|Dit bericht is verwijderd|"
    "Este mensaje fue eliminado|Ta wiadomość została usunięta|(?:Данное с|С)ообщение удалено|"
    "Вы удалили данное сообщение|Bu mesaj silindi|Bu mesajı sildiniz|Pesan ini telah dihapus|"
    "Anda telah menghapus pesan ini"
)


class _Entry(NamedTuple):
    bracket: bool
    date: str
    rest: str  # after the time, to the next entry's date


@dataclass
class _Survey:
    """What only the whole file tells."""

    bracket: bool
    names: set[str] = field(default_factory=set)
    longer: dict[str, str] = field(default_factory=dict)  # names with a colon in them, by what stands before it
    marks: set[str] = field(default_factory=set)  # texts that so many people have that the program wrote them
    edits: set[str] = field(default_factory=set)
    order: str = ""


def _recognises(chat: ChatFile) -> bool:
    lines = chat.head_lines()
    return bool(lines) and bool(_HEAD.match(lines[0]))


def _read(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    survey = _surveyed(chat)
    notes.kind = f"{'iOS' if survey.bracket else 'Android'}, {survey.order}"
    for entry in _entries(chat, survey.bracket):
        name, text = _split(entry.rest, survey.longer)
        if not name or (name not in survey.names):
            notes.leave_out("system line", entry.rest)
        elif reason := _no_message(text, survey.marks):
            notes.leave_out(reason, entry.rest)
        else:
            yield name, _said(text, survey.edits)


def _entries(chat: ChatFile, bracket: bool | None = None) -> Iterator[_Entry]:
    """Joins lines to entries; lines that begin with a date in the other manner belong to a text."""
    entry: _Entry | None = None
    rest: list[str] = []
    for line in chat.lines():
        head = _HEAD.match(line)
        if head and bracket in (None, bool(head["bracket"])):
            if entry:
                yield entry._replace(rest="\n".join(rest))
            entry, rest = _Entry(bool(head["bracket"]), head["date"], ""), [line[head.end() :]]
            bracket = entry.bracket
        elif entry:
            rest.append(line)
    if entry:
        yield entry._replace(rest="\n".join(rest))


def _split(rest: str, longer: dict[str, str]) -> tuple[str, str]:
    """Takes the name off an entry: empty where there is none."""
    first, colon, text = rest.partition(":")
    if not colon or "\n" in first or not (text[:1] in (" ", "\n", "") or text.startswith(_MARK)):
        return "", rest
    name = _bare(first)
    if len(name) > _LONGEST_NAME:
        return "", rest
    text = text.removeprefix(" ")
    if name in longer and text.startswith(longer[name] + ": "):
        return f"{name}: {longer[name]}", text[len(longer[name]) + 2 :]
    return name, text


def _bare(name: str) -> str:
    """Leaves out marks of direction, and the tilde before the name of who is not in the phone's contacts."""
    return _DIRECTIONS.sub("", name).replace("\xa0", " ").removeprefix("~").strip()


def _surveyed(chat: ChatFile) -> _Survey:
    counts: Counter[str] = Counter()
    seconds: dict[str, str | None] = {}  # what stands between the first two colons after a name; None: nothing fixed
    repeats: dict[str, Counter[int]] = {}  # texts, by who wrote them how often
    edits: dict[str, set[int]] = {}
    dates: dict[str, None] = {}
    bracket = False
    for entry in _entries(chat):
        bracket, dates[entry.date] = entry.bracket, None
        name, text = _split(entry.rest, {})
        if not name:
            continue
        counts[name] += 1
        second, colon, _ = text.partition(": ")
        is_name = colon and second[:1] == second[:1].upper() and "\n" not in second and len(second) <= _LONGEST_NAME
        second_name = second if is_name else None
        seconds[name] = second_name if seconds.get(name, second_name) == second_name else None
        last = text.rpartition(": ")[2]  # a mark has no colon; a name may
        if len(last) in _MARK_LENGTHS and (last in repeats or len(repeats) < _FEW_TEXTS):
            repeats.setdefault(last, Counter())[hash(name)] += 1
        if (found := _EDITED.search(text)) and len(edits) < _FEW_TEXTS:
            edits.setdefault(found[0], set()).add(hash(text))
    longer = {name: second for name, second in seconds.items() if second and counts[name] >= _OFTEN}
    return _Survey(
        bracket=bracket,
        names=_names(counts) | {f"{name}: {second}" for name, second in longer.items()},
        longer=longer,
        marks=_marks(repeats, len(counts)),
        edits={mark for mark, texts in edits.items() if mark.lstrip().startswith(_MARK) or len(texts) > 1},
        order=_order(list(dates)),
    )


def _names(counts: Counter[str]) -> set[str]:
    """Those who wrote; not `Mira created group "Cats`, half a quotation, of a line that has a colon in the subject."""
    return {name for name, count in counts.items() if count >= _OFTEN or len(_QUOTES.findall(name)) % 2 == 0}


def _marks(repeats: dict[str, Counter[int]], n_people: int) -> set[str]:
    """Plain sentences that a third of all people "wrote" to the letter, and more than once: `Mensaje eliminado aquí`.

    What people write themselves, such as wishes for the morning, one of them writes otherwise one day: in small letters
    or with a sign after it. A program never does.
    """
    forms = Counter(map(_letters, repeats))
    return {
        text
        for text, by in repeats.items()
        if sum(count >= _TWICE for count in by.values()) >= max(_OFTEN, n_people / 3)
        and forms[_letters(text)] == 1
        and text[0] == text[0].upper()
        and len(text.split()) > 2
        and all(char.isalpha() or char in " .'’" for char in text)
    }


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text.casefold()))


def _no_message(text: str, marks: set[str]) -> str:
    """Says what a text is that the person did not write; empty where the person did."""
    bare = _DIRECTIONS.sub("", text).strip()
    if _DELETED.fullmatch(bare.removesuffix(".")) or text in marks:
        return "deleted message"
    if _BRACKETED.fullmatch(bare) or _OMITTED.fullmatch(bare):
        return "media mark"
    if _ATTACHED.match(bare) and "\n" not in bare:
        return "media mark"
    if text.startswith(_MARK) and not _ATTACHED.match(bare):
        return "media mark" if "\n" not in bare and len(bare) < 40 else "system line"
    return "" if bare else "empty message"


def _said(text: str, edits: set[str]) -> str:
    """Takes off what the program added: the mark of an edit or a file after the text, the file before its caption."""
    found = _EDITED.search(text)
    if found and found[0] in edits:
        text = text[: found.start()]
    bare = _DIRECTIONS.sub("", text)
    attached = _ATTACHED.match(bare)
    return bare[attached.end() :] if attached and attached.end() < len(bare) else text


def _order(dates: list[str]) -> str:
    """Finds out how dates are written: by what no month can be, otherwise by which way the days go forward."""
    days = [tuple(map(int, re.findall(r"\d+", date))) for date in dates]
    if any(day[0] > 31 for day in days):
        return "year first"
    if any(day[0] > 12 for day in days):
        return "day first"
    if any(day[1] > 12 for day in days):
        return "month first"
    back = {
        order: sum(after < before for before, after in pairwise([tuple(day[i] for i in places) for day in days]))
        for order, places in {"day first": (2, 1, 0), "month first": (2, 0, 1)}.items()
    }
    return min(back, key=lambda order: back[order])


FORMAT = ChatFormat(
    title="WhatsApp",
    files='"Export chat" of Android or iOS: `_chat.txt`, `WhatsApp Chat with ….txt`, the `.zip` with its pictures',
    users="the name in the chat",
    changed="system lines, marks of pictures and of deleted messages; marks of edits are taken off",
    recognises=_recognises,
    read=_read,
)
