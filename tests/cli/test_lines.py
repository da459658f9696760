"""Texts that stand a line each."""

import io
from pathlib import Path

import pytest

from charflow.cli.lines import lines_of, read_input_lines, read_lines
from charflow.pipeline.errors import UserError

NO_LINE_ENDS = "a\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029b"  # but for str.splitlines


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\n\nb\n", ["a", "", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        (f"{NO_LINE_ENDS}\n".encode(), [NO_LINE_ENDS]),
    ],
    ids=["nothing", "empty line", "no end", "empty between", "Windows", "byte order mark", "no line ends"],
)
def test_lines_end_where_editors_end_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, lines: list[str]
) -> None:
    (tmp_path / "texts").write_bytes(content)
    assert read_lines(tmp_path / "texts") == lines
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
    assert read_input_lines() == lines


def test_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "texts"
    file.write_bytes(b"oh my\n" + b"x" * 1000 + b"caf\xe9 au lait\n")
    with pytest.raises(UserError) as error:
        read_lines(file)
    assert str(error.value) == rf"{file}, line 2: '{'x' * 27}caf\xe9 au lait' is not UTF-8 text: save it as UTF-8."


def test_stray_surrogate_is_no_text_either() -> None:
    with pytest.raises(UserError, match=r"^Here, line 1: 'a\\ud800' is not UTF-8 text"):
        lines_of("a\ud800", "Here")
