"""What is refused before TensorFlow is loaded, by the command in a process that cannot load it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from charflow.model.training.early import refuse_early
from charflow.pipeline.errors import UserError


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--units", "-1"], "--units must be at least 1, not -1."),
        (["--preset", "nope"], "Unknown preset 'nope': use default or tutorial."),
        (["--config", "none.toml"], "none.toml cannot be read: No such file or directory."),
        ([], "none.csv: no such file."),
        (["--out", "old"], "old already holds a run: pass --resume to continue it, or name another folder."),
        (["--out", "full"], "full holds other files: name a new or empty folder for the run."),
        (["--out", "full", "--resume"], "full holds no run: it has no config.toml. Make one with charflow train."),
    ],
    ids=["value", "preset", "settings file", "data", "taken", "other files", "nothing to resume"],
)
def test_train_refuses_without_tensorflow(options: list[str], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text('raise SystemExit("TensorFlow was loaded")\n')
    for file in ("old/config.toml", "full/notes.txt"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    process = subprocess.run(
        [sys.executable, "-m", "charflow", "train", "none.csv", "--out", "run", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stderr) == (2, f"charflow: {sentence}\n")
    assert not (tmp_path / "run").exists()


def test_refuse_early_takes_the_file_of_settings_under_the_options(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[network]\nunits = 0\n")
    with pytest.raises(UserError, match="units"):
        refuse_early([], tmp_path / "run", {}, name=None, file=file)


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("-", {}),
        ("gs://bucket/chat.csv", {}),
        ("chats/*.csv", {}),
        ("-", {"training": {"start_from": "runs/a", "best_by": "held-out"}}),
    ],
    ids=["standard input", "remote", "glob", "another run"],
)
def test_refuse_early_leaves_the_rest_to_whoever_can_tell(path: str, changes: dict) -> None:
    refuse_early([path], Path("run"), changes, name=None, file=None)


def test_refuse_early_does_not_read_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "settings")
    refuse_early(["-"], tmp_path / "run", {}, name=None, file=pipe)
