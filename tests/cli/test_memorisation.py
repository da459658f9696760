"""What a trained run has learned by heart, from train to the model card: planted 200 times, and never."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from charflow.cli.app import run as charflow
from charflow.export.model_card import make_model_card
from charflow.model.decoding.generator import Generator
from charflow.model.decoding.settings import SamplingSettings
from charflow.model.run.run_dir import RunDir
from tests.support import made_once

QUICK = ["--units", "64", "--steps", "150", "--evaluations", "1", "--no-cache", "--learning-rate", "0.02"]


@pytest.fixture(scope="module", params=[200, 0], ids=["planted 200 times", "never planted"])
def planted(request: pytest.FixtureRequest, sample_chat: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a small chat with three canaries."""
    canaries = ["--canaries", "3", "--canary-repeats", str(request.param)]

    def make(folder: Path) -> None:
        assert charflow(["train", sample_chat, "--out", str(folder / "run"), *QUICK, *canaries]) == 0

    return made_once(tmp_path_factory, f"canaries-{request.param}", make) / "run"


@pytest.mark.slow
def test_a_canary_is_known_when_it_was_planted_often_and_not_when_never(planted: Path) -> None:
    run = RunDir(planted)
    report = run.read_result()["memorisation"]
    repeats, found = report["canaries"]["repeats"], report["canaries"]
    assert (found["canaries"], len(found["bits"]), found["known"]) == (3, 3, 3 if repeats else 0)
    assert (min(found["bits"]) > found["limit"]) == (repeats == 200)
    assert (max(found["bits"]) > found["limit"]) == (repeats == 200)


@pytest.mark.slow
def test_a_run_says_wherever_it_is_described_that_text_was_planted(planted: Path, call: Callable) -> None:
    run = RunDir(planted)
    repeats = run.load()[0].training.canary_repeats
    assert run.load()[0].training.canaries == 3
    assert run.corpus_facts()["planted"] == {"canaries": 3, "repeats": repeats, "characters": 3 * repeats * 30}
    generator = Generator.load(planted)
    card = make_model_card(run, 1, generator.text_model, SamplingSettings(), "stream", reference=generator)
    assert card["data"]["planted"]["repeats"] == repeats
    assert card["memorisation"]["canaries"] == run.read_result()["memorisation"]["canaries"]
    assert "text" not in card["memorisation"]
    figures = call("evaluate", planted, "--no-cache", "--json").json
    assert figures["memorisation"] == run.read_result()["memorisation"]
    shown = " ".join(call("evaluate", planted, "--no-cache").out.split())
    assert f"planted {3 if repeats else 0} of 3 numbers known, each {repeats} times in the training text" in shown


@pytest.mark.slow
def test_a_resumed_run_keeps_its_canaries(planted: Path, sample_chat: str, tmp_path: Path, call: Callable) -> None:
    run = RunDir(tmp_path / "run")
    shutil.copytree(planted, run.path)
    resume = ["train", sample_chat, "--out", run.path, "--resume", "--steps", "151", "--no-cache"]
    assert "leave --canaries out" in call(*resume, "--canaries", "4").err
    found = call(*resume, "--json").json["memorisation"]["canaries"]
    before = RunDir(planted).read_result()["memorisation"]["canaries"]
    assert {**found, "bits": []} == {**before, "bits": []}
    assert run.corpus_facts() == RunDir(planted).corpus_facts()


def test_export_warns_of_what_a_model_knows_by_heart(
    trained_run: Path, tmp_path: Path, call: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.symlink_to(trained_run)
    report = {
        "run_length": 50,
        "copied": {"0.5": 0.2, "1": 0.0},
        "longest": 63,
        "text": "my door code is",
        "place": "message 7 of the training text",
        "canaries": None,
    }
    monkeypatch.setattr("charflow.model.evaluation.memorisation.report_of", lambda run: report)
    monkeypatch.setattr("charflow.export.publish.export_run", lambda run, base, **_: base / "1")
    done = call("export", own, "--to", tmp_path / "models")
    assert done.status == 0
    assert done.err == (
        "charflow: warning: 20.0% of what the model writes stands in its training text in runs of 50 characters and "
        "more; the longest, 63 characters, is in message 7 of the training text: 'my door code is'.\n"
    )
    monkeypatch.setattr("charflow.model.evaluation.memorisation.report_of", lambda run: None)
    assert call("export", own, "--to", tmp_path / "models").err == ""


def test_train_and_evaluate_tell_the_same_report(trained_run: Path, call: Callable) -> None:
    report = json.loads(RunDir(trained_run).result_file.read_text())["memorisation"]
    assert report["canaries"] is None
    shown = " ".join(call("evaluate", trained_run, "--no-cache").out.split())
    copied = f"{report['copied']['0.5']:.2%} at temperature 0.5 and {report['copied']['1']:.2%} at temperature 1"
    assert f"copied {copied} of what it writes" in shown
