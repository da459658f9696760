"""`charflow bench` on small networks: every strategy and batch is there, and figures hang together."""

import subprocess
from types import SimpleNamespace

import pytest

from charflow.pipeline.cores import usable_cores
from tests import forked

SMALL = ["--units", 16, "--window-length", 20, "--batch-size", 8, "--seconds", 0.2, "--user", "mira"]


@pytest.fixture
def _forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the processes that are measured forked; who forks them cannot bind them to the life of this one."""
    module = "charflow.model.distributed.worker_process"
    monkeypatch.setattr(f"{module}._prctl", None)
    monkeypatch.setattr(f"{module}.subprocess", SimpleNamespace(Popen=forked.Popen, DEVNULL=subprocess.DEVNULL))


@pytest.mark.slow
@pytest.mark.usefixtures("_forked_workers")
def test_bench_measures_one_device_and_two_processes(call, sample_chat: str) -> None:
    done = call("bench", "train", sample_chat, *SMALL, "--workers", 2, "--json")
    assert (done.status, done.err) == (0, "")
    assert done.json["batch_size"] == 8
    one, two = done.json["strategies"]["one CPU"], done.json["strategies"]["2 processes"]
    assert (one["strategy"], one["replicas"]) == ("OneDeviceStrategy", 1)
    assert (two["strategy"], two["replicas"]) == ("MultiWorkerMirroredStrategy", 2)
    for each in (one, two):
        assert each["labels_per_second"] == pytest.approx(20 * each["windows_per_second"])
        assert each["windows_per_second"] == pytest.approx(8e3 / each["milliseconds_per_step"])
        assert 0 < each["share_of_peak"] < 1


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_bench_prints_a_table(call, sample_chat: str, precision: str) -> None:
    done = call("bench", "train", sample_chat, *SMALL, "--workers", 0, "--precision", precision, "--cell", "gru")
    head, *rows = done.out.splitlines()
    assert head.split() == ["strategy", "windows/s", "labels/s", "ms/step", "GFLOP/s", "of", "the", "peak"]
    assert [row.split()[:3] for row in rows] == [["OneDeviceStrategy", "(one", "CPU)"]]


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


@pytest.mark.slow
def test_bench_decode_has_a_row_for_each_batch(call) -> None:
    done = call(*DECODE)
    head, *rows = done.out.splitlines()
    names = ["texts", "characters/s", "bare", "loop", "ratio", "XLA", "bare,", "XLA", "of", "the", "products"]
    assert head.split() == names
    assert [row.split()[0] for row in rows] == ["1", "2", "8", "64"]
    assert {column for row in rows for column in row.split()[4:6]} == {"-"}


@pytest.mark.slow
def test_bench_decode_prints_json(call) -> None:
    done = call(*DECODE, "--batch-size", 3, "--json")
    (batch,) = done.json["batches"]
    assert (done.json["units"], batch["batch_size"]) == (8, 3)
    assert (batch["bare_loop_xla"], batch["written_xla"]) == (None, None)


@pytest.mark.parametrize("option", ["--batch-size", "--chars", "--turns"])
def test_bench_decode_refuses_nothing_to_measure(call, option: str) -> None:
    done = call("bench", "decode", option, 0)
    assert (done.status, done.out, done.err) == (2, "", f"charflow: {option} must be at least 1, not 0.\n")
