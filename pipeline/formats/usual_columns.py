"""The usual names of what a chat's rows are made of: who wrote, what, and what else the writer is called.

`csv_trials` finds such columns, `json_lines` reads such fields, `csv_source` finds the names beside the ids.
"""

import re
from collections.abc import Iterable, Mapping

# Without blanks and signs, in small letters; likely ones first, ids before the names that stand beside them.
USUAL: Mapping[str, tuple[str, ...]] = {
    "user_column": (
        "fromuserid",
        "userid",
        "authorid",
        "senderid",
        "fromid",
        "user",
        "author",
        "sender",
        "from",
        "username",
        "name",
        "nick",
        "sendername",
        "authorname",
        "displayname",
        "speaker",
        "fromname",
        "fromuser",
        "fromusername",
        "screenname",
        "nickname",
        "handle",
        "participant",
    ),
    "text_column": (
        "text",
        "message",
        "content",
        "body",
        "msg",
        "messagetext",
        "messagebody",
        "messagecontent",
        "comment",
    ),
}

_WHO = re.compile("id$|name$")  # of a person
# What stands beside the id of a user, by itself or behind what the id is of: `fromUser.displayName`.
_NAMES = ("displayname", "screenname", "username", "realname", "fullname", "nickname", "handle", "name", "nick")


def plain(name: str) -> str:
    """What is compared of a name.

    >>> plain("fromUser.id"), plain(" Author ID")
    ('fromuserid', 'authorid')
    """
    return re.sub(r"[\W_]", "", name).casefold()


def usual(role: str, names: Iterable[str]) -> str | None:
    """The most usual of some names for such a column; of names that are written alike the first.

    >>> usual("user_column", ["Date", "Author", "AuthorID", "Content"])
    'AuthorID'
    """
    found = {plain(name): name for name in reversed(list(names))}
    return next((found[name] for name in USUAL[role] if name in found), None)


def is_only_usual(role: str, names: Iterable[str]) -> bool:
    """Says whether the usual one can be told: there is no other, but the id of the same as `Author`, `AuthorID`.

    >>> is_only_usual("user_column", ["Author", "AuthorID"]), is_only_usual("user_column", ["from", "name"])
    (True, False)
    """
    found = [plain(name) for name in names if plain(name) in USUAL[role]]
    return len({_WHO.sub("", name) or name for name in found}) == 1 and len(set(found)) == len(found)


def names_beside(user_column: str, names: Iterable[str]) -> list[str]:
    """The columns that hold names of the users whose ids are in one; those that say whose names they are, if any do.

    >>> names_beside("fromUser.id", ["fromUser.id", "room.name", "name", "fromUser.username", "fromUser.displayName"])
    ['fromUser.username', 'fromUser.displayName']
    >>> names_beside("AuthorID", ["AuthorID", "Author", "Content"]), names_beside("user_id", ["user_id", "name"])
    (['Author'], ['name'])
    """
    others = [name for name in names if name != user_column]
    of = next((plain(user_column).removesuffix(end) for end in ("id", *_NAMES) if plain(user_column).endswith(end)), "")
    of = of or plain(user_column)
    told = [name for name in others if plain(name) in (of, *(of + kind for kind in _NAMES))]
    return told or [name for name in others if plain(name) in _NAMES]
