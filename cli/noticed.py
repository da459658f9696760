"""Shows what was noticed about a chat while it was read: its longest message, and fields that may hold other rows."""

from typing import TYPE_CHECKING

from charflow.cli.terminal import console

if TYPE_CHECKING:
    from charflow.pipeline.formats.long_messages import Noticed

_WARNINGS = 3


def longest(noticed: "Noticed") -> list[tuple[str, str]]:
    """The row about the longest message in a table of figures; none where there is no message."""
    return [("longest", str(noticed.longest))] if noticed.longest else []


def warn(noticed: "Noticed") -> None:
    """Warns of the first fields that may have swallowed rows."""
    for message in noticed.swallowing[:_WARNINGS]:
        console.err.print(f"charflow: warning: {message.warning}")
