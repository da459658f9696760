"""`charflow launch` with a small script in the place of the workers: output, statuses, signals, restarts."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charflow.cli.terminal.worker_output import WorkerOutput

WORKER = """
import json, os, signal, sys, time
code, *arguments = sys.argv[1:]
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
out = arguments[arguments.index("--out") + 1] if "--out" in arguments else "."
resumed = "--resume" in arguments
def say(*words): print(*words, flush=True)
def until(path):
    while not os.path.exists(path): time.sleep(0.02)
def wait(): time.sleep(60)
def begin():
    os.makedirs(out, exist_ok=True); open(out + "/config.toml", "w").close()
exec(code)
"""
LAUNCH = """
import sys
import charflow.cli.commands.launch
sys.modules["charflow.cli.commands.launch"]._CHARFLOW = [sys.executable, "-S", "-c", {worker!r}, {code!r}]
from charflow.cli import main
main()
"""
KILL = "os.kill(os.getpid(), 9)"
KILLED_ONCE = (
    f"say(*arguments)\nif not resumed:\n    if index == 0: begin(); wait()\n    until(out + '/config.toml'); {KILL}"
)


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Says what the workers do, in Python."""

    def do(code: str) -> None:
        command = [sys.executable, "-S", "-c", WORKER, code]
        monkeypatch.setattr(sys.modules["charflow.cli.commands.launch"], "_CHARFLOW", command)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return do


def launched(code: str, *arguments: object, **options: Any) -> subprocess.Popen:
    """Starts the command in a process of its own."""
    driver = LAUNCH.format(worker=WORKER, code=code)
    command = [sys.executable, "-c", driver, "launch", *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, text=True, **streams)


def lines(text: str) -> list[str]:
    return sorted(text.splitlines())


def test_launch_marks_every_line_with_its_worker(call: Callable, workers: Callable) -> None:
    workers("say('a'); say('b'); print('c', index, file=sys.stderr); sys.stderr.write('no newline')")
    done = call("launch", "--workers", 2, "--", "train", "x.csv", "--out", "run")
    assert done.status == 0
    assert lines(done.out) == ["[0] a", "[0] b", "[1] a", "[1] b"]
    assert lines(done.err) == ["[0] c 0", "[0] no newline", "[1] c 1", "[1] no newline"]


@pytest.mark.parametrize("dashes", [["--"], []], ids=["dashes", "none"])
def test_launch_passes_the_arguments_on(call: Callable, workers: Callable, dashes: list[str]) -> None:
    workers("say(*arguments)")
    train = ["train", "x.csv", "--out=run", "--units", "8", "--user", "a", "--", "-y.csv"]
    assert call("launch", "--workers", 1, *dashes, *train).out == f"[0] {' '.join(train)}\n"


def test_launch_tells_the_workers_how_long_to_wait(call: Callable, workers: Callable) -> None:
    workers("say(os.environ['CHARFLOW_JOIN_TIMEOUT'])")
    assert call("launch", "--workers", 1, "--", "train", "x", "--out", "r").out == "[0] 120\n"
    assert call("launch", "--workers", 1, "--start-timeout", 7, "--", "train", "x", "--out", "r").out == "[0] 7\n"


def test_launch_refuses_a_strategy_of_one_process(call: Callable) -> None:
    done = call("launch", "--workers", 2, "--", "train", "x", "--out", "r", "--strategy", "mirrored")
    assert (done.status, done.out) == (2, "")
    assert done.err == "charflow: launch trains under --strategy multi-worker, not mirrored: leave it out.\n"


def test_launch_leaves_the_figures_alone_on_standard_output(call: Callable, workers: Callable) -> None:
    workers("print(json.dumps({'worker': index, 'text': 'ä'}, ensure_ascii=False, indent=2))")
    done = call("launch", "--workers", 3, "--", "train", "x", "--out", "r", "--json")
    assert done.json == {"worker": 0, "text": "ä"}
    assert '[1]   "worker": 1,' in done.err


def test_launch_prints_the_figures_of_the_last_attempt_only(call: Callable, workers: Callable, tmp_path: Path) -> None:
    workers("begin(); print(json.dumps({'resumed': resumed})); sys.exit(0 if resumed else 143)")
    done = call("launch", "--workers", 1, "--max-restarts", 1, "--", "train", "x", "--out", tmp_path / "r", "--json")
    assert (done.status, done.json) == (0, {"resumed": True})


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("sys.exit(2)", 2, ""),
        ("sys.exit(130)", 130, ""),
        ("sys.exit(1)", 1, "worker 1 ended with status 1 after 0 restarts"),
        (KILL, 137, "worker 1 was killed by SIGKILL after 0 restarts"),
        ("sys.exit(143)", 143, "worker 1 was stopped by SIGTERM after 0 restarts"),
    ],
    ids=["mistake", "interrupted", "error", "killed", "preempted"],
)
def test_launch_ends_with_the_status_of_the_first_failure(
    call: Callable, workers: Callable, tmp_path: Path, code: str, status: int, said: str
) -> None:
    workers(f"if index == 1: {code}\nwait()")
    done = call("launch", "--workers", 2, "--", "train", "x", "--out", tmp_path / "run")
    assert (done.status, done.out) == (status, "")
    advice = f"; {tmp_path / 'run'} holds no run yet, so the same command begins again."
    assert done.err == (f"charflow: {said}{advice if 'restarts' in said else ''}\n" if said else "")


def test_launch_resumes_after_a_worker_was_killed(call: Callable, workers: Callable, tmp_path: Path) -> None:
    workers(KILLED_ONCE)
    run = str(tmp_path / "run")
    options = ["--preset", "default", "--config=a.toml", "--units", "8"]
    done = call("launch", "--workers", 2, "--max-restarts", 3, "--", "train", "x", *options, "--out", run)
    assert done.status == 0
    first, second = f"train x {' '.join(options)} --out {run}", f"train --resume x --units 8 --out {run}"
    assert lines(done.out) == lines(f"[0] {first}\n[1] {first}\n[0] {second}\n[1] {second}")
    assert done.err == (
        "charflow: worker 1 was killed by SIGKILL: starting 2 workers again from the latest checkpoint in "
        f"{run}, restart 1 of 3.\n"
    )


def test_launch_begins_again_where_there_is_no_run_yet(call: Callable, workers: Callable, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    workers(f"say(resumed)\nif not os.path.exists({str(mark)!r}): open({str(mark)!r}, 'w'); {KILL}")
    done = call("launch", "--workers", 1, "--max-restarts", 1, "--", "train", "x", "--out", tmp_path / "run")
    assert (done.status, done.out) == (0, "[0] False\n[0] False\n")
    assert done.err.endswith("starting 1 worker again from the beginning, restart 1 of 1.\n")


def test_launch_gives_every_start_new_ports(call: Callable, workers: Callable, tmp_path: Path) -> None:
    workers(f"say(os.environ['TF_CONFIG']); {KILL}")
    done = call("launch", "--workers", 1, "--max-restarts", 3, "--", "train", "x", "--out", tmp_path)
    assert len(set(lines(done.out))) > 1


def test_launch_gives_up_after_the_last_restart(call: Callable, workers: Callable, tmp_path: Path) -> None:
    workers("say(resumed); begin(); sys.exit(3)")
    done = call("launch", "--workers", 1, "--max-restarts", 2, "--", "train", "x", "--out", tmp_path)
    assert (done.status, lines(done.out)) == (3, ["[0] False", "[0] True", "[0] True"])
    assert done.err.splitlines()[-1] == (
        "charflow: worker 0 ended with status 3 after 2 restarts; --resume goes on from the latest checkpoint in "
        f"{tmp_path}, and --max-restarts tries so by itself."
    )


@pytest.mark.parametrize("status", [2, 130], ids=["mistake", "interrupted"])
def test_launch_does_not_try_again(call: Callable, workers: Callable, tmp_path: Path, status: int) -> None:
    workers(f"say('once'); sys.exit({status})")
    done = call("launch", "--workers", 1, "--max-restarts", 3, "--", "train", "x", "--out", tmp_path)
    assert (done.status, done.out) == (status, "[0] once\n")


def test_launch_does_not_repeat_a_run_whose_chief_is_done(call: Callable, workers: Callable, tmp_path: Path) -> None:
    workers(f"say('once')\nif index == 1: time.sleep(0.4); {KILL}")
    done = call("launch", "--workers", 2, "--max-restarts", 3, "--", "train", "x", "--out", tmp_path)
    assert (done.status, lines(done.out)) == (137, ["[0] once", "[1] once"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "There is no command to launch: write charflow launch --workers 2 -- train DATA --out RUN."),
        (["--", "evaluate", "run"], "launch cannot run 'evaluate': it runs train."),
        (["--", "train", "x"], "Missing option '--out'. Try --help."),
        (["--", "train", "--out", "r"], "Missing argument 'DATA'. Try --help."),
        (["--workers", 0, "train", "x", "--out", "r"], "--workers must be at least 1, not 0."),
        (["--max-restarts", -1, "train", "x", "--out", "r"], "--max-restarts must be at least 0, not -1."),
        (["--grace", "nan", "train", "x", "--out", "r"], "--grace must be at least 0 and at most 2,000,000, not nan."),
        (
            ["--start-timeout", 0, "train", "x", "--out", "r"],
            "--start-timeout must be above 0 and at most 2,000,000, not 0.",
        ),
    ],
    ids=["none", "other", "no-out", "no-data", "workers", "restarts", "grace", "start-timeout"],
)
def test_launch_refuses_in_one_sentence(
    refused: Callable, workers: Callable, arguments: list[object], message: str
) -> None:
    workers("say('started')")
    assert refused("launch", "--workers", 2, *arguments) == message


def test_launch_checks_the_arguments_of_train_once(refused: Callable, workers: Callable) -> None:
    workers("say('started')")
    message = refused("launch", "--workers", 2, "--", "train", "x", "--out", "r", "--uints", "8")
    assert message.startswith("No such option: --uints")


def test_launch_says_when_there_are_fewer_gpus_than_workers(
    call: Callable, workers: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers("say(os.environ['CUDA_VISIBLE_DEVICES'])")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    done = call("launch", "--workers", 2, "--", "train", "x", "--out", "r")
    assert lines(done.out) == ["[0] -1", "[1] -1"]
    assert done.err == "charflow: 2 workers cannot share 1 GPU: they train on the CPU.\n"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["term", "int"])
def test_launch_passes_a_signal_on_and_does_not_try_again(tmp_path: Path, number: int, status: int) -> None:
    stop = f"signal.signal({int(number)}, lambda *_: (say('saved'), sys.exit({status}))); say('ready'); wait()"
    arguments = ["--workers", 2, "--max-restarts", 3, "--", "train", "x", "--out", tmp_path]
    with launched(stop, *arguments) as process:
        assert process.stdout
        assert lines(process.stdout.readline() + process.stdout.readline()) == ["[0] ready", "[1] ready"]
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, lines(out)) == (status, ["[0] saved", "[1] saved"])
    assert err == "", "the workers have said it"


RUNTIME = "E0000 00:00:1795630830.360129    9081 base_collective_executor.cc:252] StartAbort UNAVAILABLE: gone"


@pytest.mark.parametrize("ending", [0, 3, 130], ids=["well", "badly", "by Ctrl-C"])
def test_launch_shows_the_runtimes_log_of_a_worker_that_fails_only(
    call: Callable, workers: Callable, tmp_path: Path, ending: int
) -> None:
    more = "Additional GRPC error information from remote target /job:worker"
    workers(
        f"print('one', file=sys.stderr); print({RUNTIME!r} + chr(10) + {more!r}, file=sys.stderr)\n"
        f"print('two', file=sys.stderr); sys.exit({ending} * (index == 0))"
    )
    done = call("launch", "--workers", 1, "--", "train", "x", "--out", tmp_path / "run")
    assert done.status == ending
    shown = done.err.splitlines()
    assert shown[:2] == ["[0] one", "[0] two"]
    assert shown[2:4] == ([f"[0] {RUNTIME}", f"[0] {more}"] if ending == 3 else shown[2:4])
    assert (RUNTIME in done.err) == (ending == 3)


def test_launch_keeps_the_runtimes_log_out_of_the_chiefs_bar(tmp_path: Path) -> None:
    code = (
        "sys.stderr.write('\\r\\x1b[2Ktraining 40 %'); sys.stderr.flush()\n"
        f"os.write(2, ({RUNTIME!r} + chr(10)).encode()[:40]); time.sleep(0.2)\n"
        f"os.write(2, ({RUNTIME!r} + chr(10)).encode()[40:]); time.sleep(0.2)"
    )
    terminal, stderr = pty.openpty()
    with launched(code, "--workers", 1, "--", "train", "x", "--out", tmp_path, stderr=stderr) as process:
        os.close(stderr)
        process.communicate(timeout=30)
    shown = os.read(terminal, 4096).decode()
    os.close(terminal)
    assert "[0] training 40 %" in shown
    assert "StartAbort" not in shown


@pytest.mark.skipif(sys.platform != "linux", reason="run on Linux: elsewhere there is no parent-death signal")
def test_launch_leaves_no_worker_when_it_is_killed(tmp_path: Path) -> None:
    with launched("say(os.getpid()); wait()", "--workers", 2, "--", "train", "x", "--out", tmp_path) as process:
        assert process.stdout
        pids = [int(process.stdout.readline().split()[1]) for _ in range(2)]
        process.kill()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}/exe").exists() for pid in pids):
        assert time.monotonic() < deadline, "workers outlived launch"
        time.sleep(0.05)


def test_launch_draws_the_chiefs_bar_alone_on_a_terminal(tmp_path: Path) -> None:
    code = (
        "print(sys.stderr.isatty(), flush=True)\n"
        "sys.stderr.write('\\r\\x1b[2Ktraining 40 %' if sys.stderr.isatty() else 'a line\\n'); sys.stderr.flush()\n"
        "time.sleep(0.5); sys.exit(0)"
    )
    terminal, stderr = pty.openpty()
    with launched(code, "--workers", 2, "--", "train", "x", "--out", tmp_path, stderr=stderr) as process:
        os.close(stderr)
        out, _ = process.communicate(timeout=30)
    shown = os.read(terminal, 4096).decode()
    os.close(terminal)
    assert lines(out) == ["[0] True", "[1] False"]
    assert shown.replace("\r", "").replace("\x1b[2K", "\n").strip("\n").split("\n").count("[0] training 40 %") >= 1
    assert "[1] a line\r\n" in shown


def test_launch_reads_as_json_from_outside(tmp_path: Path) -> None:
    code = "print(json.dumps({'worker': index})); print('bar', file=sys.stderr)"
    with launched(code, "--workers", 2, "--", "train", "x", "--out", tmp_path, "--json") as process:
        out, err = process.communicate(timeout=30)
    assert json.loads(out) == {"worker": 0}
    assert lines(err) == ["[0] bar", "[1] bar", '[1] {"worker": 1}']


def test_worker_output_breaks_a_workers_lines_between_words_on_a_terminal(terminal: Callable) -> None:
    terminal(24, "err")
    _, shown = terminal(24, "out")
    WorkerOutput(figures=False).wrote(1, "out", b"the toad is asleep by the garden gate\n")
    assert shown.getvalue() == "[1] the toad is asleep\nby the garden gate\n"
