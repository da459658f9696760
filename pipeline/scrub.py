r"""Finds what tells who or where somebody is in a text, and puts placeholders in its place, with TensorFlow ops.

`text.normalise` calls it last where the settings say so, so training texts, prompts and stop strings all go through it;
`explore` counts and shows what it finds. A kind is one line of `KINDS`; they are replaced in this order, so that the
address in a link is the link's.

The patterns are those of RE2: linear time, no look-around. What must stand before or after a find is therefore matched
and written back; what stands after it cannot be what the next one of the same kind begins with. A pattern sees no check
digits (Luhn's for cards, modulo 97 for IBANs), so a number that is merely written like a card is taken for one.

Most messages have nothing of any kind, and the patterns are slow to say so. Only texts with what a kind's finds cannot
do without are therefore looked at for it: K of the B texts, which are gathered, changed and put back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from itertools import groupby
from operator import attrgetter

import tensorflow as tf

_MARK = "\ufdd3"  # a noncharacter around each find, where they are shown


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of thing to find.

    Attributes:
        name: a word; the placeholder is the same between angle brackets, lower-case as texts usually are.
        noun: for people, singular.
        pattern: of RE2, without groups that capture; case does not matter.
        needs: pattern of what every find has in it, fast to look for; neighbours in the table that share it are looked
            for together.
        before: pattern of what must stand before it, and stays.
        after: likewise.
    """

    name: str
    noun: str
    pattern: str
    needs: str
    before: str = ""
    after: str = ""

    @property
    def placeholder(self) -> str:
        """What stands in its place."""
        return f"<{self.name}>"

    def replaced(self, text: tf.Tensor) -> tf.Tensor:
        """Puts the placeholder in the place of every find, in strings of any shape."""
        if not (self.before or self.after):  # a group that captures doubles the time of a text that has finds
            return tf.strings.regex_replace(text, self._whole, self.placeholder)
        pattern = f"(?i)({self.before})(?:{self.pattern})({self.after})"
        return tf.strings.regex_replace(text, pattern, rf"\1{self.placeholder}\2")

    def count(self, text: tf.Tensor) -> tf.Tensor:
        """Counts the finds in each of some strings, int32 of their shape: a byte is put behind each."""
        longer = tf.strings.regex_replace(text, self._whole, r"\0.")
        return tf.strings.length(longer) - tf.strings.length(text)

    def finds(self, text: tf.Tensor) -> list[list[str]]:
        """Lists the finds of each of some strings, [K]."""
        pattern = f"(?i)({self.before})({self.pattern})({self.after})"
        marked = tf.strings.regex_replace(tf.strings.regex_replace(text, _MARK, ""), pattern, rf"\1{_MARK}\2{_MARK}\3")
        return [shown.decode().split(_MARK)[1::2] for shown in marked.numpy()]

    @property
    def _whole(self) -> str:
        """The pattern of a find and its neighbours, which captures nothing."""
        return f"(?i)(?:{self.before})(?:{self.pattern})(?:{self.after})"


_IN_LINK = r"[^\x00-\x20\x7f\p{Z}<>()\[\]\"`|\\^{}]"
_LINK_END = r"[^\x00-\x20\x7f\p{Z}<>()\[\]\"`|\\^{}'*_~.,;:!?…“”‘’«»]"
_REST_OF_LINK = rf"(?:{_IN_LINK}|\({_IN_LINK}*\)|\[{_IN_LINK}*\])*(?:{_LINK_END}|\({_IN_LINK}*\))"
_LABELS = r"(?:[\pL\pN](?:[\pL\pN-]*[\pL\pN])?\.)+"
# Names of whole domains that are no usual ends of file names or attributes, as .js, .py, .name and .id are ...
_DOMAINS = r"(?:com|org|net|edu|gov|io|dev|app|info|eu|co\.[a-z]{2}|xn--[a-z0-9-]+)"
# ... and those of countries, which are words or ends of files too often to be taken without a path behind them.
_COUNTRIES = (
    r"(?:am|ar|at|au|be|br|ca|ch|cl|cn|co|cz|de|dk|es|fi|fm|fr|gg|gl|gr|hk|hu|ie|il|im|in|it|jp|kr|ly|me|mx|nl|no|nz|"
    r"pt|ro|ru|se|sg|to|tr|tv|tw|ua|uk|us|za)"
)
# The signs of a placeholder bound no find, or what is put in the place of one would make another of its neighbour.
_NO_PLACEHOLDER = r"(?:^|[^deklnp])>"
_NO_NUMBER = rf"^|[^\pL\pN_.,:/+>-]|{_NO_PLACEHOLDER}"  # no part of a longer number, a date, a version, a name
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|\d{1,2})"
_LONG_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]\d)"
_HEX = r"[0-9a-f]{1,4}"
_ROUTED = r"(?:[23][0-9a-f]{3}|fe[89ab][0-9a-f]|f[cd][0-9a-f]{2})"  # how the addresses of machines begin
_GAP = r"[ ()./-]{0,2}"  # in a phone number
_AREA = r"0[1-9]\d{1,3}"
_SUBSCRIBER = r"(?:\d{5,8}|\d{3,4}[ -]\d{3,5}|\d{2,3}(?:[ -]\d{2,3}){2,3})"
_NUMBERS = r"\d(?:[ ()./-]{0,4}\d){4}|:[0-9a-f]{0,4}:"  # what all kinds of numbers need
_NORTH_AMERICAN = r"(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}\b"

KINDS: tuple[Kind, ...] = (
    Kind(
        name="link",
        noun="link",
        needs=r"://|www\.|git@",
        pattern="|".join(
            (
                rf"\b[a-z][a-z0-9+.-]*://{_REST_OF_LINK}",
                rf"\bwww\.{_LABELS}[\pL]{_REST_OF_LINK}",
                r"\bgit@[\w.-]+:[\w./~-]+\w",
            )
        ),
    ),
    Kind(
        name="email",
        noun="e-mail address",
        needs="@",
        pattern=rf"[\pL\pN_](?:[\pL\pN._%+'-]*[\pL\pN_+-])?@{_LABELS}(?:xn--[a-z0-9-]*[a-z0-9]|\pL{{2,}})",
    ),
    Kind(
        name="link",
        noun="link",
        needs=r"\.[a-z]",
        pattern=rf"\b{_LABELS}(?:{_DOMAINS}(?::\d+)?(?:/(?:{_REST_OF_LINK})?)?|{_COUNTRIES}/{_REST_OF_LINK})",
        after=r"\.*(?:$|[^\pL\pN_@.(-])",
    ),
    Kind(
        name="iban",
        noun="bank account number",
        needs=_NUMBERS,
        pattern=r"\b[a-z]{2}\d{2}(?: ?[a-z]{1,4})?(?: ?\d){10}(?: ?\d[a-z0-9]{0,3})*\b",
    ),
    Kind(
        name="card",
        noun="card number",
        needs=_NUMBERS,
        pattern="|".join(
            (
                r"[2-6]\d{3}(?:[ -]?\d{4}){3}(?:[ -]?\d{1,3})?\b",
                r"3[47]\d{2}[ -]?\d{6}[ -]?\d{5}\b",
                r"3[068]\d{2}[ -]?\d{6}[ -]?\d{4}\b",
            )
        ),
        before=_NO_NUMBER,
    ),
    Kind(
        name="ip",
        noun="IP address",
        needs=_NUMBERS,
        pattern="|".join(
            (
                rf"{_LONG_OCTET}(?:\.{_OCTET}){{3}}\b",
                rf"{_OCTET}\.{_LONG_OCTET}(?:\.{_OCTET}){{2}}\b",
                rf"{_OCTET}\.{_OCTET}\.{_LONG_OCTET}\.{_OCTET}\b",
                rf"(?:{_OCTET}\.){{3}}{_LONG_OCTET}\b",
                rf"{_ROUTED}(?::{_HEX}){{7}}\b",
                rf"{_ROUTED}(?::{_HEX}){{0,5}}::(?:{_HEX}(?::{_HEX}){{0,5}}\b)?",
            )
        ),
        before=rf"^|[^\pL\pN_.>]|{_NO_PLACEHOLDER}",
    ),
    Kind(
        name="phone",
        noun="phone number",
        needs=_NUMBERS,
        pattern="|".join((rf"\+(?:1[ .-]?)?{_NORTH_AMERICAN}", rf"\+[1-9](?:{_GAP}\d){{6,14}}\b")),
        before=rf"^|[^\pL\pN_+>]|{_NO_PLACEHOLDER}",
    ),
    Kind(
        name="phone",
        noun="phone number",
        needs=_NUMBERS,
        pattern="|".join(
            (
                rf"(?:1[ .-]?)?{_NORTH_AMERICAN}",
                rf"00[2-9](?:{_GAP}\d){{7,14}}\b",
                rf"(?:\({_AREA}\)|{_AREA})[ /-]{{1,3}}{_SUBSCRIBER}\b",
                r"0[1-9](?:[ .-]\d{2}){4}\b",
                r"0(?:1[5-7]|[2-9]\d)\d{7,9}\b",
            )
        ),
        before=_NO_NUMBER,
    ),
    Kind(
        name="name",
        noun="mention",
        needs="@",
        pattern=r"\B@[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?",
        after=r"-*(?:$|[^\pL\pN_@/<-]|<(?:$|[^ceilnp]))",
    ),
)


_GROUPS = tuple((needs, tuple(kinds)) for needs, kinds in groupby(KINDS, key=attrgetter("needs")))
_ANY = "|".join(dict.fromkeys(kind.needs for kind in KINDS))

_Look = Callable[[Kind, tf.Tensor], tf.Tensor]  # at texts that may have finds of a kind: gives them without these


def scrub(text: tf.Tensor) -> tf.Tensor:
    """Puts placeholders in the place of everything found, in strings of any shape; twice changes no more than once.

    >>> scrub(tf.constant("ask @mira, mira@example.com or +49 170 1234567")).numpy().decode()
    'ask <name>, <email> or <phone>'
    """
    return tf.reshape(_by_kind(tf.reshape(text, [-1]), Kind.replaced), tf.shape(text))


def finds_in(texts: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """Gives for each of `KINDS` the texts [B] that have some, as the kinds before left them, and how many.

    Returns:
        For each: texts, string [K]; numbers of finds, int32 [K].
    """
    found = []

    def look(kind: Kind, some: tf.Tensor) -> tf.Tensor:
        counts = kind.count(some)
        rows = tf.where(counts > 0)
        have = tf.gather_nd(some, rows)
        found.append((have, tf.gather_nd(counts, rows)))
        return tf.tensor_scatter_nd_update(some, rows, kind.replaced(have))

    _by_kind(texts, look)
    return found


def count_finds(text: str) -> dict[str, int]:
    """Counts what is found in a text, by the nouns of the kinds that are.

    >>> count_finds("@mira, @ada: a@b.example")
    {'e-mail address': 1, 'mention': 2}
    """
    totals: dict[str, int] = {}
    for kind, (_, counts) in zip(KINDS, finds_in(tf.constant([text])), strict=True):
        for count in counts.numpy().tolist():
            totals[kind.noun] = totals.get(kind.noun, 0) + count
    return totals


def _by_kind(texts: tf.Tensor, look: _Look) -> tf.Tensor:
    """Lets kind after kind look at those of the texts [B] that have what it needs."""

    def at_group(kinds: tuple[Kind, ...], some: tf.Tensor) -> tf.Tensor:
        return reduce(lambda left, kind: look(kind, left), kinds, some)

    def at_any(some: tf.Tensor) -> tf.Tensor:
        return reduce(lambda left, group: _where(group[0], left, partial(at_group, group[1])), _GROUPS, some)

    return _where(_ANY, texts, at_any)


def _where(needs: str, texts: tf.Tensor, change: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Changes those of the texts [B] that have what is needed; they may be no UTF-8."""
    rows = tf.where(tf.strings.regex_full_match(texts, rf"(?i)\C*(?:{needs})\C*"))  # [K, 1]
    return tf.tensor_scatter_nd_update(texts, rows, change(tf.gather_nd(texts, rows)))
