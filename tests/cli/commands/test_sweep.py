"""`charflow sweep`: what it prints, what it leaves behind, and what it refuses."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from charflow.model.config import Config
from charflow.model.run.run_dir import RunDir
from charflow.model.training.diverged import DivergedError
from charflow.model.training.report import Result
from charflow.pipeline.errors import UserError

SMALL = ["--search", "units=4:16", "--search", "layers=1,2", "--search", "window_length=8"]


@pytest.fixture
def chat(write_chat: Callable) -> Path:
    """Sixty short messages of two users."""
    return write_chat(*["mira,oh my dears", "ada,a plan"] * 30)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replaces the training: put in how its runs are to end, bits per character or a reason."""
    ends: list[Any] = []

    def check_fit(*_: object) -> None:
        if type(ends[0]) is UserError:
            raise ends.pop(0)

    def start_run(config: Config, text: Any, run_dir: RunDir, *_: object) -> Any:
        run_dir.create(config, text.corpus)
        end = ends.pop(0)
        if isinstance(end, Exception):
            raise end
        run_dir.checkpoints.mkdir(parents=True)
        if isinstance(end, str):
            return SimpleNamespace(reason=end, ended=False)
        return Result(
            reason="finished",
            step=50,
            elapsed=9.0,
            windows_per_second=123.4,
            best_step=50,
            train_bits=end,
            guess_bits=5.0,
            held_out=SimpleNamespace(bits_per_char=end),
        )

    monkeypatch.setattr("charflow.model.search.sweep.check_fit", check_fit)
    monkeypatch.setattr("charflow.model.search.sweep.start_run", start_run)
    return ends


@pytest.mark.slow
def test_sweep_shows_its_trials_best_first(call: Callable, scripted: list, chat: Path, tmp_path: Path) -> None:
    scripted[:] = [3.0, 2.0, 2.5]
    done = call("sweep", chat, "--user", "mira", "--out", tmp_path / "s", "--trials", 3, *SMALL)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].split() == [
        *("trial", "state", "held", "out", "units", "layers", "window", "length", "steps"),
    ]
    assert [line.split()[0] for line in lines[1:4]] == ["2", "3", "1"]
    assert lines[1].split()[:4] == ["2", "*", "finished", "2.000"]
    assert lines[1].split()[-1] == "50"
    assert f"{tmp_path}/s/trials.png" in done.out
    assert (tmp_path / "s" / "trials.png").exists()


@pytest.mark.slow
def test_sweep_prints_a_command_that_train_takes(
    call: Callable, scripted: list, untrained: list[Config], chat: Path, tmp_path: Path
) -> None:
    scripted[:] = [3.0, 2.0]
    done = call("sweep", chat, "--user", "mira", "--out", tmp_path / "s", "--trials", 2, *SMALL)
    (command,) = (line.split("  ")[-1] for line in done.out.splitlines() if line.startswith("next"))
    words = shlex.split(command.replace("RUN", str(tmp_path / "run")).replace("SECONDS", "7"))
    assert words[0] == "charflow"
    assert call(*words[1:]).status == 0
    best = RunDir(tmp_path / "s" / "trials" / "2").load()[0]
    assert untrained[0].network == best.network
    assert untrained[0].corpus.users == ("mira",)
    assert (untrained[0].training.window_length, untrained[0].training.time_limit) == (8, 7.0)


@pytest.mark.slow
def test_sweep_tells_each_trial_as_it_ends(call: Callable, scripted: list, chat: Path, tmp_path: Path) -> None:
    scripted[:] = [3.0]
    done = call("sweep", chat, "--out", tmp_path / "s", "--trials", 1, "--time-limit", 30, "--search", "units=256")
    assert done.err.endswith(
        "1 to go, 30 s of training at most.\ntrial 1 (1 of 1): 3.000 bits/char, the best so far, finished; units 256\n"
    )


@pytest.mark.slow
def test_sweep_says_how_little_its_trials_are_judged_by(
    call: Callable, scripted: list, chat: Path, tmp_path: Path
) -> None:
    scripted[:] = [3.0]
    done = call("sweep", chat, "--out", tmp_path / "s", "--trials", 1, "--time-limit", 30, "--search", "units=256")
    assert done.err.startswith("charflow: note: Too little is held out to judge by, or to choose the best weights by (")


@pytest.mark.slow
def test_sweep_goes_on_after_ctrl_c(call: Callable, scripted: list, chat: Path, tmp_path: Path) -> None:
    scripted[:] = [3.0, "interrupted", 2.0, 1.0]
    command = ["sweep", chat, "--out", tmp_path / "s", "--trials", 3, *SMALL]
    stopped = call(*command)
    assert (stopped.status, stopped.out) == (130, "")
    assert stopped.err.splitlines()[-1] == (
        f"charflow: interrupted: 1 of 3 trials are kept in {tmp_path}/s; the same command goes on from there."
    )
    done = call(*command)
    assert (done.status, scripted) == (0, [])
    assert "1 trial is there; 2 to go, 2 min 0 s of training at most." in done.err.splitlines()
    assert [line.split()[1] for line in done.out.splitlines()[2:5]] == ["finished", "finished", "cut"]


@pytest.mark.slow
def test_sweep_ends_with_the_status_of_a_terminated_process(
    call: Callable, scripted: list, chat: Path, tmp_path: Path
) -> None:
    scripted[:] = ["preempted"]
    assert call("sweep", chat, "--out", tmp_path / "s", *SMALL).status == 143


@pytest.mark.slow
def test_sweep_json_has_the_figures(call: Callable, scripted: list, chat: Path, tmp_path: Path) -> None:
    scripted[:] = [3.0, 2.0]
    found = call("sweep", chat, "--out", tmp_path / "s", "--trials", 2, *SMALL, "--json").json
    assert [(trial["number"], trial["state"], trial["bits"]) for trial in found["trials"]] == [
        (1, "finished", 3.0),
        (2, "finished", 2.0),
    ]
    assert set(found["trials"][0]["values"]) == {"units", "layers", "window_length"}
    assert (found["best"], found["config"]) == (2, f"{tmp_path}/s/best.toml")


@pytest.mark.slow
def test_sweep_of_runs_that_start_from_another(
    call: Callable, scripted: list, sample_chat: str, trained_run: Path, tmp_path: Path
) -> None:
    scripted[:] = [3.0, 2.0]
    words = ("sweep", sample_chat, "--user", "mira", "--from", trained_run, "--out", tmp_path / "s", "--trials", 2)
    done = call(*words)
    assert "+         the settings of any run that starts from another" in done.out.splitlines()
    assert re.search(r"^next .* --config \S+/best\.toml --out RUN$", done.out, re.MULTILINE)
    first = RunDir(tmp_path / "s" / "trials" / "1").load()[0]
    assert (first.training.start_from, first.training.epochs) == (str(trained_run), 1)
    assert (first.network.units, first.training.learning_rate) == (24, 0.007)
    assert call(*words, "--json").json["from"] == str(trained_run)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--search", "units=4:8"], "--search units=4:8: {run} was trained with other settings: leave units out, or"),
        (["--held-out", 0.4], "{run} was trained with other settings: leave --held-out out, or start from another"),
        (["--preset", "tutorial"], "--preset is of no use with --from: that run's settings count; leave it out."),
    ],
    ids=["network", "tail", "preset"],
)
def test_sweep_of_runs_that_start_from_another_refuses(
    refused: Callable, sample_chat: str, trained_run: Path, tmp_path: Path, options: list, message: str
) -> None:
    found = refused("sweep", sample_chat, "--from", trained_run, "--out", tmp_path / "s", *options)
    assert message.format(run=trained_run) in found
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trials", 0], "--trials must be at least 1, not 0."),
        (["--time-limit", 0], "--time-limit must be above 0, not 0."),
        (["--time-limit", "nan"], "--time-limit must be a finite number above 0, not nan."),
        (["--preset", "fast"], "Unknown preset 'fast': use default or tutorial."),
        (["--search", "seed=1,2"], "--search seed=1,2: 'seed' is not searched."),
        (["--held-out", 0], "A sweep compares trials on held-out text: give more messages, or a larger --held-out."),
    ],
    ids=["trials", "time", "no time", "preset", "search", "no tail"],
)
def test_sweep_refuses(refused: Callable, chat: Path, tmp_path: Path, options: list, message: str) -> None:
    assert message in refused("sweep", chat, "--out", tmp_path / "s", *options)
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_sweep_refuses_other_settings(
    call: Callable, refused: Callable, scripted: list, chat: Path, tmp_path: Path
) -> None:
    scripted[:] = [3.0]
    assert call("sweep", chat, "--out", tmp_path / "s", "--trials", 1, *SMALL).status == 0
    assert "its text is another" in refused("sweep", chat, "--user", "ada", "--out", tmp_path / "s", *SMALL)
    message = refused("sweep", chat, "--out", tmp_path / "s", "--time-limit", 5, *SMALL)
    assert "training.time_limit was 60.0, is now 5.0" in message


@pytest.mark.slow
def test_sweep_whose_trials_all_fail_is_refused(refused: Callable, chat: Path, tmp_path: Path) -> None:
    message = refused(
        "sweep", chat, "--out", tmp_path / "new", "--trials", 2, "--search", "window_length=5000", underway=True
    )
    assert message.startswith("2 of 2 trials could not be trained: The text has ")
    assert message.endswith(" Take more messages, or a smaller window_length.")


@pytest.mark.slow
def test_sweep_says_how_many_of_its_trials_failed(
    call: Callable, refused: Callable, scripted: list, chat: Path, tmp_path: Path
) -> None:
    scripted[:] = [3.0, UserError("The text is too short."), 2.0]
    done = call("sweep", chat, "--out", tmp_path / "s", "--trials", 3, *SMALL)
    assert done.status == 0
    assert re.search(r"^failed +1 of 3 trials: The text is too short\.$", done.out, re.MULTILINE)
    scripted[:] = [DivergedError("It diverged.")] * 2
    message = refused("sweep", chat, "--out", tmp_path / "none", "--trials", 2, *SMALL, underway=True)
    assert message == "None of 2 trials came to its end: search lower learning rates, or more trials."
