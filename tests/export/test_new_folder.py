"""A folder that gets all of its files, or none."""

import errno
from pathlib import Path

import pytest

from charflow.export.new_folder import filled
from charflow.pipeline.errors import UserError


def fill(folder: Path, error: BaseException | None = None) -> None:
    with filled(folder, "the model") as beside:
        (beside / "a").write_text("a")
        (beside / "b").mkdir()
        (beside / "b" / "c").touch()
        if error:
            raise error


@pytest.mark.parametrize("folder", ["new", "far/below", "."])
def test_the_folder_has_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.chdir(tmp_path)
    fill(Path(folder))
    assert {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*")} == {"a", "b", "b/c"}


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
def test_nothing_is_left_behind_of_what_was_not_finished(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("far/below", "empty"):
        with pytest.raises(type(error)):
            fill(tmp_path / folder, error)
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with pytest.raises(UserError) as told:
        fill(folder, OSError(errno.ENOSPC, "No space left on device"))
    assert str(told.value) == f"The model could not be written to {folder}: No space left on device."
    assert not folder.exists()
