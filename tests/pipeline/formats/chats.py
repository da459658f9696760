"""What the tests of chat formats share: files with all their traps, and reading as the command does.

The test of a format lists its `EXAMPLES`; `test_examples` reads each in every way in which a file can be given.
"""

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from charflow.pipeline.formats.known import NAMES
from charflow.pipeline.formats.messages import Messages, read_messages

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Example:
    """A file, and what is read of it.

    Attributes:
        name: of the file.
        content: of it.
        pairs: who wrote what.
        left_out: how many of what was left out.
        format: what is said to have been seen.
    """

    name: str
    content: str | bytes
    pairs: Pairs
    left_out: dict[str, int] = field(default_factory=dict)
    format: str = ""

    @property
    def bytes(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content.encode()


def examples() -> dict[str, tuple[str, Example]]:
    """The examples of every format that there is, with its name; a format without any is an error."""
    found = {}
    for name in NAMES:
        module = import_module(f"tests.pipeline.formats.known.test_{name.replace('-', '_')}")
        assert module.EXAMPLES, name
        found |= {f"{name}: {example.format}, {example.name}": (name, example) for example in module.EXAMPLES}
    return found


def read_chat(path: Path, content: str | bytes) -> Messages:
    """Writes a file, and reads it."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_messages(str(path))


def pairs(messages: Messages) -> Pairs:
    """All `(user, text)` of a chat."""
    rows = ((users, texts) for users, texts in messages.dataset().as_numpy_iterator())
    return [(user.decode(), text.decode()) for users, texts in rows for user, text in zip(users, texts, strict=True)]


def left_out(messages: Messages) -> dict[str, int]:
    """How many of what was left out of the only chat."""
    return {left.reason: left.count for chat in messages.chats for left in chat.left_out}
