"""Shows what was noticed about a chat while it was read: its format, its longest message, fields that may hold rows."""

from typing import TYPE_CHECKING

from charflow.cli.terminal import console
from charflow.pipeline.errors import counted

if TYPE_CHECKING:
    from charflow.pipeline.formats.long_messages import Noticed

_WARNINGS = 3
_FORMATS = 10


def longest(noticed: "Noticed") -> list[tuple[str, str]]:
    """The row about the longest message in a table of figures; none where there is no message."""
    return [("longest", str(noticed.longest))] if noticed.longest else []


def warn(noticed: "Noticed") -> None:
    """Says which formats were recognised, and warns of the first fields that may have swallowed rows."""
    for line in noticed.formats[:_FORMATS]:
        console.err.print(f"charflow: {line}.")
    if len(noticed.formats) > _FORMATS:
        console.err.print(f"charflow: and {counted(len(noticed.formats) - _FORMATS, 'more file')}.")
    for message in noticed.swallowing[:_WARNINGS]:
        console.err.print(f"charflow: warning: {message.warning}")


def counting(seconds: float | None) -> None:
    """Says that everybody's contexts are counted, and how long that took."""
    console.err.print(f"counting everybody's contexts{' …' if seconds is None else f': {console.duration(seconds)}'}")
