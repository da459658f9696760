"""`charflow bench` on small networks: every strategy and batch is there, and figures hang together."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from charflow.benchmarks import limits, training
from charflow.pipeline.cores import usable_cores
from tests import forked

SMALL = ["--units", 16, "--window-length", 20, "--batch-size", 8, "--seconds", 0.2, "--user", "mira"]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has products and the recipe measured on little: what is looked at here is which figures there are."""
    monkeypatch.setitem(limits._SIDE, "CPU", 64)
    monkeypatch.setattr(training, "_RECIPE_BATCHES", 2)


@pytest.fixture
def _forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the processes that are measured forked; who forks them cannot bind them to the life of this one."""
    module = "charflow.model.distributed.worker_process"
    monkeypatch.setattr(f"{module}._prctl", None)
    monkeypatch.setattr(f"{module}.subprocess", SimpleNamespace(Popen=forked.Popen, DEVNULL=subprocess.DEVNULL))


@pytest.mark.slow
@pytest.mark.usefixtures("_forked_workers")
def test_bench_measures_one_device_and_two_processes(call, sample_chat: str) -> None:
    done = call("bench", "train", sample_chat, *SMALL, "--workers", 2, "--turns", 2, "--json")
    assert (done.status, done.err) == (0, "")
    assert done.json["machine"]["cores"] == usable_cores()
    strategies, gradients, recipe = done.json["benches"]["train"]
    assert [way["name"] for way in strategies["ways"] if way["kind"] == "charflow"] == [
        "charflow, one CPU",
        "charflow, 2 processes",
    ]
    assert {len(way["figures"]) for each in (strategies, gradients, recipe) for way in each["ways"]} == {2}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_bench_prints_a_table(call, sample_chat: str, precision: str) -> None:
    options = ["--workers", 0, "--precision", precision, "--cell", "gru", "--turns", 1]
    head, row, *rest = call("bench", "train", sample_chat, *SMALL, *options).out.splitlines()
    assert head.split() == ["training,", "windows/s", "median", "least", "to", "most", "charflow", "is"]
    assert row.split()[:3] == ["charflow,", "one", "CPU"]
    assert sum(line.startswith("limit: products alone") and line.endswith("%") for line in rest) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("_forked_workers")
@pytest.mark.skipif(usable_cores() < 2, reason="one core: by default nothing is measured in several processes")
def test_bench_says_once_what_the_processes_cannot_do(call, sample_chat: str) -> None:
    done = call("bench", "train", sample_chat, *SMALL, "--batch-size", 9)
    assert (done.status, done.out) == (2, "")
    assert done.err == "charflow: 2 replicas cannot share a batch of 9: set --batch-size to 8.\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seconds", "0"], "--seconds must be above 0, not 0."),
        (["--seconds", "nan"], "--seconds must be a finite number above 0, not nan."),
        (["--workers", "-1"], "--workers must be at least 0, not -1."),
        (["--precision", "float8"], "precision"),
        (["--user", "nobody"], "No messages from user 'nobody'"),
    ],
    ids=str,
)
def test_bench_refuses(call, sample_chat: str, options: list[str], message: str) -> None:
    done = call("bench", "train", sample_chat, *options)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_bench_of_a_missing_file_names_it(call) -> None:
    assert call("bench", "train", "nowhere.csv").err == "charflow: nowhere.csv: no such file.\n"


DECODE = ["bench", "decode", "--units", 8, "--chars", 5, "--turns", 1, "--no-xla"]


@pytest.fixture
def short_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe writes one character: it takes a long time to."""
    monkeypatch.setattr("charflow.benchmarks.decoding._RECIPE_CHARS", 1)


@pytest.mark.slow
@pytest.mark.usefixtures("short_recipe")
def test_bench_decode_has_a_table_for_each_batch(call) -> None:
    lines = call(*DECODE).out.splitlines()
    heads = [line.split(",")[0] for line in lines if "characters/s" in line]
    assert heads == [
        "writing one text",
        *(f"writing {n} texts at once" for n in (2, 8, 64)),
        "writing 64 texts of different lengths",
        "writing with the recipe's network",
    ]
    assert not [line for line in lines if "XLA" in line]


@pytest.mark.slow
@pytest.mark.usefixtures("short_recipe")
def test_bench_decode_prints_json(call) -> None:
    batch, *others = call(*DECODE, "--batch-size", 3, "--json").json["benches"]["decode"]
    assert batch["what"] == "writing 3 texts at once"
    assert [way["name"] for way in batch["ways"]] == ["charflow", "a bare loop", "products alone"]
    assert [each["ways"][-1]["name"] for each in others] == ["texts of the same length", "recipe"]


def test_bench_serve_of_no_model_names_the_folder(call, tmp_path: Path) -> None:
    done = call("bench", "serve", tmp_path)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"charflow: {tmp_path}: no version of a model there")


@pytest.mark.parametrize("option", ["--batch-size", "--chars", "--turns"])
def test_bench_decode_refuses_nothing_to_measure(call, option: str) -> None:
    done = call("bench", "decode", option, 0)
    assert (done.status, done.out, done.err) == (2, "", f"charflow: {option} must be at least 1, not 0.\n")
