"""The list of chat formats, in the order in which they are tried; CSV is tried after them.

Plain text is the last: it takes whatever is neither a chat nor looks like a table.

A new format is a file beside this one, a line here, and a test.
"""

from charflow.pipeline.formats import discord, json_lines, plain_text, telegram, whatsapp
from charflow.pipeline.formats.chat_format import ChatFile, ChatFormat

FORMATS: tuple[ChatFormat, ...] = (
    whatsapp.FORMAT,
    telegram.FORMAT,
    discord.FORMAT,
    json_lines.FORMAT,
    plain_text.FORMAT,
)


def recognised(chat: ChatFile) -> ChatFormat | None:
    """The first format that a file is in; None where it may be CSV."""
    return next((one for one in FORMATS if one.recognises(chat)), None)
