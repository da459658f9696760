"""The usual names of what a chat's rows are made of: who wrote, and what.

`csv_trials` finds such columns, `json_lines` reads such fields.
"""

import re
from collections.abc import Iterable, Mapping

# Without blanks and signs, in small letters; likely ones first.
USUAL: Mapping[str, tuple[str, ...]] = {
    "user_column": (
        "fromuserid",
        "userid",
        "user",
        "author",
        "authorid",
        "sender",
        "from",
        "username",
        "name",
        "nick",
        "sendername",
        "authorname",
        "displayname",
        "speaker",
        "fromid",
        "fromname",
        "fromuser",
        "fromusername",
        "senderid",
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


def plain(name: str) -> str:
    """What is compared of a name.

    >>> plain("fromUser.id"), plain(" Author ID")
    ('fromuserid', 'authorid')
    """
    return re.sub(r"[\W_]", "", name).casefold()


def usual(role: str, names: Iterable[str]) -> str | None:
    """The most usual of some names for such a column; of names that are written alike the first.

    >>> usual("user_column", ["Date", "Author", "AuthorID", "Content"])
    'Author'
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
