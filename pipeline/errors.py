"""The error every package of charflow raises for what a user can put right, and how its sentences are written.

`cli` prints the message and exits with status 2; a program that embeds charflow catches it. Text that is not ours (an
id, a column name, a field of a file) goes into a message through `quoted`: in quotes, so that blanks are seen, on one
line, and never more than a few words of it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from charflow.sentences import Sentence, Spell, as_arguments

_GRAPH_MARKS = re.compile(r"\{\{[^}]*\}\}\s*|\s*\[Op:\w+\].*")  # TensorFlow's names of nodes and ops
_TRACE = ("Graph execution error", "Detected at node", 'File "', "[[", "node:")

# What acts on a terminal instead of being seen: controls, line separators, changes of direction, stray surrogates.
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_QUOTED_CHARACTERS = 60
_LISTED = 10


class Explained(Exception):  # noqa: N818  # the errors below are called errors
    """What the errors for people share: a message that can be told with the names that its reader knows.

    Args:
        message: where, what rule, what was found.
        advice: sentences on what to do next. They stand apart because a layer that several commands share does not
            know which of these have options for the settings in them: `fit_to` leaves out the others.
    """

    def __init__(self, message: str | Sentence, *, advice: str | Sentence | Iterable[str | Sentence] = ()) -> None:
        super().__init__(str(message))
        self._message = message
        self.advice = (advice,) if isinstance(advice, str | Sentence) else tuple(advice)

    def __str__(self) -> str:
        return self.told(as_arguments)

    def told(self, spell: Spell) -> str:
        """The message and the advice with each setting as `spell` writes it."""
        parts = (self._message, *self.advice)
        return " ".join(part.told(spell) if isinstance(part, Sentence) else part for part in parts)

    def fit_to(self, has: Callable[[str], bool]) -> None:
        """Keeps the advice that a command can follow which has these settings."""
        self.advice = tuple(
            advice for advice in self.advice if isinstance(advice, str) or all(map(has, advice.settings()))
        )


class UserError(Explained, ValueError):
    """A wrong file, argument or folder: the message says where, what was found, and what to do next.

    >>> advice = Sentence("Pass {column}.", column={"text_column": "message"})
    >>> error = UserError("chat.csv: no column 'text'.", advice=advice)
    >>> str(error)
    "chat.csv: no column 'text'. Pass text_column='message'."
    >>> error.fit_to({"json"}.__contains__)
    >>> str(error)
    "chat.csv: no column 'text'."
    """


class SettingError(UserError):
    """A setting that cannot be so, or several that do not go together.

    One sentence serves every way in: it names a setting as a field, and whoever read it from somewhere else says so
    with `within` (a file) or prints `told` (the command line).

    Args:
        sentence: a format string; `{units}` is that setting, and `{found}` the value of `found` in `values`.
        values: what else the sentence shows; see `Sentence`.

    >>> error = SettingError("{window_length} must be {rule}.", rule="at least 1")
    >>> error.told(lambda name: f"--{name.replace('_', '-')}")
    '--window-length must be at least 1.'
    """

    def __init__(self, sentence: str, /, **values: str | Mapping[str, Any] | tuple[str, ...]) -> None:
        super().__init__(Sentence(sentence, **values))

    def within(self, source: str, table: str) -> "SettingError":
        """The same of a file that was read: the sentence names the file, and in which of its tables the setting is."""
        return SettingError("{sentence}", sentence=f"{source}: {self.told(lambda name: f'{table}{name}')}")


class PeerError(Explained, RuntimeError):
    """Another worker of the cluster has not come, or is gone: starting all of them again, resuming the run, goes on."""


def reason(error: Exception) -> str:
    """Sums an error of the system or of TensorFlow up in a few words, without a final stop.

    >>> reason(FileNotFoundError(2, "No such file or directory", "a.csv"))
    'No such file or directory'
    """
    text = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
    lines = [line.strip() for line in _GRAPH_MARKS.sub("", text).splitlines()]
    telling = [line for line in lines if line and not line.startswith(_TRACE)]
    if not telling:
        return type(error).__name__
    # An error inside a graph comes after a trace of where the graph was made.
    return telling[-1 if lines[0].startswith(_TRACE) else 0].rstrip(".")


def visible(text: str) -> str:
    r"""Writes what acts on a terminal as an escape, and a byte that is not UTF-8 as that byte; lines and tabs stay.

    >>> print(visible("\x1b[31mcaf\udce9"))
    \x1b[31mcaf\xe9
    """
    return ACTING.sub(lambda found: _escape(found[0]), text.replace("\r\n", "\n"))


def quoted(text: str, limit: int = _QUOTED_CHARACTERS) -> str:
    r"""Quotes foreign text in a message: on one line, what cannot be seen as an escape, and no more than `limit` of it.

    >>> print(quoted("mira "), quoted("two\nlines"))
    'mira ' 'two\nlines'
    >>> print(quoted("oh my dears", limit=5))
    'oh my…' (11 characters)
    """
    mark = '"' if "'" in text and '"' not in text else "'"
    shown = "".join(char if char.isprintable() else _escape(char) for char in text[:limit])
    if len(text) <= limit:
        return f"{mark}{shown}{mark}"
    return f"{mark}{shown}…{mark} ({len(text):,} characters)"


def is_plain(text: str) -> bool:
    """Says whether a text can be read without quotes: no blank in it, nor anything else, would go unnoticed.

    >>> is_plain("mira"), is_plain("mira "), is_plain("")
    (True, False, False)
    """
    return bool(text) and text.isprintable() and text == " ".join(text.split())


def quoted_list(texts: Iterable[str], most: int = _LISTED) -> str:
    """Lists foreign texts in a message, the first of them where there are many.

    >>> quoted_list(["id", "from", "text"], most=2)
    "'id', 'from' and 1 more"
    """
    rest = iter(texts)
    shown = ", ".join(quoted(text) for text in islice(rest, most))
    left = sum(1 for _ in rest)
    return f"{shown} and {left:,} more" if left else shown


def not_utf8(text: str) -> str | None:
    r"""Quotes the part of a text where bytes stand that are not UTF-8 (as lone surrogates, PEP 383), None without any.

    >>> print(not_utf8("chats/caf\udce9.csv"))
    'chats/caf\xe9.csv'
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        begin, end = error.start - _QUOTED_CHARACTERS // 2, error.start + _QUOTED_CHARACTERS // 2
        return quoted(text[max(begin, 0) : end])
    return None


def counted(number: int, noun: str) -> str:
    """Writes a number with its noun.

    >>> counted(1, "window"), counted(2_000, "window"), counted(2, "address")
    ('1 window', '2,000 windows', '2 addresses')
    """
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # how Python reads a byte that is not UTF-8 (PEP 383)
        code -= 0xDC00
    if char in _SHORT:
        return _SHORT[char]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
