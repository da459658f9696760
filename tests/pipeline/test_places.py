"""Places that cannot be written to: refused before any work."""

from pathlib import Path

import pytest

from charflow.pipeline.errors import UserError
from charflow.pipeline.places import check_file, check_folder, check_new_folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    Path("link").symlink_to("gone")
    Path("folder").mkdir()
    Path("folder.png").mkdir()
    Path("same").symlink_to("folder")
    return tmp_path


@pytest.mark.parametrize("path", ["folder", "new", "new/below", "same", "same/new", "."])
def test_check_folder_lets_pass_what_is_or_can_be_made(here: Path, path: str) -> None:
    check_folder(Path(path), "the run")
    check_folder(here / path, "the run")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("file", "file is a file"),
        ("file/below", "file is a file"),
        ("link", "link is a link that points to nothing (gone)"),
        ("link/below", "link is a link that points to nothing (gone)"),
    ],
)
def test_check_folder_refuses(here: Path, path: str, problem: str) -> None:
    with pytest.raises(UserError) as error:
        check_folder(Path(path), "the run")
    assert str(error.value) == f"{problem}: name a folder for the run."


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("users", "users has no ending: name a file for the chart that ends in .png."),
        ("users.xyz", "users.xyz has the ending .xyz: name a file for the chart that ends in .png."),
        ("folder", "folder is a folder: name a file for the chart, which ends in .png."),
        ("folder.png", "folder.png is a folder: name a file for the chart, which ends in .png."),
        ("file/a.png", "file is a file: name a file for the chart in a folder that there is."),
        ("link/a.png", "link is a link that points to nothing (gone): name a file for the chart in a folder that "),
        ("new/a.png", "new is not a folder: name a file for the chart in a folder that there is."),
    ],
)
def test_check_file_refuses(here: Path, path: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        check_file(Path(path), "the chart", (".png",))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("path", ["a.png", "a.PNG", "folder/a.png", "same/a.png"])
def test_check_file_lets_pass_what_can_be_written(here: Path, path: str) -> None:
    check_file(Path(path), "the chart", (".png",))


@pytest.mark.parametrize("path", ["folder", "new", "same/new"])
def test_check_new_folder_lets_pass_what_is_empty_or_can_be_made(here: Path, path: str) -> None:
    check_new_folder(Path(path), "the run")


def test_check_new_folder_refuses_a_file_and_what_holds_files_that_are_not_its_own(here: Path) -> None:
    with pytest.raises(UserError, match=r"^file is a file: name a folder for the run\.$"):
        check_new_folder(Path("file"), "the run")
    Path("folder/mine").touch()
    with pytest.raises(UserError, match=r"^folder holds other files: name a new or empty folder for the run\.$"):
        check_new_folder(Path("folder"), "the run")
    check_new_folder(Path("folder"), "the run", own=["mine"])
