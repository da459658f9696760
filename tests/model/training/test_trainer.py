"""Runs on a text of a few words: learning, resuming, stopping, and what lies in the folder afterwards."""

import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

from charflow.model.config import Config, NetworkConfig, TrainingConfig
from charflow.model.decoding.decoder import make_decoder
from charflow.model.decoding.generator import Generator, load_network
from charflow.model.distributed.strategy import make_strategy
from charflow.model.evaluation.evaluation import Evaluator
from charflow.model.run.checkpoints import best_step
from charflow.model.run.run_dir import RunDir
from charflow.model.training.diverged import DivergedError
from charflow.model.training.optimizer import learning_rate
from charflow.model.training.report import Result
from charflow.model.training.start import start_run
from charflow.model.training.trainer import Trainer
from charflow.model.training_text import TextInMemory
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.errors import UserError
from tests import forked

WORDS = "abcd "
PER_EPOCH = 6  # steps: 48 windows of 8 characters every 3 of 150, in batches of 8
CONFIG = Config(
    network=NetworkConfig(units=8, dropout=0.1),
    training=TrainingConfig(
        window_length=8,
        window_shift=3,
        batch_size=8,
        learning_rate=0.05,
        warmup_steps=3,
        steps=60,
        evaluations=3,
        seed=4,
    ),
)


class Recorder:
    """A listener that remembers, and that presses Ctrl-C after a step if it is told to."""

    def __init__(self, interrupt_at: int | None = None, presses: int = 1) -> None:
        self.plans, self.reports, self.rows, self.samples, self.resumptions, self.endings = [], [], [], [], [], []
        self._interrupt_at, self._presses = interrupt_at, presses

    def resumed(self, step, elapsed, damaged) -> None:
        self.resumptions.append(step)

    def planned(self, plan) -> None:
        self.plans.append(plan)

    def advanced(self, report) -> None:
        self.reports.append(report)
        if report.step == self._interrupt_at:
            for _ in range(self._presses):
                os.kill(os.getpid(), signal.SIGINT)

    def ending(self, doing, share=0.0) -> None:
        self.endings.append(doing)

    def counting(self, seconds) -> None: ...

    def evaluated(self, row) -> None:
        self.rows.append(row)

    def sampled(self, sample) -> None:
        self.samples.append(sample)


@dataclass(frozen=True)
class Run:
    """A run that came to its end."""

    path: Path
    result: Result
    heard: Recorder


@contextmanager
def clock(seconds: float) -> Iterator[None]:
    """Gives `trainer` a clock that advances by the same seconds at every look, so that runs do not depend on speed.

    From one second on, every call of the graph is one step.
    """
    looks = itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charflow.model.training.pace.time", SimpleNamespace(monotonic=lambda: next(looks) * seconds))
        yield


def changed(**training) -> Config:
    return replace(CONFIG, training=replace(CONFIG.training, **training))


def trainer_of(config: Config, corpus: Corpus, path: Path, heard: Recorder) -> Trainer:
    run_dir = RunDir(path)
    if not run_dir.config_file.exists():
        run_dir.create(config, corpus)
    return Trainer(config, TextInMemory(corpus), run_dir, make_strategy(), heard)


def train(
    config: Config,
    corpus: Corpus,
    path: Path,
    *,
    resume: bool = False,
    tick: float = 1.0,
    interrupt_at: int | None = None,
) -> Run:
    heard = Recorder(interrupt_at)
    with clock(tick):
        result = start_run(config, TextInMemory(corpus), RunDir(path), make_strategy(), heard, resume=resume)
    return Run(path, result, heard)


def checkpoint(path: Path, which: str = "latest") -> dict[str, np.ndarray]:
    """Every tensor of a checkpoint, except the seconds that a run took and how often it was saved."""
    reader = tf.train.load_checkpoint(str(path / "checkpoints" / which))
    ignored = ("elapsed", "save_counter", "OBJECT_GRAPH")
    names = [name for name in reader.get_variable_to_shape_map() if not any(part in name for part in ignored)]
    return {name: reader.get_tensor(name) for name in sorted(names)}


def checkpoint_name(path: Path, which: str) -> str:
    return Path(tf.train.latest_checkpoint(str(path / "checkpoints" / which))).name


@pytest.fixture(scope="module")
def corpus(make_corpus: Callable) -> Corpus:
    return make_corpus(WORDS * 30, WORDS * 6)


@pytest.fixture(scope="module")
def misleading(make_corpus: Callable) -> Corpus:
    """What is learned from the training text makes the held-out text less and less likely."""
    return make_corpus(WORDS * 30, "aabbccdd  " * 3)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Run:
    return train(CONFIG, corpus, tmp_path_factory.mktemp("runs") / "a")


def test_train_learns_the_text(finished: Run) -> None:
    bits = [report.train_bits for report in finished.heard.reports]
    assert bits[0] == pytest.approx(np.log2(6), abs=0.5)  # five characters and [UNK]
    assert max(bits[-6:]) < 0.5
    assert finished.result.held_out.bits_per_char < 0.2
    assert finished.result.held_out.accuracy == 1.0
    assert finished.result.held_out.characters == 30


def test_train_result_sums_the_run_up(finished: Run) -> None:
    result = finished.result
    assert (result.reason, result.step) == ("finished", 60)
    (best,) = (row for row in finished.heard.rows if row["step"] == result.best_step)
    assert result.train_bits == best["train_bits"]
    assert result.elapsed >= finished.heard.rows[-1]["elapsed"] > 60
    assert result.windows_per_second == pytest.approx(8)  # a step of 8 windows a second, on the test's clock


def test_the_trained_model_writes_the_text(finished: Run) -> None:
    generator = Generator.load(finished.path)
    assert generator.generate("ab", max_chars=12, temperature=0)[0].text == "cd abcd abcd"
    assert generator.generate("", max_chars=6, temperature=0.2, seed=1)[0].text == "abcd a"


def test_train_reports_every_call(finished: Run) -> None:
    reports = finished.heard.reports
    assert [report.step for report in reports] == list(range(1, 61))
    assert [report.epoch for report in reports] == [step / PER_EPOCH for step in range(1, 61)]
    assert [report.progress for report in reports] == pytest.approx([step / 60 for step in range(1, 61)])
    assert [report.windows_per_second for report in reports] == [8] * 60
    assert (np.diff([report.elapsed for report in reports]) > 0).all()


def test_train_announces_its_plan(finished: Run) -> None:
    (plan,) = finished.heard.plans
    assert (plan.windows, plan.steps_per_epoch, plan.train_characters, plan.held_out_characters) == (48, 6, 150, 30)


def test_train_writes_a_row_of_metrics_at_each_evaluation(finished: Run) -> None:
    rows = [json.loads(line) for line in (finished.path / "metrics.jsonl").read_text().splitlines()]
    assert rows == finished.heard.rows
    assert [row["step"] for row in rows] == [20, 40, 60]
    assert [row["epoch"] for row in rows] == [20 / 6, 40 / 6, 10.0]
    reports = [report.train_bits for report in finished.heard.reports]
    for row, since in zip(rows, (0, 20, 40), strict=True):
        assert row["train_bits"] == pytest.approx(np.mean(reports[since : since + 20]))
        expected = learning_rate(CONFIG.training, step=row["step"] - 1, progress=(row["step"] - 1) / 60)
        assert row["learning_rate"] == pytest.approx(expected)
    assert rows[0]["held_out_part_bits"] > rows[2]["held_out_part_bits"]
    assert 0 <= rows[0]["held_out_part_accuracy"] <= rows[2]["held_out_part_accuracy"] == 1


def test_train_writes_samples_after_the_first_and_the_last_epoch(finished: Run) -> None:
    best = finished.result.best_step
    expected = {f"step-{step:08d}-temperature-{t}.txt" for step in (6, best) for t in ("0.2", "0.5", "1", "1.2")}
    assert {file.name for file in (finished.path / "samples").iterdir()} == expected
    assert [(sample.step, sample.best) for sample in finished.heard.samples] == [(6, False)] * 4 + [(best, True)] * 4
    for sample in finished.heard.samples:
        name = f"step-{sample.step:08d}-temperature-{sample.temperature:g}.txt"
        assert (finished.path / "samples" / name).read_text() == f"{sample.seed_text}|{sample.text}\n"
        assert sample.seed_text in WORDS * 30
        assert (len(sample.seed_text), len(sample.text)) == (40, 400)


def test_train_draws_its_curves(finished: Run) -> None:
    assert matplotlib.image.imread(finished.path / "curves.png").shape[:2] == (675, 1200)


@pytest.mark.usefixtures("_no_texts")
@pytest.mark.parametrize(("seconds", "pictures"), [(0.0, 1), (6.0, 3)], ids=["fast", "slow"])
def test_train_draws_no_faster_than_somebody_looks(
    tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, seconds: float, pictures: int
) -> None:
    looks, drawn = itertools.count(), []
    clock = SimpleNamespace(monotonic=lambda: next(looks) * seconds)
    monkeypatch.setattr("charflow.model.training.chief.time", clock)
    monkeypatch.setattr("charflow.model.training.chief.plot_curves", lambda rows, *_, **__: drawn.append(len(rows)))
    train(changed(steps=4, evaluations=4), corpus, tmp_path / "a")
    assert len(drawn) == pictures
    assert drawn[-1] == 4


@pytest.fixture(scope="module")
def events(finished: Run) -> list:
    """What TensorBoard reads, (step, value) each."""
    (file,) = (finished.path / "logs").iterdir()
    all_events = tf.compat.v1.train.summary_iterator(str(file))
    return [(event.step, value) for event in all_events for value in event.summary.value]


def test_train_logs_its_evaluations_and_what_it_came_to(finished: Run, events: list) -> None:
    names = ("train_bits", "held_out_part_bits", "held_out_part_accuracy", "windows_per_second")
    expected = {(row["step"], name): row[name] for row in finished.heard.rows for name in names}
    result = finished.result
    expected[result.best_step, "held_out_bits"] = result.held_out.bits_per_char
    expected[result.best_step, "held_out_accuracy"] = result.held_out.accuracy
    tags = {name for _, name in expected}
    values = {(step, value.tag): float(tf.make_ndarray(value.tensor)) for step, value in events if value.tag in tags}
    assert values == pytest.approx(expected, rel=1e-5)


def test_train_logs_the_loss_and_the_learning_rate_of_its_steps(finished: Run, events: list) -> None:
    found = {
        name: [(step, float(tf.make_ndarray(value.tensor))) for step, value in events if value.tag == name]
        for name in ("step_train_bits", "learning_rate")
    }
    assert found["step_train_bits"] == [
        (report.step, pytest.approx(report.train_bits, rel=1e-5)) for report in finished.heard.reports
    ]
    rates = [learning_rate(CONFIG.training, step=step, progress=step / 60) for step in range(60)]
    assert found["learning_rate"] == [(step, pytest.approx(rate, rel=1e-5)) for step, rate in enumerate(rates, 1)]


def test_train_logs_its_samples_as_they_stand(finished: Run, events: list) -> None:
    texts = {
        (step, value.tag.removeprefix("samples/temperature ")): tf.make_ndarray(value.tensor).item().decode()
        for step, value in events
        if value.metadata.plugin_data.plugin_name == "text"
    }
    assert texts == {
        (sample.step, f"{sample.temperature:g}"): f"    {sample.seed_text}|{sample.text}"
        for sample in finished.heard.samples
    }


def test_train_logs_its_settings_so_that_runs_compare(finished: Run, events: list) -> None:
    infos = [
        plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for _, value in events
        if value.metadata.plugin_data.plugin_name == "hparams"
    ]
    begun, ended = infos
    settings = begun.session_start_info.hparams
    assert begun.session_start_info.group_name == finished.path.name
    assert settings["units"].number_value == 8
    assert settings["learning_rate"].number_value == 0.05
    assert settings["optimizer"].string_value == "adam"
    assert ended.session_end_info.status == api_pb2.STATUS_SUCCESS


def test_train_keeps_the_best_and_the_latest_checkpoint(finished: Run) -> None:
    assert checkpoint_name(finished.path, "latest") == "ckpt-60"
    best = min(finished.heard.rows, key=lambda row: row["held_out_part_bits"])["step"]
    assert checkpoint_name(finished.path, "best") == f"ckpt-{best}"


@pytest.fixture(scope="module")
def interrupted_and_resumed(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> tuple[Run, Run]:
    """The run of `finished`, with Ctrl-C after step 25."""
    path = tmp_path_factory.mktemp("runs") / "b"
    first = train(CONFIG, corpus, path, interrupt_at=25)
    return first, train(CONFIG, corpus, path, resume=True)


def test_an_interrupted_run_saves_where_it_stands(interrupted_and_resumed: tuple[Run, Run]) -> None:
    first, _ = interrupted_and_resumed
    assert (first.result.reason, first.result.step, first.result.held_out) == ("interrupted", 25, None)
    assert [report.step for report in first.heard.reports] == list(range(1, 26))
    assert [row["step"] for row in first.heard.rows] == [20]


def test_a_resumed_run_goes_on_where_it_stood(interrupted_and_resumed: tuple[Run, Run]) -> None:
    first, second = interrupted_and_resumed
    assert [report.step for report in second.heard.reports] == list(range(26, 61))
    assert second.heard.reports[0].elapsed > first.heard.reports[-1].elapsed
    assert second.result.reason == "finished"


def test_a_resumed_run_ends_with_the_weights_of_one_never_interrupted(
    finished: Run, interrupted_and_resumed: tuple[Run, Run]
) -> None:
    _, second = interrupted_and_resumed
    for which in ("latest", "best"):
        expected, found = checkpoint(finished.path, which), checkpoint(second.path, which)
        assert expected.keys() == found.keys()
        assert len(expected) > 10  # weights, Adam's moments, progress
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert second.result.held_out == finished.result.held_out


def test_a_resumed_run_has_the_losses_of_one_never_interrupted(
    finished: Run, interrupted_and_resumed: tuple[Run, Run]
) -> None:
    losses = [report.train_bits for run in interrupted_and_resumed for report in run.heard.reports]
    assert losses == [report.train_bits for report in finished.heard.reports]
    rows = RunDir(interrupted_and_resumed[1].path).read_metrics()
    for name in ("step", "held_out_part_bits", "held_out_part_accuracy", "learning_rate"):
        assert [row[name] for row in rows] == [row[name] for row in finished.heard.rows]


@pytest.mark.usefixtures("_no_texts")
def test_a_resumed_run_in_float16_goes_on_with_its_loss_scale(tmp_path: Path, corpus: Corpus) -> None:
    config = changed(precision="float16", steps=20, evaluations=1)
    whole = train(config, corpus, tmp_path / "whole")
    train(config, corpus, tmp_path / "parts", interrupt_at=9)
    train(config, corpus, tmp_path / "parts", resume=True)
    expected, found = checkpoint(whole.path), checkpoint(tmp_path / "parts")
    assert expected.keys() == found.keys()
    assert "optimizer/dynamic_scale/.ATTRIBUTES/VARIABLE_VALUE" in expected
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_train_leaves_ctrl_c_as_it_was(finished: Run, interrupted_and_resumed: tuple[Run, Run]) -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path, corpus: Corpus) -> None:
    trainer = trainer_of(CONFIG, corpus, tmp_path / "a", Recorder(interrupt_at=2, presses=2))
    with clock(1.0), pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not (tmp_path / "a" / "checkpoints" / "latest").exists()


@pytest.mark.parametrize(
    ("config", "reason", "while_"),
    [
        (changed(steps=4), "finished", "evaluating"),
        (changed(steps=4), "finished", "looking for copied text"),
        (
            changed(steps=200, evaluations=20, patience=2, schedule="constant", learning_rate=1e-9),
            "stopped early",
            "evaluating",
        ),
    ],
    ids=["finished", "looking for copies", "stopped early"],
)
def test_ctrl_c_while_the_end_is_judged_leaves_that_to_resume(
    tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, config: Config, reason: str, while_: str
) -> None:
    monkeypatch.setattr("charflow.model.evaluation.evaluation._COLUMNS", 16)
    monkeypatch.setattr("charflow.model.evaluation.copy_check._COMPARED_AT_ONCE", 64)
    heard = Recorder()

    def ending(doing: str, share: float = 0.0) -> None:
        if doing.startswith(while_) and not heard.endings:
            heard.endings.append(doing)
            os.kill(os.getpid(), signal.SIGINT)

    heard.ending = ending
    trainer = trainer_of(config, corpus, tmp_path / "a", heard)
    with clock(1.0):
        cut = trainer.train()
    assert (cut.reason, cut.held_out) == ("interrupted", None)
    run = train(config, corpus, tmp_path / "a", resume=True)
    assert (run.result.reason, run.result.step) == (reason, cut.step)
    assert run.result.held_out
    assert run.heard.resumptions == [cut.step]
    assert len(RunDir(tmp_path / "a").read_losses()) == cut.step


@pytest.mark.usefixtures("_no_texts")
def test_ctrl_c_in_the_last_step_does_not_cost_the_end_of_the_run(tmp_path: Path, corpus: Corpus) -> None:
    run = train(changed(steps=4), corpus, tmp_path / "a", interrupt_at=4)
    assert (run.result.reason, run.result.signal) == ("finished", signal.SIGINT)
    assert [row["step"] for row in RunDir(run.path).read_metrics()][-1] == 4
    assert checkpoint_name(run.path, "latest") == "ckpt-4"


def test_resume_of_a_run_that_reached_its_end_says_what_to_do(finished: Run, corpus: Corpus) -> None:
    trainer = trainer_of(CONFIG, corpus, finished.path, Recorder())
    message = r"/a has already been trained to its end \(60 steps, \d+ s\): give a higher epochs, steps or time_l"
    with pytest.raises(UserError, match=message):
        trainer.resume()


def test_a_run_killed_after_its_last_step_is_finished_on_resuming(tmp_path: Path, corpus: Corpus) -> None:
    config = changed(steps=6, evaluations=2)
    whole = train(config, corpus, tmp_path / "whole")
    run_dir = RunDir(shutil.copytree(whole.path, tmp_path / "killed"))
    rows = run_dir.metrics_file.read_text().splitlines(keepends=True)
    run_dir.metrics_file.write_text("".join(rows[:-1]))  # as it was just before the last evaluation
    run_dir.result_file.unlink()
    resumed = train(config, corpus, run_dir.path, resume=True)
    assert (resumed.result.reason, resumed.result.step) == ("finished", 6)
    assert resumed.result.held_out == whole.result.held_out
    assert resumed.heard.samples
    assert [row["step"] for row in run_dir.read_metrics()] == [3, 6]
    with pytest.raises(UserError, match="has already been trained to its end"):
        trainer_of(config, corpus, run_dir.path, Recorder()).resume()


def test_a_stop_that_falls_on_an_evaluation_does_not_lose_it(tmp_path: Path, corpus: Corpus) -> None:
    train(changed(steps=6, evaluations=2), corpus, tmp_path / "a", interrupt_at=3)
    assert [row["step"] for row in RunDir(tmp_path / "a").read_metrics()] == [3]
    assert RunDir(tmp_path / "a").curves_file.exists()


@pytest.mark.usefixtures("_no_texts")
def test_losses_that_a_power_cut_took_leave_a_gap(tmp_path: Path, corpus: Corpus) -> None:
    train(changed(steps=6), corpus, tmp_path / "a", interrupt_at=4)
    run_dir = RunDir(tmp_path / "a")
    whole = run_dir.read_losses()
    os.truncate(run_dir.losses_file, 8)
    train(changed(steps=6), corpus, tmp_path / "a", resume=True)
    found = run_dir.read_losses()
    np.testing.assert_array_equal(np.isnan(found), [False, False, True, True, False, False])
    np.testing.assert_array_equal(found[:2], whole[:2])


@pytest.mark.usefixtures("_no_texts")
def test_resume_without_a_checkpoint_begins_at_the_first_step(tmp_path: Path, corpus: Corpus, finished: Run) -> None:
    trainer_of(CONFIG, corpus, tmp_path / "a", Recorder())  # whose process was killed
    run = train(CONFIG, corpus, tmp_path / "a", resume=True)
    assert (run.heard.resumptions, run.result.step) == ([0], 60)
    expected, found = checkpoint(finished.path), checkpoint(run.path)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.mark.usefixtures("_no_texts")
def test_resume_forgets_metrics_after_the_checkpoint(tmp_path: Path, corpus: Corpus) -> None:
    run = train(changed(steps=3, evaluations=3), corpus, tmp_path / "a")
    RunDir(run.path).append_metrics({"step": 5})
    trainer_of(changed(steps=9), corpus, run.path, Recorder()).resume()
    assert [row["step"] for row in RunDir(run.path).read_metrics()] == [1, 2, 3]


@pytest.fixture(scope="module")
def stopped_early(tmp_path_factory: pytest.TempPathFactory, misleading: Corpus) -> Run:
    config = changed(steps=200, evaluations=20, patience=2, schedule="constant")
    return train(config, misleading, tmp_path_factory.mktemp("runs") / "a")


def test_train_stops_when_evaluations_do_not_improve(stopped_early: Run) -> None:
    bits = [row["held_out_part_bits"] for row in stopped_early.heard.rows]
    assert stopped_early.result.reason == "stopped early"
    assert len(bits) < 20
    assert min(bits) == bits[-3]  # two evaluations without improvement after the best one
    assert [row["step"] for row in stopped_early.heard.rows] == list(range(10, 10 * len(bits) + 1, 10))


def test_train_that_stopped_early_has_the_best_weights_in_the_end(stopped_early: Run) -> None:
    best = stopped_early.heard.rows[-3]
    assert checkpoint_name(stopped_early.path, "best") == f"ckpt-{best['step']}"
    assert stopped_early.result.held_out.bits_per_char == pytest.approx(best["held_out_part_bits"], abs=1e-6)


def test_train_reports_the_weights_in_the_end_that_are_loaded_afterwards(stopped_early: Run) -> None:
    best, generator = stopped_early.heard.rows[-3], Generator.load(stopped_early.path)
    result = stopped_early.result
    assert (result.best_step, result.train_bits) == (best["step"], best["train_bits"])
    last = [sample for sample in stopped_early.heard.samples if sample.best]
    assert [sample.step for sample in last] == [best["step"]] * 4
    for sample in last:
        (expected,) = generator.generate(sample.seed_text, seed=4, temperature=sample.temperature, max_chars=400)
        assert sample.text == expected.text


def test_train_scores_a_part_while_it_trains_and_everything_in_the_end(
    tmp_path: Path, make_corpus: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charflow.model.training.chief.PART", 10)
    corpus = make_corpus(WORDS * 30, WORDS * 2 + "dcba " * 4)
    run = train(changed(steps=40), corpus, tmp_path / "a")
    evaluate = Evaluator(make_decoder(load_network(RunDir(run.path)), "stream", 8))
    (row,) = (row for row in run.heard.rows if row["step"] == run.result.best_step)
    assert run.result.held_out == evaluate(corpus.held_out_ids, before=corpus.train_ids)
    assert row["held_out_part_bits"] == evaluate(corpus.held_out_ids[:10], before=corpus.train_ids).bits_per_char
    assert row["held_out_part_characters"] == 10
    assert run.result.held_out.bits_per_char > 2 * row["held_out_part_bits"]
    assert RunDir(run.path).read_result() == {
        "step": 40,
        "reason": "finished",
        "best_step": run.result.best_step,
        "held_out": asdict(run.result.held_out),
        "memorisation": asdict(run.result.memorisation),
    }


@pytest.mark.usefixtures("_no_texts")
def test_train_with_nothing_known_held_out_goes_by_the_training_loss(tmp_path: Path, corpus: Corpus) -> None:
    strange = replace(corpus, ids=np.concatenate([corpus.train_ids, np.zeros(9, np.uint8)]))
    run = train(changed(steps=4), strange, tmp_path / "a")
    assert run.result.held_out is None
    assert {row["held_out_part_bits"] for row in run.heard.rows} == {None}


def test_train_result_counts_the_steps_done_though_the_best_weights_are_older(stopped_early: Run) -> None:
    last = stopped_early.heard.rows[-1]
    assert stopped_early.result.step == last["step"]
    assert stopped_early.result.elapsed >= last["elapsed"]


def test_train_best_by_training_does_not_look_at_the_held_out_text(tmp_path: Path, misleading: Corpus) -> None:
    config = changed(steps=2 * PER_EPOCH, evaluations=2, best_by="training", sample_every=1)
    run = train(config, misleading, tmp_path / "a")
    assert checkpoint_name(run.path, "best") == "ckpt-12"
    assert run.heard.rows[1]["train_bits"] < run.heard.rows[0]["train_bits"]
    assert {sample.step for sample in run.heard.samples} == {6, 12}  # after every epoch


def test_train_without_held_out_text_goes_by_the_training_loss(tmp_path: Path, make_corpus: Callable) -> None:
    run = train(changed(steps=0, epochs=2, evaluations=2), make_corpus(WORDS * 30), tmp_path / "a")
    assert run.result.held_out is None
    assert run.result.step == 2 * PER_EPOCH
    assert [(row["held_out_part_bits"], row["held_out_part_accuracy"]) for row in run.heard.rows] == [(None, None)] * 2
    assert checkpoint_name(run.path, "best") == "ckpt-12"
    assert (run.path / "curves.png").exists()


@pytest.mark.usefixtures("_no_texts")
def test_train_ends_at_its_time_limit(tmp_path: Path, corpus: Corpus) -> None:
    run = train(changed(steps=0, time_limit=60.0, evaluations=2), corpus, tmp_path / "a")
    *earlier, last = [report.elapsed for report in run.heard.reports]
    assert run.result.reason == "finished"
    assert max(earlier) < 60 <= last
    assert run.heard.reports[-1].progress == 1
    assert len(run.heard.rows) == 2
    assert run.heard.rows[-1]["learning_rate"] < 0.1 * CONFIG.training.learning_rate  # the cosine came down in time


@pytest.mark.usefixtures("_no_texts")
@pytest.mark.parametrize("tick", [1.0, 1e-5], ids=["slow machine", "fast machine"])
def test_train_spreads_its_evaluations_evenly_on_any_machine(tmp_path: Path, corpus: Corpus, tick: float) -> None:
    run = train(changed(steps=40, evaluations=4), corpus, tmp_path / "a", tick=tick)
    assert [row["step"] for row in run.heard.rows] == [10, 20, 30, 40]


@pytest.mark.usefixtures("_no_texts")
def test_train_with_fewer_windows_than_a_batch_uses_them_all(tmp_path: Path, make_corpus: Callable) -> None:
    run = train(changed(steps=4), make_corpus(WORDS * 4, WORDS), tmp_path / "a")
    (plan,) = run.heard.plans
    assert (plan.windows, plan.batch_size, plan.steps_per_epoch) == (4, 4, 1)
    assert run.result.step == 4
    assert run.heard.reports[0].train_bits == pytest.approx(np.log2(6), abs=0.5)
    assert [report.windows_per_second for report in run.heard.reports] == [4] * 4


def test_train_on_a_text_shorter_than_a_window_says_so(tmp_path: Path, make_corpus: Callable) -> None:
    message = r"^The text has 5 characters: too short for one window of 8 and the character after it\. Take more "
    with pytest.raises(UserError, match=message):
        trainer_of(CONFIG, make_corpus(WORDS, WORDS * 30), tmp_path / "a", Recorder())


# Adam moves every weight by about the learning rate, so one step takes the logits out of float32.
ENDLESS = {"learning_rate": 3e38, "clip_norm": 0.0, "warmup_steps": 0, "schedule": "constant"}


def test_train_whose_loss_is_no_number_says_what_to_do(tmp_path: Path, corpus: Corpus) -> None:
    trainer = trainer_of(changed(**ENDLESS, evaluations=1), corpus, tmp_path / "a", Recorder())
    message = (
        r"^The loss diverged after step \d: it is \S+ bits per character, where guessing takes 2\.58; start a new run"
        r" with a lower learning_rate \(it is 3e\+38\) or with clip_norm=1\."
        r" No checkpoint was saved yet\.$"
    )
    with clock(1.0), pytest.raises(UserError, match=message):
        trainer.train()


@pytest.mark.usefixtures("_no_texts")
@pytest.mark.parametrize("evaluations", [1, 60], ids=["between evaluations", "with an evaluation after each step"])
def test_train_whose_loss_is_no_number_keeps_the_checkpoint_before(
    tmp_path: Path, corpus: Corpus, evaluations: int
) -> None:
    sane = changed(steps=2, evaluations=1)
    path = train(sane, corpus, tmp_path / "a").path
    before = checkpoint(path)
    trainer = trainer_of(changed(**ENDLESS, evaluations=evaluations), corpus, path, Recorder())
    trainer.resume()
    message = r"(The best checkpoint, of step 2, is intact|No checkpoint of it is better than guessing)\.$"
    with clock(1.0), pytest.raises(UserError, match=message):
        trainer.train()
    assert checkpoint_name(path, "latest") == "ckpt-2"
    after = checkpoint(path)
    for name in before:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert all(np.isfinite(row["held_out_part_bits"]) for row in RunDir(path).read_metrics())


@pytest.mark.usefixtures("_no_texts")
def test_train_that_is_far_worse_than_guessing_stops_and_keeps_what_was_good(tmp_path: Path, corpus: Corpus) -> None:
    path = train(changed(steps=40, evaluations=2), corpus, tmp_path / "a").path
    wild = changed(optimizer="adam", learning_rate=1e3, clip_norm=0.0, schedule="constant", steps=400, evaluations=1)
    trainer = trainer_of(wild, corpus, path, Recorder())
    trainer.resume()
    message = (
        r"^The loss diverged after step 14\d: it is \S+ bits per character, where guessing takes 2\.58; start a new run"
        r" with a lower learning_rate \(it is 1000\) or with clip_norm=1\. The best checkpoint, of step \d+, is"
        r" intact\.$"
    )
    with clock(1.0), pytest.raises(DivergedError, match=message):
        trainer.train()
    assert RunDir(path).read_result()["step"] == 40
    assert RunDir(path).figures_of(best_step(path / "checkpoints"))["held_out"]["bits_per_char"] < 1


def test_train_that_ends_far_worse_than_guessing_does_not_finish(tmp_path: Path, corpus: Corpus) -> None:
    wild = changed(learning_rate=1e3, clip_norm=0.0, warmup_steps=0, schedule="constant", steps=12, evaluations=3)
    trainer = trainer_of(wild, corpus, tmp_path / "a", Recorder())
    with clock(1.0), pytest.raises(DivergedError, match=r"No checkpoint of it is better than guessing\.$"):
        trainer.train()
    assert RunDir(tmp_path / "a").read_result() == {}


@pytest.mark.usefixtures("_no_texts")
@pytest.mark.parametrize("text", ["a" * 60, "ab" * 40, WORDS * 30], ids=["one character", "two", "five"])
@pytest.mark.parametrize("steps", [1, 3])
def test_train_of_a_few_steps_is_no_divergence(tmp_path: Path, make_corpus: Callable, text: str, steps: int) -> None:
    result = train(changed(steps=steps), make_corpus(text, text[:20]), tmp_path / "a").result
    assert result.reason == "finished"
    assert result.guess_bits == pytest.approx(np.log2(len(set(text))))


def test_train_that_cannot_write_its_metrics_says_so(
    tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(changed(steps=1), corpus, tmp_path / "a", Recorder())
    monkeypatch.setattr(RunDir, "append_metrics", lambda *_: Path("/dev/full").write_text("x"))
    with clock(1.0), pytest.raises(UserError, match=r"No space left on device"):
        trainer.train()


MIRRORED = """
import json, sys
from dataclasses import replace
from itertools import product
from pathlib import Path
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from charflow.model.config import Config, NetworkConfig, TrainingConfig
from charflow.model.evaluation.memorisation import Memorisation
from charflow.model.run.run_dir import RunDir
from charflow.model.training import chief
from charflow.model.training.start import start_run
from charflow.model.training.timetable import Timetable
from charflow.model.training_text import TextInMemory
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.errors import UserError
from charflow.pipeline.vocabulary import Vocabulary

Timetable.call_size = lambda *_, **__: 1  # a report a step
chief.SampleWriter.__call__ = lambda *_, **__: iter([])  # what one device does alone: nothing of it is looked at here
chief.memorised = lambda *_: Memorisation(0, 0, {}, 0, 0, "", "", None)
chief.plot_curves = lambda *_, **__: None

class Silent:
    planned = evaluated = sampled = ending = counting = lambda self, *_: None
    def advanced(self, report):
        losses.append((report.step, report.train_bits))

vocabulary = Vocabulary("abcd ")
text = "abcd " * 36
corpus = Corpus(vocabulary.encode(text), 150, vocabulary, 2, {}, 2, 1)
training = TrainingConfig(window_length=8, batch_size=8, learning_rate=0.05, warmup_steps=0, steps=12, evaluations=1)
one, two = tf.distribute.OneDeviceStrategy("/cpu:0"), tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
found = {}
kinds = {
    "": {},
    " drops": {},
    " half": {"precision": "float16"},
    " plain": {"optimizer": "sgd", "learning_rate": 1.0, "clip_norm": 0.0},  # whose step is as long as the gradient
    " clips": {"optimizer": "sgd", "learning_rate": 1.0, "clip_norm": 0.1},
}
for (strategy, prefix), (kind, changes) in product(((one, "one"), (two, "two")), kinds.items()):
    losses, name = [], prefix + kind
    network = NetworkConfig(units=8, dropout=0.5 if kind == " drops" else 0.0)
    config = Config(network=network, training=replace(training, **changes))
    result = start_run(config, TextInMemory(corpus), RunDir(Path(sys.argv[1]) / name), strategy, Silent())
    found[name] = {"losses": losses, "held_out": result.held_out.bits_per_char, "reason": result.reason}
try:
    uneven = replace(config, training=replace(training, batch_size=7))
    start_run(uneven, TextInMemory(corpus), RunDir(Path(sys.argv[1]) / "uneven"), strategy, Silent())
except UserError as error:
    found["uneven"] = str(error)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The same runs on one device and on two, in a process of its own: TensorFlow makes devices when it starts."""
    command = [sys.executable, "-c", MIRRORED, str(tmp_path_factory.mktemp("mirrored"))]
    process = forked.run(command)
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("one", "two", "tolerance"),
    [
        ("one", "two", 1e-4),
        ("one drops", "two drops", 1e-4),
        ("one half", "two half", 0.01),
        ("one", "one half", 0.01),
        ("one plain", "two plain", 1e-4),
        ("one clips", "two clips", 1e-4),
    ],
    ids=["adam", "dropout", "float16", "float16 and float32", "sgd", "clipped"],
)
def test_two_replicas_train_as_one_device_does(mirrored: dict, one: str, two: str, tolerance: float) -> None:
    alone, shared = mirrored[one], mirrored[two]
    assert [step for step, _ in shared["losses"]] == list(range(1, 13))
    np.testing.assert_allclose(shared["losses"], alone["losses"], atol=tolerance)
    assert shared["losses"][-1][1] < 0.95 * shared["losses"][0][1]
    assert shared["held_out"] == pytest.approx(alone["held_out"], abs=tolerance)
    assert alone["reason"] == shared["reason"] == "finished"


def test_two_replicas_refuse_a_batch_they_cannot_share(mirrored: dict) -> None:
    assert mirrored["uneven"] == "2 replicas cannot share a batch of 7: set batch_size to 8."
