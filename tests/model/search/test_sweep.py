"""A sweep with a trainer that only says what it was told to: which trials are made, kept, ended and gone on with."""

import gc
import signal
import sqlite3
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.image
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from charflow.model.config import Config, NetworkConfig, TrainingConfig, load_toml
from charflow.model.network.network import Network
from charflow.model.presets import SECOND_PHASE
from charflow.model.run.base import Base
from charflow.model.run.checkpoints import Checkpoints
from charflow.model.run.run_dir import RunDir
from charflow.model.search import sweep as sweep_module
from charflow.model.search.picture import plot_trials
from charflow.model.search.space import DEFAULT_SEARCH, SECOND_SEARCH, Space
from charflow.model.search.sweep import Stopped, Sweep, locked
from charflow.model.search.trials import Trial
from charflow.model.training.diverged import DivergedError
from charflow.model.training.report import Result
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.errors import UserError
from charflow.pipeline.tables import override
from tests import forked

CONFIG = Config(network=NetworkConfig(units=8), training=TrainingConfig(time_limit=10.0, window_length=8, batch_size=4))
SEARCH = ["units=4:16", "learning_rate=0.001:0.1"]


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.numbers, self.values, self.trials, self.bests = [], [], [], []

    def started(self, number: int, values: dict[str, Any]) -> None:
        self.numbers.append(number)
        self.values.append(values)

    def advanced(self, report: object) -> None: ...

    def ended(self, trial: Trial, best: Trial | None) -> None:
        self.trials.append(trial)
        self.bests.append(best and best.number)


class Script:
    """What the runs of a sweep come to, one after another.

    Bits per character, these and the signal that came in the last moment, what is raised, or the reason of the end.
    """

    def __init__(self, *ends: Any) -> None:
        self.ends, self.configs = list(ends), []

    def check_fit(self, config: Config, *_: object) -> None:
        if isinstance(self.ends[0], UserError) and "window" in str(self.ends[0]):
            self.configs.append(config)
            raise self.ends.pop(0)

    def start_run(self, config: Config, text: Any, run_dir: Any, strategy: object, listener: Any) -> Any:
        run_dir.create(config, text.corpus)
        self.configs.append(config)
        end = self.ends.pop(0)
        end, last_signal = end if isinstance(end, tuple) else (end, 0)
        (run_dir.checkpoints / "best").mkdir(parents=True)
        if isinstance(end, BaseException):
            raise end
        if isinstance(end, str):
            return SimpleNamespace(reason=end, ended=False)
        for evaluation in range(1, 6):
            elapsed = 2.0 * evaluation
            listener.advanced(SimpleNamespace(progress=evaluation / 5))
            listener.evaluated(
                {"step": evaluation, "windows_per_second": 100.0, "elapsed": elapsed, "held_out_part_bits": end}
            )
        return Result(
            reason="finished",
            step=5,
            elapsed=10.0,
            windows_per_second=100.0,
            best_step=5,
            train_bits=end,
            guess_bits=5.0,
            held_out=SimpleNamespace(bits_per_char=end),
            signal=last_signal,
        )


@pytest.fixture
def corpus(make_corpus: Callable[..., Corpus]) -> Corpus:
    return make_corpus("abcd " * 30, "abcd " * 6)


@pytest.fixture
def run(tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Sweep, Heard]]:
    """Runs a scripted sweep in the same folder each time; returns it and what was heard of it."""

    def run(script: Script, n_trials: int, config: Config = CONFIG, search: list[str] = SEARCH) -> tuple[Sweep, Heard]:
        monkeypatch.setattr(sweep_module, "check_fit", script.check_fit)
        monkeypatch.setattr(sweep_module, "start_run", script.start_run)
        monkeypatch.setattr(sweep_module, "plot_trials", lambda trials, space, path: path.touch())
        heard = Heard()
        with locked(tmp_path / "sweep"):
            sweep = Sweep(tmp_path / "sweep", config, Space.parse(search, config), corpus)
            sweep.run(n_trials, heard)
        return sweep, heard

    return run


# --- trials


def test_sweep_begins_with_the_preset(run: Callable) -> None:
    script = Script(2.0, 3.0)
    sweep, heard = run(script, 2)
    assert script.configs[0] == CONFIG
    assert heard.values[0] == {"units": 8, "learning_rate": 0.02}
    assert [trial.is_preset for trial in sweep.trials.all()] == [True, False]


def test_sweep_begins_as_near_to_the_preset_as_the_space_allows(run: Callable) -> None:
    _, heard = run(Script(2.0), 1, search=["units=16,32", "learning_rate=0.03:0.1", "cell=gru"])
    assert heard.values == [{"units": 16, "learning_rate": 0.03, "cell": "gru"}]
    assert not heard.trials[0].is_preset


def test_sweep_keeps_its_trials_within_the_space(run: Callable) -> None:
    script = Script(*[2.0] * 8)
    run(script, 8)
    assert all(4 <= config.network.units <= 16 for config in script.configs)
    assert all(0.001 <= config.training.learning_rate <= 0.1 for config in script.configs)
    assert len({config.training.learning_rate for config in script.configs}) == 8
    assert {config.training.time_limit for config in script.configs} == {10.0}


def test_sweep_keeps_weights_of_the_best_only(run: Callable) -> None:
    sweep, heard = run(Script(3.0, 2.0, 4.0), 3)
    assert heard.bests == [1, 2, 2]
    kept = [number for number in (1, 2, 3) if (sweep.run_folder(number) / "checkpoints").exists()]
    assert kept == [2]
    assert all((sweep.run_folder(number) / "config.toml").exists() for number in (1, 2, 3))


def test_sweep_writes_the_best_settings_for_train(run: Callable) -> None:
    script = Script(3.0, 2.0, 4.0)
    sweep, _ = run(script, 3)
    assert override(Config(), load_toml(sweep.best_file), source="best.toml") == script.configs[1]
    assert sweep.best_file.read_text().startswith("# Trial 2 of a sweep: 2.0000 held-out bits per character.\n")


def test_sweep_prunes_what_falls_behind(run: Callable) -> None:
    sweep, heard = run(Script(2.0, 2.1, 2.2, 2.3, 3.0, 1.9), 6)
    assert [trial.state for trial in heard.trials] == ["finished"] * 4 + ["pruned", "finished"]
    pruned = heard.trials[4]
    assert (pruned.bits, pruned.part_bits, pruned.steps, pruned.seconds) == (None, 3.0, 2, 4.0)
    assert {trial.part_bits for trial in heard.trials if trial.state == "finished"} == {None}
    assert sweep.trials.best().number == 6


DIVERGED = DivergedError("The loss diverged after step 3 (it is nan).")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (DIVERGED, "diverged"),
        (MemoryError("no room"), "out of memory"),
        (UserError("The text is shorter than a window."), "failed"),
    ],
    ids=["diverged", "memory", "window"],
)
def test_sweep_goes_on_after_a_trial_that_failed(run: Callable, error: Exception, state: str) -> None:
    _, heard = run(Script(2.0, error, 1.5), 3)
    failed = heard.trials[1]
    assert (failed.state, failed.bits, failed.why) == (state, None, str(error))
    assert heard.bests == [1, 1, 3]


def test_sweep_without_a_finished_trial_has_no_best(run: Callable) -> None:
    sweep, _ = run(Script(DIVERGED), 1)
    assert sweep.trials.best() is None
    assert not sweep.best_file.exists()
    assert sweep.picture_file.exists()


# --- going on


@pytest.mark.parametrize(
    "stop", ["interrupted", "preempted", KeyboardInterrupt(), UserError("a.csv cannot be written.")], ids=str
)
def test_sweep_does_a_trial_again_that_was_cut_off(run: Callable, stop: Any) -> None:
    with pytest.raises((Stopped, KeyboardInterrupt, UserError)):
        run(first := Script(2.0, stop), 3)
    sweep, heard = run(second := Script(1.9, 1.8), 3)
    assert second.configs[0] == first.configs[1]
    assert heard.numbers == [3, 4]
    assert [trial.state for trial in sweep.trials.all()] == ["finished", "cut off", "finished", "finished"]
    assert not (sweep.run_folder(2) / "checkpoints").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_sweep_ends_by_a_signal_in_the_last_moment_of_a_trial(run: Callable, number: signal.Signals) -> None:
    with pytest.raises(Stopped) as stopped:
        run(Script(2.0, (1.9, number)), 3)
    assert stopped.value.preempted == (number == signal.SIGTERM)
    sweep, heard = run(Script(1.8), 3)
    assert heard.numbers == [3]
    assert [(trial.state, trial.bits) for trial in sweep.trials.all()] == [
        ("finished", 2.0),
        ("finished", 1.9),
        ("finished", 1.8),
    ]


def test_sweep_goes_on_with_what_it_would_have_tried(run: Callable, tmp_path: Path) -> None:
    run(whole := Script(2.0, 2.1, 2.2), 3)
    (tmp_path / "sweep").rename(tmp_path / "whole")
    run(first := Script(2.0), 1)
    run(second := Script(2.1, 2.2), 3)
    assert first.configs + second.configs == whole.configs


@pytest.fixture
def base(tmp_path: Path, corpus: Corpus) -> Base:
    """A run whose weights are a draw."""
    run_dir = RunDir(tmp_path / "base")
    run_dir.create(CONFIG, corpus)
    network = Network(CONFIG.network, corpus.vocabulary.size, targets="all", seed=3)
    Checkpoints(run_dir.checkpoints, network.model).save_best(7)
    return Base(run_dir.path)


def second_phase(base: Base) -> Config:
    return override(CONFIG, {"training": {**SECOND_PHASE, "start_from": str(base.run_dir.path)}}, source="")


def test_sweep_of_runs_that_start_from_another_begins_with_the_settings_of_these(run: Callable, base: Base) -> None:
    _, heard = run(script := Script(2.0), 1, second_phase(base), SECOND_SEARCH)
    assert heard.values[0].items() >= {"learning_rate": 0.007, "warmup_steps": 10, "window_shift": 8}.items()
    assert script.configs[0].training.base_fingerprint == base.fingerprint


def test_sweep_refuses_to_go_on_from_other_weights(run: Callable, base: Base) -> None:
    run(Script(2.0), 1, second_phase(base), SECOND_SEARCH)
    network = Network(CONFIG.network, base.vocabulary.size, targets="all", seed=4)
    Checkpoints(base.run_dir.checkpoints, network.model).save_best(8)
    with pytest.raises(UserError, match=r"holds another sweep \(training\.base_fingerprint was "):
        run(Script(), 2, second_phase(base), SECOND_SEARCH)


def test_sweep_that_is_done_trains_nothing(run: Callable) -> None:
    run(Script(2.0, 2.1), 2)
    _, heard = run(Script(), 2)
    assert heard.numbers == []


def test_sweep_survives_a_kill(tmp_path: Path) -> None:
    """A process of its own begins a trial and is killed: the trial is proposed again."""
    (tmp_path / "sweep").mkdir()
    code = f"""
import os, signal
from pathlib import Path
from charflow.model.config import Config
from charflow.model.search.space import Space
from charflow.model.search.trials import Trials
config = Config()
trials = Trials(Path({str(tmp_path / "sweep")!r}), config, Space.parse(["units=4:400"], config), "text")
trials.propose().finished(2.0)
print(trials.propose().values["units"], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = forked.run([sys.executable, "-c", code])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    from charflow.model.search.trials import Trials

    trials = Trials(tmp_path / "sweep", Config(), Space.parse(["units=4:400"], Config()), "text")
    assert [trial.state for trial in trials.all()] == ["finished", "cut off"]
    assert trials.n_done() == 1
    assert trials.propose().values == {"units": int(killed.stdout)}


@pytest.mark.parametrize(
    ("config", "search", "message"),
    [
        (
            override(CONFIG, {"training": {"time_limit": 5.0}}, source=""),
            SEARCH,
            "training.time_limit was 10.0, is now 5.0",
        ),
        (override(CONFIG, {"network": {"cell": "gru"}}, source=""), SEARCH, "network.cell was lstm, is now gru"),
        (CONFIG, ["units=4:16"], "search was units=4:16 learning_rate=0.001:0.1, is now units=4:16"),
    ],
    ids=["time limit", "network", "space"],
)
def test_sweep_refuses_another_sweep(
    run: Callable, tmp_path: Path, config: Config, search: list[str], message: str
) -> None:
    run(Script(2.0), 1)
    with pytest.raises(UserError) as caught:
        run(Script(), 1, config, search)
    assert str(caught.value) == (
        f"{tmp_path}/sweep holds another sweep ({message}): "
        "give the data and options it began with, or name another folder."
    )


def test_sweep_refuses_another_text(run: Callable, tmp_path: Path, make_corpus: Callable) -> None:
    run(Script(2.0), 1)
    with pytest.raises(UserError, match=r"holds another sweep \(its text is another\)"):
        Sweep(tmp_path / "sweep", CONFIG, Space.parse(SEARCH, CONFIG), make_corpus("abcd " * 30, "dcba " * 6))


def test_sweep_refuses_a_text_without_a_tail(tmp_path: Path, make_corpus: Callable) -> None:
    with pytest.raises(UserError, match=r"compares trials on held-out text: .* or a larger held_out\."):
        Sweep(tmp_path, CONFIG, Space.parse(SEARCH, CONFIG), make_corpus("abcd " * 30))


@pytest.mark.parametrize("content", [b"garbage " * 1000, None], ids=["no database", "another database"])
def test_sweep_refuses_a_damaged_store(run: Callable, tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "sweep").mkdir()
    store = tmp_path / "sweep" / "study.db"
    if content:
        store.write_bytes(content)
    else:
        with sqlite3.connect(store) as database:
            database.execute("create table studies (name text)")
    with pytest.raises(UserError, match=r"study.db cannot be read as a sweep \(.*\): delete its folder, or name"):
        run(Script(), 1)


@pytest.mark.parametrize(
    ("name", "message"), [("config.toml", "holds a run"), ("notes.txt", "holds other files")], ids=["run", "files"]
)
def test_locked_refuses_a_folder_of_something_else(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=message), locked(tmp_path):
        pass


def test_locked_refuses_a_second_process(tmp_path: Path) -> None:
    with locked(tmp_path / "sweep"), pytest.raises(UserError, match="is in use"), locked(tmp_path / "sweep"):
        pass


# --- a real run


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leaves out what takes time and is not looked at here."""
    monkeypatch.setattr("charflow.model.training.chief.plot_curves", lambda *_, **__: None)
    yield


@pytest.mark.usefixtures("_quick")
def test_sweep_trains_and_lets_go_of_its_networks(
    tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = override(
        CONFIG, {"training": {"steps": 4, "time_limit": 3600.0, "warmup_steps": 1, "evaluations": 1}}, source=""
    )
    sweep = Sweep(tmp_path, config, Space.parse(SEARCH, config), corpus)
    networks: list[weakref.ref] = []
    kept: list[int] = []
    make = Network.__init__

    def remembered(network: Network, *args: Any, **options: Any) -> None:
        networks.append(weakref.ref(network))
        make(network, *args, **options)

    class Watching(Heard):
        def ended(self, trial: Trial, best: Trial | None) -> None:
            super().ended(trial, best)
            kept.append(sum(network() is not None for network in networks))

    monkeypatch.setattr(Network, "__init__", remembered)
    gc.disable()  # what is gone was let go of
    try:
        sweep.run(2, heard := Watching())
    finally:
        gc.enable()
    assert (len(networks), kept) == (2, [0, 0])
    assert [(trial.state, trial.steps) for trial in heard.trials] == [("finished", 4)] * 2
    assert all(0 < trial.bits < 20 for trial in heard.trials)


# --- the space


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("units", "search units: write NAME=LOW:HIGH, or NAME=A,B,C."),
        ("units=", "search units=: write NAME=LOW:HIGH, or NAME=A,B,C."),
        ("units=a:9", "search units=a:9: 'a' is not a whole number."),
        ("units=4.5", "search units=4.5: '4.5' is not a whole number."),
        ("dropout=0:x", "search dropout=0:x: 'x' is not a number."),
        ("units=9:4", "search units=9:4: a range is LOW:HIGH, the lower end first."),
        ("units=4:9:2", "search units=4:9:2: a range is LOW:HIGH, the lower end first."),
        ("dropout=nan:1", "search dropout=nan:1: a range is LOW:HIGH, the lower end first."),
        ("units=0:8", "search units=0:8: units must be at least 1, not 0."),
        ("dropout=0:1", "search dropout=0:1: dropout must be at least 0 and below 1, not 1."),
        ("cell=lstm:gru", "search cell=lstm:gru: cell must be lstm or gru, not 'lstm:gru'."),
    ],
)
def test_space_refuses(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        Space.parse([text], CONFIG)
    assert str(caught.value) == message


def test_space_of_runs_that_start_from_another_has_no_other_network(base: Base) -> None:
    with pytest.raises(UserError, match=r"search units=4,8: .*/base was trained with other settings: leave units out"):
        Space.parse(["units=4,8"], second_phase(base), base=base)
    other = override(second_phase(base), {"corpus": {"min_length": 3}}, source="")
    with pytest.raises(UserError, match=r"^\S+/base was trained with other settings: leave min_length out"):
        Space.parse(SECOND_SEARCH, other, base=base)


def test_space_names_the_settings_that_it_can_search() -> None:
    with pytest.raises(UserError, match=r"'seed' is not searched\. Settings are: cell, units, layers, dropout, "):
        Space.parse(["seed=1,2"], CONFIG)


def test_space_refuses_an_axis_twice() -> None:
    with pytest.raises(UserError, match="search batch_size is given twice"):
        Space.parse(["batch_size=4", "batch-size=8"], CONFIG)


def test_space_rounds_within_its_range() -> None:
    space = Space.parse(["beta_2=0.9:0.9999", "dropout=0:0.5"], CONFIG)
    assert space.rounded({"beta_2": 0.91236, "dropout": 0.123456}) == {"beta_2": 0.912, "dropout": 0.123}
    assert space.rounded({"beta_2": 0.99987}) == {"beta_2": 0.99987}  # 1 would be outside


@pytest.mark.parametrize("preset", [Config(), CONFIG], ids=["default", "tiny"])
def test_the_default_space_can_be_read_back(preset: Config) -> None:
    for search in (DEFAULT_SEARCH, SECOND_SEARCH):
        assert [str(axis) for axis in Space.parse(search, preset).axes] == list(search)
    space = Space.parse(DEFAULT_SEARCH, preset)
    assert Space.parse(DEFAULT_SEARCH, Config()).nearest(Config()) == space.values_of(Config())


# --- the picture


def trial(number: int, state: str, bits: float | None, **values: Any) -> Trial:
    whole, part = (bits, None) if state == "finished" else (None, bits)
    return Trial(number, state, values, whole, part, 1, 1.0, 1.0, "", is_preset=False)


@pytest.mark.parametrize(
    "trials",
    [
        [],
        [trial(1, "diverged", None, units=8, cell="gru")],
        [trial(1, "finished", 2.0, units=8, cell="gru")],
        [trial(1, "cut off", None), trial(2, "pruned", 9.0, units=4, cell="lstm")],
        [trial(n, "finished", 2 + 1 / n, units=4 + n % 12, cell="gru") for n in range(1, 60)],
    ],
    ids=["none", "diverged", "one", "pruned", "many"],
)
def test_plot_trials_writes_a_png(tmp_path: Path, trials: list[Trial]) -> None:
    plot_trials(trials, Space.parse(["units=4:16", "cell=lstm,gru"], CONFIG), tmp_path / "trials.png")
    height, width, _ = matplotlib.image.imread(tmp_path / "trials.png").shape
    assert (width, height) == (1500, 915)
    assert [child.name for child in tmp_path.iterdir()] == ["trials.png"]


@pytest.mark.slow
def test_plot_trials_shows_which_ended_early(tmp_path: Path) -> None:
    images = []
    for state in ("finished", "pruned", "diverged"):
        trials = [trial(1, "finished", 2.0, units=8), trial(2, state, 2.5, units=9)]
        plot_trials(trials, Space.parse(["units=4:16"], CONFIG), tmp_path / "trials.png")
        images.append((tmp_path / "trials.png").read_bytes())
    assert len(set(images)) == 3


def test_plot_trials_writes_the_title_clear_of_the_legend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **k: (figures.append(figure), save(figure, *a, **k)))
    states = [("finished", 2.5), ("finished", 2.0), ("pruned", 3.0), ("diverged", None)]
    trials = [trial(n, *state, units=8) for n, state in enumerate(states * 300, 1)]
    plot_trials(trials, Space.parse(["units=4:16"], CONFIG), tmp_path / "trials.png")
    axes = figures[0].axes[0]
    legend = axes.get_legend()
    assert len(legend.get_texts()) == 5
    title = next(each for each in axes.findobj(Text) if each.get_text() == axes.get_title("left") != "")
    assert not legend.get_window_extent().overlaps(title.get_window_extent())
    assert not legend.get_window_extent().overlaps(axes.get_window_extent())
