from pathlib import Path

import pytest

from charflow.atomic import replacing


def test_replacing_writes_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with replacing(tmp_path / "a") as beside:
        beside.write_text("new")
        assert (tmp_path / "a").read_text() == "old"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "new")]


def test_replacing_leaves_the_file_as_it_was_where_writing_fails(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a") as beside:
        beside.write_text("half")
        raise ZeroDivisionError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_replacing_says_what_the_system_says(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "missing" / "a") as beside:
        beside.write_text("new")
