"""WhatsApp's "Export chat": lines of a date, a time, a name and a text, in the manner of the phone's country.

Android writes `12/24/19, 11:23 - Mira: hello`, iOS `[24/12/2019, 11:23:45] Mira: hello`. What is no message is found by
its shape, as the words are those of the phone's language. The file is read twice: names first, then messages.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat, Notes

_MARK = "\u200e"  # left-to-right mark: iOS puts it before what it writes itself
_DIRECTIONS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_M = f"{_DIRECTIONS.pattern}*"
_S = r"[^\S\n]"
_HALF = r"[^\W\d_][^\d\[\]:\-–\n]{0,11}"  # AM, p. m., 下午: a half of the day
_HEAD = re.compile(  # behind a line feed, which a search finds faster than whatever follows
    rf"\n{_M}(\[)?{_M}(\d{{1,4}}(?P<mark>[./-]|\. )\d{{1,2}}(?P=mark)\d{{1,4}})\.?{_M}[,،]?{_S}*{_M}"
    rf"(?:{_HALF}{_S}?)?\d{{1,2}}[:.]\d{{2}}(?:[:.]\d{{2}})?{_M}(?:{_S}?{_M}{_HALF})?{_M}"
    rf"(?(1)\][ \u00a0]?|{_S}[-–][ \u00a0])"
)
_QUOTES = re.compile('["“”„«»「」『』]')
_LONGEST_NAME = 100
_FEW_TEXTS = 100_000  # distinct ones that are counted; marks come early and often
_OFTEN = 3
_MARK_LENGTHS = range(15, 81)
_BRACKETED = re.compile(r"<[^<>\n]*[^\W\d_][^<>\n]*>")
_EDITED = re.compile(rf" ?(?:{_MARK}<[^<>\n]+>|<[^<>\n]+ [^<>\n]+>)$")  # after the text
_ATTACHED = re.compile(r"\S[^\n:]*\.\w{2,5} \([^()\n]+\)(?:\n|$)")  # IMG-20191224-WA0001.jpg (file attached)
_OMITTED = {  # of old iOS, without the mark
    f"{kind} omitted" for kind in ("image", "video", "audio", "sticker", "GIF", "document", "Contact card")
}
_DELETED = {  # the commonest; others are found by how many people "write" the same again and again
    *("This message was deleted", "You deleted this message"),
    *("Diese Nachricht wurde gelöscht", "Du hast diese Nachricht gelöscht"),
    *("Se eliminó este mensaje", "Eliminaste este mensaje", "Este mensaje fue eliminado"),
    *("Ce message a été supprimé", "Vous avez supprimé ce message"),
    *("Mensagem apagada", "Essa mensagem foi apagada", "Esta mensagem foi apagada"),
    *("Você apagou essa mensagem", "Você apagou esta mensagem"),
    *("Questo messaggio è stato eliminato", "Hai eliminato questo messaggio", "Dit bericht is verwijderd"),
    *("Ta wiadomość została usunięta", "Bu mesaj silindi", "Bu mesajı sildiniz"),
    *("Данное сообщение удалено", "Сообщение удалено", "Вы удалили данное сообщение"),
    *("Pesan ini telah dihapus", "Anda telah menghapus pesan ini"),
}


@dataclass
class _Survey:
    """What only the whole file tells."""

    bracket: str | None
    names: set[str] = field(default_factory=set)
    longer: dict[str, str] = field(default_factory=dict)  # names with a colon in them, by what stands before it
    marks: set[str] = field(default_factory=set)  # texts that so many people have that the program wrote them
    edits: set[str] = field(default_factory=set)
    order: str = ""


def _recognises(chat: ChatFile) -> bool:
    lines = chat.head_lines()
    return bool(lines) and bool(_HEAD.match(f"\n{lines[0]}"))


def _read(chat: ChatFile, notes: Notes) -> Iterator[tuple[str, str]]:
    survey = _surveyed(chat)
    notes.kind = f"{'iOS' if survey.bracket else 'Android'}, {survey.order}"
    for _, rest in _entries(chat, survey.bracket):
        name, text = _split(rest, survey.longer)
        if not name or (name not in survey.names):
            notes.leave_out("system line", rest)
        elif reason := _no_message(text, survey.marks):
            notes.leave_out(reason, rest)
        else:
            yield name, _said(text, survey.edits)


def _entries(chat: ChatFile, bracket: str | None) -> Iterator[tuple[str, str]]:
    """Cuts the text where lines begin with a date in that manner: yields dates, and what follows their times."""
    date = ""
    before: list[str] = []  # of an entry that began in an earlier block
    for block in chat.blocks():
        end = 0
        for head in _HEAD.finditer(block):
            manner, next_date = head.group(1, 2)
            if manner != bracket:
                continue
            if date:
                rest = block[end : head.start()]
                yield date, "".join([*before, rest]) if before else rest
            date, end, before = next_date, head.end(), []
        if date:
            before.append(block[end:])
    if date:
        yield date, "".join(before)


def _manner(chat: ChatFile) -> str | None:
    """The bracket before the first date, None where there is none."""
    heads = (_HEAD.search(block) for block in chat.blocks())
    return next((head[1] for head in heads if head), None)


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


@lru_cache
def _bare(name: str) -> str:
    """Leaves out marks of direction, and the tilde before the name of who is not in the phone's contacts."""
    return _DIRECTIONS.sub("", name).replace("\xa0", " ").removeprefix("~").strip()


def _surveyed(chat: ChatFile) -> _Survey:
    counts: Counter[str] = Counter()
    people: dict[str, int] = {}  # a bit for each
    seconds: dict[str, str | None] = {}  # what stands between the first two colons after a name; None: nothing fixed
    repeats: dict[str, tuple[int, int]] = {}  # texts: the bits of those who wrote them, and who did so twice
    edits: dict[str, set[int]] = {}
    dates: dict[str, None] = {}
    bracket = _manner(chat)
    for date, rest in _entries(chat, bracket):
        dates[date] = None
        name, text = _split(rest, {})
        if not name:
            continue
        counts[name] += 1
        if seconds.get(name, "") is not None:
            second = _second(text)
            seconds[name] = second if seconds.get(name, second) == second else None
        last = text.rpartition(": ")[2]  # a mark has no colon; a name may
        if len(last) in _MARK_LENGTHS and (last in repeats or len(repeats) < _FEW_TEXTS):
            by, again = repeats.get(last, (0, 0))
            person = people.setdefault(name, 1 << len(people))
            repeats[last] = by | person, again | (by & person)
        if (found := _edited(text)) and len(edits) < _FEW_TEXTS:
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


def _second(text: str) -> str | None:
    """What stands before the next colon, if it may be the end of a name."""
    second, colon, _ = text.partition(": ")
    is_name = colon and second[:1] == second[:1].upper() and "\n" not in second and len(second) <= _LONGEST_NAME
    return second if is_name else None


def _edited(text: str) -> re.Match[str] | None:
    return _EDITED.search(text) if ">" in text[-2:] else None  # most texts need no search


def _names(counts: Counter[str]) -> set[str]:
    """Those who wrote; not `Mira created group "Cats`, half a quotation, of a line that has a colon in the subject."""
    return {name for name, count in counts.items() if count >= _OFTEN or len(_QUOTES.findall(name)) % 2 == 0}


def _marks(repeats: dict[str, tuple[int, int]], n_people: int) -> set[str]:
    """Plain sentences that a third of all people "wrote" to the letter, and more than once: `Mensaje eliminado aquí`.

    What people write themselves, such as wishes for the morning, one of them writes otherwise one day: in small letters
    or with a sign after it. A program never does.
    """
    forms = Counter(map(_letters, repeats))
    return {
        text
        for text, (_, again) in repeats.items()
        if again.bit_count() >= max(_OFTEN, n_people / 3)  # others write a sentence to the letter, but not twice
        and forms[_letters(text)] == 1
        and text[0] == text[0].upper()
        and len(text.split()) > 2
        and all(char.isalpha() or char in " .'’" for char in text)
    }


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text.casefold()))


def _no_message(text: str, marks: set[str]) -> str:
    """Says what a text is that the person did not write; empty where the person did."""
    bare = _undirected(text).strip()
    if bare.removesuffix(".") in _DELETED or text in marks:
        return "deleted message"
    if bare in _OMITTED or (bare[:1] == "<" and _BRACKETED.fullmatch(bare)):
        return "media mark"
    if (attached := _attached(bare)) and "\n" not in bare:
        return "media mark"
    if text.startswith(_MARK) and not attached:
        return "media mark" if "\n" not in bare and len(bare) < 40 else "system line"
    return "" if bare else "empty message"


def _said(text: str, edits: set[str]) -> str:
    """Takes off what the program added: the mark of an edit or a file after the text, the file before its caption."""
    found = _edited(text)
    if found and found[0] in edits:
        text = text[: found.start()]
    bare = _undirected(text)
    attached = _attached(bare)
    return bare[attached.end() :] if attached and attached.end() < len(bare) else text


def _undirected(text: str) -> str:
    return text if text.isascii() else _DIRECTIONS.sub("", text)


def _attached(bare: str) -> re.Match[str] | None:
    return _ATTACHED.match(bare) if ")" in bare else None


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
