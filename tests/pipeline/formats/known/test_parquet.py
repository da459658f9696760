"""Parquet, as pyarrow writes it."""

import io
import sys
from pathlib import Path

import pytest

from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.known.parquet import FORMAT
from charflow.pipeline.formats.messages import read_messages
from tests.pipeline.formats.chats import Example, pairs, read_chat

pyarrow = pytest.importorskip("pyarrow", reason="pip install pyarrow")
parquet = pytest.importorskip("pyarrow.parquet", reason="pip install pyarrow")

ROWS = [
    {"sent": 1, "author": {"id": 9007199254740993, "name": "Mira"}, "content": "good evening\nall", "raw": b"\0"},
    {"sent": 2, "author": {"id": 8, "name": "Bo"}, "content": "é \U0001f600", "raw": b"\0"},
    {"sent": 3, "author": None, "content": "by nobody", "raw": b"\0"},
    {"sent": 4, "author": {"id": 8, "name": None}, "content": None, "raw": b"\0"},
    {"sent": 5, "author": {"id": 8, "name": "Bo"}, "content": "", "raw": b"\0"},
]


def written(rows: list[dict], **how: object) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), file, **how)
    return file.getvalue()


PAIRS = [("9007199254740993", "good evening\nall"), ("8", "é \U0001f600"), ("8", "")]
KIND = "Parquet, users in 'author.id', messages in 'content'"
EXAMPLES = [
    Example("chat.parquet", written(ROWS, row_group_size=2), PAIRS, {"incomplete row": 2}, KIND),
    Example("packed.parquet", written(ROWS, compression="zstd"), PAIRS, {"incomplete row": 2}, KIND),
]


def test_parquet_tells_what_people_are_called(tmp_path: Path) -> None:
    assert read_chat(tmp_path / "a", written(ROWS)).all_names().of("9007199254740993") == ["Mira"]


def test_parquet_reads_the_columns_that_are_asked_for_and_those_alone(tmp_path: Path) -> None:
    rows = [{"who.is": "mira", "text": "no", "said": {"what": "hi"}, "names": [1]}]
    (tmp_path / "chat").write_bytes(written(rows))
    asked = CsvFormat(user_column="who.is", text_column="said.what")
    assert pairs(read_messages(str(tmp_path / "chat"), asked)) == [("mira", "hi")]
    with pytest.raises(UserError) as error:
        read_messages(str(tmp_path / "chat"))
    assert str(error.value) == (
        f"{tmp_path / 'chat'} has no row with the fields of who wrote and of what was written. Fields are: 'who.is', "
        "'text', 'said.what', 'names'. Pass user_column and text_column with two of them."
    )


def test_parquet_that_is_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"chat\.parquet cannot be read: "):
        read_chat(tmp_path / "chat.parquet", written(ROWS)[:-30])


def test_parquet_without_pyarrow_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError) as error:
        read_chat(tmp_path / "chat.parquet", written(ROWS))
    assert str(error.value) == (
        f"{tmp_path / 'chat.parquet'} is Parquet, which is read with pyarrow: install it, with "
        "pip install 'charflow[parquet]'."
    )


@pytest.mark.slow
def test_parquet_is_read_row_group_by_row_group(tmp_path: Path) -> None:
    rows = [{"user": "mira", "text": f"{number}" * 1000} for number in range(20_000)]
    path = tmp_path / "chat.parquet"
    path.write_bytes(written(rows, row_group_size=1000, compression="none", use_dictionary=False))
    before = pyarrow.default_memory_pool().max_memory()
    read = [text for _, text in pairs(read_messages(str(path)))]
    assert read == [row["text"] for row in rows]
    assert pyarrow.default_memory_pool().max_memory() - before < path.stat().st_size / 4
    assert FORMAT.kind == "rows"
