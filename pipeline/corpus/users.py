"""Says which users of a chat are meant: by their ids, or by names that stand beside these; refuses what is neither.

`corpus`, `prepared.writing` and `explore` ask before they read. Who is not in the chat is a slip of the pen, and never
without harm: who was to be left out would stay in.
"""

import difflib
import unicodedata
from collections import Counter
from collections.abc import Sequence

import tensorflow as tf

from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError, counted, quoted, quoted_list
from charflow.pipeline.formats.messages import Messages, count_users
from charflow.pipeline.formats.names import Names
from charflow.sentences import Sentence

_COMPARED = 10_000  # of the most active users; each comparison takes some 10 µs
_LONGEST_COMPARED = 200  # characters
_MOST_ACTIVE = 3
_LISTED = 10  # users of one name


class AbsentUserError(UserError):
    """Who was named has no row in the chat."""


def with_ids(settings: CorpusSettings, messages: Messages) -> CorpusSettings:
    """Puts ids in the place of names among the users that settings keep or leave out.

    What is an id means that user, whoever else may be called so. Names are read only where one is needed: ids that
    occur early cost a batch of rows.

    >>> with_ids(CorpusSettings(users="Mira"), read_messages("result.json")).users  # doctest: +SKIP
    ('user7',)

    Raises:
        AbsentUserError: somebody is not in the chat, by an id or by a name.
        UserError: a name is that of several users.
    """
    absent = _absent({*settings.users, *settings.drop_users}, messages)
    if not absent:
        return settings
    counts, names = count_users(messages), messages.all_names()
    meant = {name: names.ids(name) for name in absent}
    own: dict[str, list[str]] = {}
    for setting, given in settings.people.items():
        ids = {name: meant.get(name, [name]) for name in given}
        refuse_absent([name for name in given if not ids[name]], counts, names, left_out=setting == "drop_users")
        for name in given:
            _refuse_shared(name, ids[name], counts, setting)
        own[setting] = list(dict.fromkeys(ids[name][0] for name in given))
    return settings.with_people(own)


def _absent(ids: set[str], messages: Messages) -> set[str]:
    """Those that are no user's id; reads no further than to the first row of the last of them."""
    missing = set(ids)
    for users in messages.users() if missing else ():
        here = tf.reduce_any(users[:, tf.newaxis] == tf.constant(sorted(missing)), axis=0).numpy()
        missing -= {name for name, found in zip(sorted(missing), here, strict=True) if found}
        if not missing:
            break
    return missing


def _refuse_shared(name: str, ids: Sequence[str], counts: Counter[str], setting: str) -> None:
    if len(ids) > 1:
        found = Counter({user: counts[user] for user in ids})
        more = f" and {len(ids) - _LISTED:,} more" if len(ids) > _LISTED else ""
        raise UserError(
            f"{quoted(name)} is the name of {counted(len(ids), 'user')}: {most_active(found, most=_LISTED)}{more}.",
            advice=Sentence("Pass {it} with one of these ids, or once for each if they are one person.", it=(setting,)),
        )


def refuse_absent(
    absent: Sequence[str], counts: Counter[str], names: Names | None = None, *, left_out: bool = False
) -> None:
    """Refuses names without a row, if there are any, and says who may be meant.

    >>> refuse_absent(["Mira"], Counter({"mira": 7, "ada": 2}))
    Traceback (most recent call last):
    charflow.pipeline.corpus.users.AbsentUserError: No messages from user 'Mira'; did you mean 'mira'?

    Args:
        absent: the names.
        counts: rows by user id, of the whole chat.
        names: what these users are called.
        left_out: whether they are those to be left out.
    """
    if not absent:
        return
    who = f"{'user' if len(absent) == 1 else 'users'} {quoted_list(absent)}"
    if left_out:
        who += ", who should be left out"
    names = names or Names()
    known = counts + names.all()
    meant = {name: near for name in absent if (near := nearest(name, known))}
    if len(meant) == len(absent):
        raise AbsentUserError(f"No messages from {who}; did you mean {quoted_list(meant.values())}?")
    also = f" Did you mean {quoted_list(meant.values())}?" if meant else ""
    raise AbsentUserError(
        f"No messages from {who}: 0 of {counted(counts.total(), 'row')}.{also} Most active: "
        f"{most_active(counts, names)}."
    )


def nearest(name: str, counts: Counter[str]) -> str | None:
    """Finds the user whose id is most like a name: other case or blanks, a letter or two; None where none is.

    >>> nearest(" MIRA", Counter(["mira", "ada"])), nearest("mria", Counter(["mira", "ada"])), nearest("bo", Counter())
    ('mira', 'mira', None)
    """
    users = [user for user, _ in counts.most_common()]
    if same := next((user for user in users if _bare(user) == _bare(name)), None):
        return same
    short = [user for user in users[:_COMPARED] if len(user) <= _LONGEST_COMPARED]
    return next(iter(difflib.get_close_matches(name[:_LONGEST_COMPARED], short, n=1, cutoff=0.7)), None)


def most_active(counts: Counter[str], names: Names | None = None, *, most: int = _MOST_ACTIVE) -> str:
    """Lists the users with the most rows, and what they are called.

    >>> names = Names()
    >>> names.add("id7", "mira")
    >>> most_active(Counter({"id7": 1200, "ada": 2}), names)
    "'id7' ('mira', 1,200), 'ada' (2)"
    """
    called = names or Names()
    shown = [(user, [quoted(name) for name in called.of(user)[:1]], rows) for user, rows in counts.most_common(most)]
    return ", ".join(f"{quoted(user)} ({', '.join([*name, f'{rows:,}'])})" for user, name, rows in shown)


def _bare(name: str) -> str:
    """Leaves out what the eye does not see: case, blanks, accents, characters of no width, ways to write a letter."""
    folded = unicodedata.normalize("NFKD", name[:_LONGEST_COMPARED].casefold())
    unseen = ("Cf", "Cc", "Mn")
    return "".join(char for char in folded if not char.isspace() and unicodedata.category(char) not in unseen)
