"""What the tests of chat formats share: writes a file and reads it as the command does."""

from pathlib import Path

from charflow.pipeline.formats.messages import Messages, read_messages


def read_chat(path: Path, content: str | bytes) -> Messages:
    """Writes a file, and reads it."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_messages(str(path))


def pairs(messages: Messages) -> list[tuple[str, str]]:
    """All `(user, text)` of a chat."""
    rows = ((users, texts) for users, texts in messages.dataset().as_numpy_iterator())
    return [(user.decode(), text.decode()) for users, texts in rows for user, text in zip(users, texts, strict=True)]


def left_out(messages: Messages) -> dict[str, int]:
    """How many of what was left out of the only chat."""
    return {left.reason: left.count for left in messages.chats[0].left_out}
