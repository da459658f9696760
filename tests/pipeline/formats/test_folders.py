"""Listing what may be a chat in a folder."""

import os
from pathlib import Path

import pytest

from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.folders import files_in, folder_sha256, in_order, may_be_chat


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def listed(folder: Path) -> list[str]:
    return [os.path.relpath(path, folder) for path in files_in(str(folder))]


def test_files_in_lists_part_2_before_part_10(tmp_path: Path) -> None:
    write(tmp_path, "b/part 10.json", "b/part 2.json", "a-b/1.txt", "a/10/x.csv", "a/9/x.csv", "2.txt", "10.txt")
    assert listed(tmp_path) == [
        "2.txt",
        "10.txt",
        "a/9/x.csv",
        "a/10/x.csv",
        "a-b/1.txt",
        "b/part 2.json",
        "b/part 10.json",
    ]


def test_files_in_leaves_out_what_is_no_chat(tmp_path: Path) -> None:
    write(
        tmp_path, "a.txt", "a.JSON.gz", "b.zip", "photo.jpg", "page.html", ".hidden.txt", ".git/x.txt", "__MACOSX/a.txt"
    )
    write(tmp_path, "runs/a/vocabulary.txt", "runs/a/metrics.jsonl", "runs/a/samples/1.txt", "runs/notes.txt")
    (tmp_path / "gone.txt").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.txt")
    assert listed(tmp_path) == ["a.JSON.gz", "a.txt", "b.zip", "runs/notes.txt"]


def test_in_order_does_not_fail_on_what_only_looks_like_a_number() -> None:
    assert sorted(["²", "١", "a1", "1a", "", "01"], key=in_order) == ["", "١", "01", "1a", "a1", "²"]
    assert may_be_chat("² 1.txt")


def test_folder_sha256_changes_with_names_sizes_times_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", "b/c.json")
    first = folder_sha256(str(tmp_path))
    write(tmp_path, "photo.jpg", "runs/a/vocabulary.txt", "runs/a/metrics.jsonl")
    assert folder_sha256(str(tmp_path)) == first
    os.utime(tmp_path / "b/c.json", ns=(1, 1))
    second = folder_sha256(str(tmp_path))
    (tmp_path / "a.txt").rename(tmp_path / "d.txt")
    assert len({first, second, folder_sha256(str(tmp_path))}) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_files_in_refuses_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path, "b/c.json")
    (tmp_path / "b").chmod(0)
    with pytest.raises(UserError, match=r"cannot be read: Permission denied\.$"):
        files_in(str(tmp_path))
    (tmp_path / "b").chmod(0o700)
