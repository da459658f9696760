"""The usual names of what a chat's rows are made of: who wrote, and what.

`csv_advice` offers such columns, `json_lines` reads such fields.
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
