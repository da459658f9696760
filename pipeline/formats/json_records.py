"""Reads the objects of a large JSON file one by one, and those that its end cuts short up to there.

The chat formats that are JSON share it, and `json_values` for what is in an object; memory is bounded by the largest.
"""

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from charflow.pipeline.formats.chat_format import ChatFile, Notes
from charflow.pipeline.formats.encodings import is_utf8

_BLOCK = 1 << 16  # bytes
_HALF = re.compile(rb"(\\\\)|\\x([0-9a-fA-F]{2})")  # a backslash that is one, or an escape that JSON does not know
_SPLIT = re.compile(rb"\\(?:x[0-9a-fA-F]?)?\Z")  # such an escape where a block ends


def records(chat: ChatFile, notes: Notes, prefix: str) -> Iterator[Mapping[str, Any]]:
    """Yields the objects at a place in the file, such as "messages.item".

    What is no object there, and an end in the middle, are left out and noted.
    """
    import ijson

    with chat.stream() as stream:
        utf8 = stream if is_utf8(chat.encoding) else codecs.EncodedFile(stream, "utf-8", chat.encoding, "replace")
        found = ijson.items(_Repaired(utf8), prefix, use_float=True)
        while True:
            try:
                one = next(found)
            except StopIteration:
                return
            except ijson.JSONError as error:
                notes.leave_out("broken end", str(error).split("\n")[0])
                return
            if isinstance(one, Mapping):
                yield one
            else:
                notes.leave_out("stray value", str(one))


class _Repaired:
    r"""Writes `\x1f`, which some exporters write for controls, as JSON's `\u001f`, and leaves a byte order mark out."""

    def __init__(self, stream: Any) -> None:
        self._read: Callable[[int], bytes] = stream.read
        self._rest = b""
        self._begun = False

    def read(self, size: int = -1) -> bytes:
        if not size:  # asked for to see whether bytes or characters come
            return b""
        block = self._read(_BLOCK if size < 0 else size)
        if not self._begun:
            block, self._begun = block.removeprefix(b"\xef\xbb\xbf"), True
        data = self._rest + block
        self._rest = b""
        if b"\\" not in data:
            return data
        if block:  # an odd backslash, and what of an escape follows it, waits for the next block
            cut = self._waiting(data)
            data, self._rest = data[:cut], data[cut:]
            if not data:
                return self.read(size)
        return _HALF.sub(lambda found: found[1] or b"\\u00" + found[2], data)

    @staticmethod
    def _waiting(data: bytes) -> int:
        found = _SPLIT.search(data)
        if not found:
            return len(data)
        before = len(data[: found.start()]) - len(data[: found.start()].rstrip(b"\\"))
        return len(data) if before % 2 else found.start()
