"""Encodings: marks, guesses, and writing a file again as UTF-8."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.encodings import (
    UNDECODABLE,
    guess_encoding,
    guess_wide,
    is_encoding,
    is_utf8,
    marked_encoding,
    write_as_utf8,
)

WIDE = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
TEXTS = {  # what people write, and the encodings that they write it in
    "German": ("Schöne Grüße, wir müssen über Größe reden", ["cp1252", "mac-roman", "cp850"]),
    "French": ("l’été à Besançon, ça va être « très » compliqué", ["cp1252", "mac-roman"]),
    "Spanish": ("¡Mañana será otro día! ¿no?", ["cp1252", "mac-roman", "cp850"]),
    "one word": ("café", ["cp1252", "mac-roman", "cp850"]),
    "typography": ("it’s a “quote” – and 3€", ["cp1252", "mac-roman"]),
    "capitals": ("ÜBERGRÖSSE und Öl", ["cp1252", "mac-roman"]),
    "Polish": ("Zażółć gęślą jaźń, proszę bardzo", ["cp1250"]),
    "Turkish": ("Günaydın, nasılsın? Şimdi çok iyiyim ğ", ["cp1254"]),
    "Russian": ("Привет, как дела? Сегодня хорошая погода.", ["cp1251", "koi8-r", "cp866"]),
    "Greek": ("Καλημέρα, τι κάνεις σήμερα;", ["cp1253"]),
    "Japanese": ("こんにちは、今日はいい天気ですね。明日また話しましょう。", ["shift-jis"]),
    "Chinese": ("你好，今天天气很好，我们去公园玩吧。", ["gb18030"]),
    "Taiwanese": ("你好,今天天氣很好,明天一起去公園玩吧。", ["big5"]),
    "Korean": ("안녕하세요, 오늘 날씨가 좋네요.", ["cp949"]),
}


@pytest.mark.parametrize("name", ["utf-8", "UTF8", "utf_8_sig", "cp1252", "latin-1", "mac-roman", "shift_jis", *WIDE])
def test_is_encoding_takes_what_python_reads(name: str) -> None:
    assert is_encoding(name)
    assert is_utf8(name) == name.lower().startswith(("utf-8", "utf8", "utf_8"))


@pytest.mark.parametrize("name", ["", "utf-9", "hex", "rot13", "idna", "unicode_escape", "undefined", "a\0b", "é"])
def test_is_encoding_refuses_what_is_none(name: str) -> None:
    assert not is_encoding(name)
    with pytest.raises(
        UserError, match=r"^encoding must be an encoding that Python has, such as utf-8, .*, not '.*'\."
    ):
        CsvFormat(encoding=name)


@pytest.mark.parametrize("encoding", WIDE)
def test_marked_encoding_reads_the_mark(encoding: str) -> None:
    assert marked_encoding("\ufeffid".encode(encoding)) == encoding[:6]
    assert marked_encoding("id".encode(encoding)) is None
    assert marked_encoding("\ufeffid".encode()) is None


@pytest.mark.parametrize("text", ["fromUser.id,text\n", "fromUser.id,text\nмира,привет\n", "id;你好\n" + "你好\n" * 99])
def test_guess_wide_finds_wide_characters_without_a_mark(text: str) -> None:
    assert [guess_wide(text.encode(encoding)) for encoding in WIDE] == WIDE
    assert guess_wide(text.encode()) is None


@given(st.binary(max_size=40))
def test_guess_wide_takes_no_bytes_for_wide_characters_that_have_none(data: bytes) -> None:
    assert guess_wide(data.replace(b"\0", b"a")) is None


@pytest.mark.parametrize(
    ("text", "encoding"),
    [(text, encoding) for text, encodings in TEXTS.values() for encoding in encodings],
    ids=[f"{name} in {encoding}" for name, (_, encodings) in TEXTS.items() for encoding in encodings],
)
@pytest.mark.parametrize("lines", [1, 30])
def test_guess_encoding_reads_the_text(text: str, encoding: str, lines: int) -> None:
    data = [f"mira,{text}\n".encode(encoding)] * lines
    guess = guess_encoding(data)
    assert guess
    assert b"".join(data).decode(guess) == f"mira,{text}\n" * lines


def test_guess_encoding_keeps_damaged_utf8() -> None:
    assert guess_encoding(["mira,déjà vu\n".encode(), b"ada,\xf0\x9f\x98\n"]) is None


@given(
    text=st.text(alphabet="aé😀\n\ufeff", max_size=30), encoding=st.sampled_from([*WIDE, "utf-16", "utf-32", "gb18030"])
)
def test_write_as_utf8_writes_the_same_text(tmp_path_factory: pytest.TempPathFactory, text: str, encoding: str) -> None:
    path = tmp_path_factory.getbasetemp() / "copy.csv"
    write_as_utf8(io.BytesIO(f"\ufeff{text}".encode(encoding)), encoding, path)
    assert path.read_bytes().decode().removeprefix("\ufeff") == text.removeprefix("\ufeff")


def test_write_as_utf8_marks_what_the_encoding_lacks(tmp_path: Path) -> None:
    write_as_utf8(io.BytesIO(b"a\n\x81\xe9\n"), "cp1252", tmp_path / "copy.csv")
    assert (tmp_path / "copy.csv").read_bytes().decode(errors="surrogatepass") == f"a\n{UNDECODABLE}é\n"
    with pytest.raises(UnicodeDecodeError):
        (tmp_path / "copy.csv").read_bytes().decode()
