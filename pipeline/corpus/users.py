"""Says which users of a chat are meant, and refuses names that nobody in it has.

`kept_texts` counts the rows of the users that settings name; `explore` those of all. A name without a row is a slip of
the pen, and never without harm: who was to be left out would stay in.
"""

import difflib
import unicodedata
from collections import Counter
from collections.abc import Sequence

from charflow.pipeline.errors import UserError, counted, quoted, quoted_list

_COMPARED = 10_000  # of the most active users; each comparison takes some 10 µs
_LONGEST_COMPARED = 200  # characters
_MOST_ACTIVE = 3


class AbsentUserError(UserError):
    """Who was named has no row in the chat."""


def refuse_absent(absent: Sequence[str], counts: Counter[str], *, left_out: bool = False) -> None:
    """Refuses names without a row, if there are any, and says who may be meant.

    >>> refuse_absent(["Mira"], Counter({"mira": 7, "ada": 2}))
    Traceback (most recent call last):
    charflow.pipeline.corpus.users.AbsentUserError: No messages from user 'Mira'; did you mean 'mira'?

    Args:
        absent: the names.
        counts: rows by user id, of the whole chat.
        left_out: whether they are those to be left out.
    """
    if not absent:
        return
    who = f"{'user' if len(absent) == 1 else 'users'} {quoted_list(absent)}"
    if left_out:
        who += ", who should be left out"
    meant = {name: near for name in absent if (near := nearest(name, counts))}
    if len(meant) == len(absent):
        raise AbsentUserError(f"No messages from {who}; did you mean {quoted_list(meant.values())}?")
    also = f" Did you mean {quoted_list(meant.values())}?" if meant else ""
    raise AbsentUserError(
        f"No messages from {who}: 0 of {counted(counts.total(), 'row')}.{also} Most active: {most_active(counts)}."
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


def most_active(counts: Counter[str]) -> str:
    """Lists the users with the most rows.

    >>> most_active(Counter({"mira": 1200, "ada": 2}))
    "'mira' (1,200), 'ada' (2)"
    """
    return ", ".join(f"{quoted(user)} ({rows:,})" for user, rows in counts.most_common(_MOST_ACTIVE))


def _bare(name: str) -> str:
    """Leaves out what the eye does not see: case, blanks, accents, characters of no width, ways to write a letter."""
    folded = unicodedata.normalize("NFKD", name[:_LONGEST_COMPARED].casefold())
    unseen = ("Cf", "Cc", "Mn")
    return "".join(char for char in folded if not char.isspace() and unicodedata.category(char) not in unseen)
