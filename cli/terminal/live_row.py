"""Keeps a progress bar of another process in one piece among lines that others print on the same terminal.

The bar is a row that its process draws again and again with the terminal's control codes, as rich does. It is let
through as it comes, behind a mark; a line of somebody else is printed above it. Other codes are written as escapes.
"""

import re

from charflow.pipeline.errors import visible

_ERASE = "\r\x1b[2K"
_SHOW_CURSOR = "\x1b[?25h"
_HIDE_CURSOR = "\x1b[?25l"
_TOKEN = re.compile(r"\x1b\[[0-9;?]*[@-~]|[\r\n]|[^\x1b\r\n]+|\x1b")
_CUT_SHORT = re.compile(r"\x1b(\[[0-9;?]*)?\Z")
_ERASES = re.compile(r"\x1b\[[0-9;]*[JK]")
_DRAWS = re.compile(r"\x1b\[[0-9;]*[AGm]")  # rows up, to a column, a style


class LiveRow:
    """The terminal's last row, as one process left it.

    Args:
        mark: what its rows begin with.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._row = ""
        self._marked = False
        self._rest = ""
        self._cursor_hidden = False

    def drawn(self, text: str) -> str:
        """Gives what to write for what the process wrote.

        >>> LiveRow("[0] ").drawn("a line\\n")
        '[0] a line\\n'
        """
        text = self._rest + text
        cut = _CUT_SHORT.search(text)
        self._rest = text[cut.start() :] if cut else ""
        return "".join(self._token(token) for token in _TOKEN.findall(text[: cut.start()] if cut else text))

    def above(self, line: str) -> str:
        """Gives what to write for another's line, so that it stands above the row."""
        return f"{_ERASE}{line}\n{self._row}" if self._row else f"{line}\n"

    def ended(self) -> str:
        """Gives what to write once the process is gone, however it went: a row of its own, a cursor to be seen."""
        closing = ("\n" if self._row else "") + (_SHOW_CURSOR if self._cursor_hidden else "")
        self._row, self._rest, self._marked, self._cursor_hidden = "", "", False, False
        return closing

    def _token(self, token: str) -> str:
        if token == "\n":
            self._row, self._marked = "", False
        elif token == "\r":
            self._marked = False  # what comes writes over the mark
        elif _ERASES.fullmatch(token):
            self._row, self._marked = "", False
        elif token in (_SHOW_CURSOR, _HIDE_CURSOR):
            self._cursor_hidden = token == _HIDE_CURSOR
        elif _DRAWS.fullmatch(token):
            self._row += token if token.endswith("m") and self._row else ""
        else:
            token = visible(token)
            token = token if self._marked else self._mark + token
            self._row, self._marked = self._row + token, True
        return token
