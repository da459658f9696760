"""Physical lines, and what looks like rows."""

import gzip
from pathlib import Path

from charflow.pipeline.formats.csv_lines import lines_of
from charflow.pipeline.formats.inputs import InputFile


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def test_lines_of_yields_physical_lines_with_their_ends(tmp_path: Path) -> None:
    file = write(tmp_path / "chat.csv", 'a,"b\r\nc"\né\u2028\x85😀\r\n\rlast'.encode())
    assert list(lines_of(InputFile(file, file))) == ['a,"b\r\n', 'c"\n', "é\u2028\x85😀\r\n", "\r", "last"]


def test_lines_of_shows_undecodable_bytes_as_lone_surrogates(tmp_path: Path) -> None:
    file = write(tmp_path / "chat.csv", b"caf\xe9\n\xff")
    assert list(lines_of(InputFile(file, file))) == ["caf\udce9\n", "\udcff"]
    file = write(tmp_path / "wide.csv", "a\n".encode("utf-16-le") + b"\x00\xd8" + "b".encode("utf-16-le"))
    assert list(lines_of(InputFile(file, file), encoding="utf-16-le")) == ["a\n", "\udcffb"]


def test_lines_of_decompresses_gzip_of_several_members(tmp_path: Path) -> None:
    (tmp_path / "chat.csv.gz").write_bytes(gzip.compress(b"a\nb") + gzip.compress(b"c\n"))
    file = str(tmp_path / "chat.csv.gz")
    assert list(lines_of(InputFile(file, file), ("gzip",))) == ["a\n", "bc\n"]
