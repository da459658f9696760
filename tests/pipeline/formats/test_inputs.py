"""Finding files, and keeping what can be read only once."""

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.inputs import InputFile, find_inputs, is_read_once, lasting_name, opened


def write(path: Path, content: bytes = b"x") -> str:
    path.write_bytes(content)
    return str(path)


def refusal(paths: object) -> str:
    with pytest.raises(UserError) as error:
        find_inputs(paths)
    return str(error.value)


def content(file: InputFile) -> bytes:
    with opened(file) as stream:
        return stream.read()


def test_find_inputs_keeps_the_order_given_and_sorts_each_glob(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c.csv", "z.tsv"):
        write(tmp_path / name)
    tsv = tmp_path / "z.tsv"
    found = find_inputs([tsv, f"{tmp_path}/[bc].csv", f"{tmp_path}/a.csv"])
    assert [Path(file.path).name for file in found] == ["z.tsv", "b.csv", "c.csv", "a.csv"]
    assert find_inputs(tsv) == find_inputs(str(tsv)) == [InputFile(str(tsv), str(tsv))]
    assert find_inputs(found) == found


def test_find_inputs_takes_a_name_with_glob_marks_literally_where_it_exists(tmp_path: Path) -> None:
    file = write(tmp_path / "chat[1].csv")
    write(tmp_path / "chat1.csv")
    assert [found.path for found in find_inputs(file)] == [file]


def test_find_inputs_refuses_what_is_not_there(tmp_path: Path) -> None:
    assert refusal([]) == "No chat was given."
    assert refusal(f"{tmp_path}/b.csv") == f"{tmp_path}/b.csv: no such file."
    assert refusal(f"{tmp_path}/*.tsv") == f"{tmp_path}/*.tsv: no file matches."


def test_find_inputs_takes_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    file, folder = write(tmp_path / "a" / "b.csv"), str(tmp_path / "a")
    assert find_inputs(folder) == find_inputs(f"{tmp_path}/*") == [InputFile(folder, folder)]
    assert (
        refusal([folder, file])
        == f"{file} is given twice, as {folder} too: name it once, or its messages would count twice."
    )


def test_find_inputs_keeps_what_comes_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"abc" * 100_000,))
    writer.start()
    (file,) = find_inputs(str(pipe))
    writer.join()
    assert file.name == str(pipe)
    assert content(file) == content(file) == b"abc" * 100_000
    assert find_inputs([file]) == [file]  # and not read again, which would wait without end


def test_find_inputs_keeps_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9")))
    (file,) = find_inputs("-")
    assert (file.name, content(file)) == ("standard input", b"caf\xe9")
    monkeypatch.setattr(sys, "stdin", None)
    assert refusal("-") == "There is no standard input to read: it is closed."


def test_scratch_files_are_removed_when_the_process_ends() -> None:
    program = "from charflow.pipeline.formats.inputs import find_inputs; print(find_inputs('-')[0].path)"
    done = subprocess.run([sys.executable, "-c", program], input="secret", capture_output=True, text=True, check=True)
    assert done.stdout.startswith("/")
    assert not Path(done.stdout.strip()).exists()
    assert not Path(done.stdout.strip()).parent.parent.exists()


def test_identity_of_a_stream_is_its_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def piped(data: bytes) -> dict:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        return find_inputs("-")[0].identity()

    assert piped(b"abc") == piped(b"abc") != piped(b"abd")
    file = write(tmp_path / "a.csv")
    first = find_inputs(file)[0].identity()
    os.utime(file, ns=(1, 1))
    assert find_inputs(file)[0].identity() != first


def test_lasting_name_is_absolute_or_says_that_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    assert [lasting_name(path) for path in ("chat.csv", "*.csv", "gs://bucket/chat.csv", "-", "pipe")] == [
        *(f"{tmp_path}/chat.csv", f"{tmp_path}/*.csv", "gs://bucket/chat.csv", "-", "-")
    ]
    assert not is_read_once("chat.csv")


@pytest.mark.parametrize("way", ["name", "glob", "relative", "link", "hard link", "folder link", "found"])
def test_find_inputs_refuses_a_file_that_is_given_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.chdir(tmp_path)
    first, other = write(tmp_path / "a.csv"), tmp_path / "b.csv"
    write(tmp_path / "copy.csv")  # of the same content, which is another file
    again: object = {"glob": "a*.csv", "relative": "a.csv"}.get(way, first)
    if way == "found":
        again = InputFile("a.csv", "a.csv")
    elif way == "link":
        other.symlink_to("a.csv")
        again = str(other)
    elif way == "hard link":
        other.hardlink_to(first)
        again = "b.csv"
    elif way == "folder link":
        other.symlink_to(tmp_path)
        again = f"{other}/a.csv"
    name = {"glob": "./a.csv", "found": "a.csv"}.get(way, again)
    too = "" if way == "name" else f", as {first} too"
    message = f"{name} is given twice{too}: name it once, or its messages would count twice."
    assert refusal([first, "copy.csv", again]) == message
    assert len(find_inputs([first, "copy.csv"])) == 2


def test_find_inputs_says_of_a_link_that_it_points_to_nothing(tmp_path: Path) -> None:
    link = tmp_path / "chat.csv"
    link.symlink_to("gone.csv")
    expected = f"{link} is a link that points to nothing (gone.csv): mend the link, or name the file itself."
    assert refusal(str(link)) == refusal(f"{tmp_path}/*.csv") == expected
