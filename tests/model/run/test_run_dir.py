"""The run folder: what it refuses, its lock between real processes, its metrics file."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from charflow.model.config import Config, NetworkConfig
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.errors import UserError
from tests import forked

CONFIG = Config(data=("chat.csv",), network=NetworkConfig(units=3))


@pytest.fixture
def corpus(make_corpus: Callable) -> Corpus:
    return make_corpus("cab\n\r ", "é")


def test_create_writes_what_load_reads(tmp_path: Path, corpus: Corpus) -> None:
    RunDir(tmp_path / "runs" / "a").create(CONFIG, corpus)
    config, vocabulary = RunDir(str(tmp_path / "runs" / "a")).load()
    assert config == CONFIG
    assert vocabulary == corpus.vocabulary
    assert RunDir(tmp_path / "runs" / "a").corpus_facts() == corpus.facts()
    assert (tmp_path / "runs" / "a" / "samples").is_dir()


def test_create_in_an_empty_folder_is_fine(tmp_path: Path, corpus: Corpus) -> None:
    RunDir(tmp_path).create(CONFIG, corpus)
    assert RunDir(tmp_path).load()[0] == CONFIG


def test_create_under_the_lock_is_fine(tmp_path: Path, corpus: Corpus) -> None:
    run_dir = RunDir(tmp_path / "a")
    with run_dir.locked():
        run_dir.create(CONFIG, corpus)
    assert run_dir.load()[0] == CONFIG


def test_create_refuses_an_existing_run(tmp_path: Path, corpus: Corpus) -> None:
    RunDir(tmp_path).create(CONFIG, corpus)
    message = r" already holds a run: pass resume to continue it, or name another folder\.$"
    with pytest.raises(UserError, match=message):
        RunDir(tmp_path).create(CONFIG, corpus)


def test_create_refuses_a_folder_with_other_files_and_leaves_it_alone(tmp_path: Path, corpus: Corpus) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(UserError, match=r" holds other files: name a new or empty folder for the run\.$"):
        RunDir(tmp_path).create(CONFIG, corpus)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_create_refuses_a_file(tmp_path: Path, corpus: Corpus) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match=r"/a is a file: name a folder for the run\.$"):
        RunDir(tmp_path / "a").create(CONFIG, corpus)


def test_locked_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match=r"/a is a file: name a folder for the run\.$"), RunDir(tmp_path / "a").locked():
        pass


def test_load_without_a_run_says_so(tmp_path: Path) -> None:
    message = r" holds no run: it has no config\.toml\. Make one with charflow train\.$"
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match=message):
            RunDir(path).load()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.toml", "units = ", r"config\.toml is not TOML: "),
        ("config.toml", "colour = 'red'\n", r"config\.toml: unknown key 'colour'\. Keys of the file: data, corpus,"),
        ("vocabulary.txt", "b\na\n", r"vocabulary\.txt is not a vocabulary: it needs one character a line, sorted"),
        ("vocabulary.txt", None, r"vocabulary\.txt is not a readable vocabulary: .*No such file"),
    ],
    ids=["cut config", "unknown key", "unsorted vocabulary", "no vocabulary"],
)
def test_load_of_a_damaged_run_names_the_file(
    tmp_path: Path, corpus: Corpus, file: str, content: str | None, message: str
) -> None:
    RunDir(tmp_path).create(CONFIG, corpus)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=message):
        RunDir(tmp_path).load()


@pytest.mark.parametrize("content", ["{", None], ids=["cut short", "missing"])
def test_corpus_facts_of_a_damaged_run_name_the_file(tmp_path: Path, corpus: Corpus, content: str | None) -> None:
    RunDir(tmp_path).create(CONFIG, corpus)
    (tmp_path / "corpus.json").unlink()
    if content is not None:
        (tmp_path / "corpus.json").write_text(content)
    with pytest.raises(UserError, match=r"corpus\.json cannot be read: .*\.$"):
        RunDir(tmp_path).corpus_facts()


HOLDER = """
import sys, time
from charflow.model.run.run_dir import RunDir
with RunDir(sys.argv[1]).locked():
    print("locked", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Another process that holds the lock of tmp_path/a."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "a")]
    with forked.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


def test_locked_refuses_while_another_process_holds_it_and_not_after_it_died(
    tmp_path: Path, holder: subprocess.Popen, corpus: Corpus
) -> None:
    run_dir = RunDir(tmp_path / "a")
    message = rf"/a is in use by process {holder.pid}: wait, or name another folder\.$"
    for _ in range(2):  # refusing must not take the other's lock away
        with pytest.raises(UserError, match=message), run_dir.locked():
            pass
    holder.kill()
    holder.wait()
    with run_dir.locked():
        run_dir.create(CONFIG, corpus)
    assert run_dir.load()[0] == CONFIG


def test_a_new_run_is_refused_by_the_name_of_the_one_that_is_alive(
    tmp_path: Path, holder: subprocess.Popen, corpus: Corpus
) -> None:
    run_dir = RunDir(tmp_path / "a")
    run_dir.config_file.write_text("")
    with pytest.raises(UserError, match=rf"/a is in use by process {holder.pid}: wait, or name another folder\.$"):
        run_dir.check_free()
    holder.kill()
    holder.wait()
    with pytest.raises(UserError, match=r"/a already holds a run: pass resume"):
        run_dir.check_free()


def test_locked_refuses_within_the_same_process_too(tmp_path: Path) -> None:
    message = rf" is in use by process {os.getpid()}: wait, or name another folder\.$"
    with RunDir(tmp_path).locked():
        for _ in range(2):
            with pytest.raises(UserError, match=message), RunDir(tmp_path).locked():
                pass
    with RunDir(tmp_path).locked():
        pass


def test_locked_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunDir(tmp_path / "a").locked():
        raise ZeroDivisionError
    assert not (tmp_path / "a").exists()
    (tmp_path / "b").mkdir()
    with RunDir(tmp_path / "b").locked():
        pass
    RunDir(tmp_path / "b").check_free()


ROWS = [{"step": step, "train_bits": 4.0 / step, "held_out_part_bits": None} for step in (5, 10, 15)]


@pytest.fixture
def measured(tmp_path: Path) -> RunDir:
    """A run folder with three evaluations."""
    run_dir = RunDir(tmp_path)
    for row in ROWS:
        run_dir.append_metrics(row)
    return run_dir


def test_metrics_are_one_json_object_a_line(measured: RunDir) -> None:
    lines = measured.metrics_file.read_text().splitlines()
    assert [json.loads(line) for line in lines] == ROWS
    assert measured.read_metrics() == ROWS


def test_metrics_of_a_new_run_are_empty(tmp_path: Path) -> None:
    assert RunDir(tmp_path).read_metrics() == []


def test_metrics_without_the_unfinished_last_line(measured: RunDir) -> None:
    with measured.metrics_file.open("a") as file:
        file.write('{"step": 20, "train_b')
    assert measured.read_metrics() == ROWS


@pytest.mark.parametrize(("step", "kept"), [(4, 0), (5, 1), (12, 2), (15, 3), (99, 3)], ids=lambda value: str(value))
def test_forget_metrics_after_a_step_drops_what_will_be_done_again(measured: RunDir, step: int, kept: int) -> None:
    with measured.metrics_file.open("a") as file:
        file.write('{"step": 20, "train_b')
    measured.forget_metrics_after(step)
    assert measured.read_metrics() == ROWS[:kept]
    measured.append_metrics(ROWS[0])  # the unfinished line is gone: a new one starts on a line of its own
    assert measured.read_metrics() == [*ROWS[:kept], ROWS[0]]
    assert [file.name for file in measured.path.iterdir()] == ["metrics.jsonl"]


JUDGED = {"bits_per_char": 2.0, "accuracy": 0.5, "characters": 9, "unknown_characters": 0}


@pytest.fixture
def judged(tmp_path: Path) -> RunDir:
    """A run that ended after step 20, and was judged by its weights of step 10."""
    run_dir = RunDir(tmp_path)
    for step, bits in ((10, 2.1), (20, 2.2)):
        part = {"held_out_part_bits": bits, "held_out_part_accuracy": 0.4, "held_out_part_characters": 5}
        run_dir.append_metrics({"step": step, "train_bits": bits / 2, **part})
    run_dir.write_result({"step": 20, "reason": "finished", "best_step": 10, "held_out": JUDGED})
    return run_dir


def test_figures_of_a_step_are_of_its_weights_alone(judged: RunDir) -> None:
    part = {"bits": 2.1, "accuracy": 0.4, "characters": 5}
    assert judged.figures_of(10) == {"step": 10, "train_bits": 1.05, "held_out_part": part, "held_out": JUDGED}
    last = judged.figures_of(20)
    assert (last["held_out_part"]["bits"], last["held_out"]) == (2.2, None)
    assert judged.figures_of(15) == {"step": 15, "train_bits": None, "held_out_part": None, "held_out": None}


@pytest.mark.parametrize(("step", "known"), [(20, True), (15, False)], ids=["its end", "before its end"])
def test_forget_metrics_after_a_step_forgets_what_the_run_came_to(judged: RunDir, step: int, known: bool) -> None:
    judged.forget_metrics_after(step)
    assert bool(judged.read_result()) == known
    assert bool(judged.figures_of(10)["held_out"]) == known
