"""Every held-out figure of one run, wherever it is printed: one name, one figure; a part says that it is one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from charflow.model.run.checkpoints import best_step
from charflow.model.run.run_dir import RunDir

PART, WHOLE = 100, 400  # characters; the chat has more held out than both
SMALL = ["--user", "mira", "--units", 8, "--window-length", 10, "--batch-size", 8, "--evaluations", 3, "--seed", 1]


@pytest.fixture(autouse=True)
def short_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a tail of some hundred characters be long."""
    monkeypatch.setattr("charflow.model.training.chief.PART", PART)
    monkeypatch.setattr("charflow.model.evaluation.evaluation.PART", PART)
    for place in ("training.chief", "evaluation.evaluation", "evaluation.run_evaluation"):
        monkeypatch.setattr(f"charflow.model.{place}.MOST_SCORED", WHOLE)


_once: list[tuple[Path, dict]] = []  # the run of `finished`, of which the others are copies, and its figures


def finished(call: Callable, chat: str, run: Path) -> dict:
    if not _once:
        _once.append((run, call("train", chat, "--out", run, *SMALL, "--steps", 12, "--json").json))
    whole, figures = _once[0]
    if run != whole:
        shutil.copytree(whole, run)
    return figures


def resumed(call: Callable, chat: str, run: Path) -> dict:
    finished(call, chat, run)
    return call("train", chat, "--out", run, "--resume", "--steps", 18, "--json").json


def stopped_early(call: Callable, chat: str, run: Path) -> dict:
    options = [*SMALL[:-4], "--evaluations", 30, "--patience", 1, "--learning-rate", 0.5, "--clip-norm", 0]
    return call("train", chat, "--out", run, *options, "--warmup-steps", 0, "--steps", 60, "--json").json


def prepared(call: Callable, chat: str, run: Path) -> dict:
    corpus = run.parent / "corpus"
    assert call("prepare", chat, "--user", "mira", "--to", corpus).status == 0
    return call("train", corpus, "--out", run, "--streaming", *SMALL[2:], "--steps", 12, "--json").json


@pytest.mark.slow
@pytest.mark.parametrize("train", [finished, resumed, stopped_early, prepared], ids=lambda train: train.__name__)
def test_every_figure_of_everything_held_out_is_the_one_that_evaluate_prints(
    train: Callable, call: Callable, sample_chat: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    figures = train(call, sample_chat, run)
    assert figures["reason"] == train.__name__.replace("_", " ") or figures["reason"] == "finished"
    judged = call("evaluate", run, "--json").json
    assert (judged["bits_per_char"], judged["accuracy"], judged["characters"]) == (
        figures["bits_per_char"],
        figures["accuracy"],
        figures["held_out_characters"],
    )
    assert judged["characters"] + judged["unknown_characters"] == WHOLE
    metrics = RunDir(run).figures_of(best_step(run / "checkpoints"))  # what the model card has
    assert metrics["held_out"]["bits_per_char"] == judged["bits_per_char"]
    (row,) = (row for row in RunDir(run).read_metrics() if row["step"] == figures["best_step"])
    assert metrics["step"] == figures["best_step"]
    assert metrics["held_out_part"]["bits"] == row["held_out_part_bits"] != judged["bits_per_char"]
    assert metrics["held_out_part"]["characters"] == row["held_out_part_characters"] == PART


@pytest.mark.slow
def test_what_train_and_evaluate_show_is_the_same_figure(call: Callable, sample_chat: str, tmp_path: Path) -> None:
    trained = call("train", sample_chat, "--out", tmp_path / "run", *SMALL, "--steps", 6)
    shown = call("evaluate", tmp_path / "run")
    (held_out,) = (line for line in trained.out.splitlines() if line.startswith("held out"))
    (model,) = (line for line in shown.out.splitlines() if line.startswith("charflow (stream)"))
    bits, _, scored = held_out.removeprefix("held out").strip().partition(" bits per character, ")
    assert f"{float(bits):.3f}" == model.split()[-1]
    total = RunDir(tmp_path / "run").corpus_facts()["held_out_characters"]
    assert scored.endswith(f"on {WHOLE} characters, the first {WHOLE} of {total:,}")
    assert scored in shown.out
    assert f"Bits per character (* on the first {PART} of {total:,} characters):" in trained.err
    assert "held out*" in trained.err


@pytest.mark.slow
def test_a_run_that_was_interrupted_has_the_figure_of_a_part_only(
    call: Callable, sample_chat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    finished(call, sample_chat, run)
    (run / "result.json").unlink()  # as Ctrl-C leaves it
    metrics = RunDir(run).figures_of(best_step(run / "checkpoints"))
    assert metrics["held_out"] is None
    assert metrics["held_out_part"]["characters"] == PART


@pytest.mark.slow
def test_a_sweep_compares_trials_by_what_evaluate_prints(call: Callable, sample_chat: str, tmp_path: Path) -> None:
    search = ["--search", "units=4:8", "--search", "window_length=8", "--search", "batch_size=8"]
    options = ["--user", "mira", "--trials", 2, "--time-limit", 1.5]
    found = call("sweep", sample_chat, "--out", tmp_path / "s", *options, *search, "--json").json
    best = min(trial["bits"] for trial in found["trials"])
    assert call("evaluate", found["run"], "--json").json["bits_per_char"] == best
    assert f"{best:.4f} held-out bits per character" in Path(found["config"]).read_text()
    assert json.loads((Path(found["run"]) / "result.json").read_text())["held_out"]["bits_per_char"] == best
