"""Fixtures that several packages' tests share, and which tests are slow."""

import gc
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pandas as pd
import pytest

from tests import forked
from tests.support import ROOT, XLA_CACHE, Outcome, made_once, shared_folder, uses

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded: its start-up lines hide the tests'
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # a GPU rounds float32 products to 10 bits: 1e-4 where we allow 1e-6
os.environ.setdefault("TF_XLA_FLAGS", XLA_CACHE)

hypothesis.settings.register_profile("untimed", deadline=None)  # an example may take long on a busy machine
hypothesis.settings.load_profile("untimed")

_SLOW = frozenset(["subprocess", "subprocess.run", "subprocess.Popen", "tests.forked"]) | {
    f"charflow.{name}"
    for name in (
        *("model.training.trainer.Trainer", "model.training.start.start_run", "model.search.sweep.Sweep"),
        *("model.training.each_user.EachUser", "model.training.everybody.Everybody"),
        *("model.training.train.train", "export.litert.export_litert", "export.hub.export_hub"),
        *("model.distributed.worker_group.run_workers", "serving.launch.backends.start", "export.publish.export_run"),
    )
}
_ASKED = ("bad_requests", "batching", "doors", "examples", "foreign_models", "http", "life")
_LOADED = ("model_card", "session", "signatures", "warmup")
TOGETHER = {  # files that share what takes long to make: once, and not in each worker
    "the server of all models": {f"tests/serving/processes/test_{name}.py" for name in _ASKED},
    "exports that are loaded": {f"tests/export/test_{name}.py" for name in _LOADED},
}
_GITTER = ROOT.parent / "shared" / "data" / "gitter.csv"


@pytest.fixture(scope="session")
def gitter_csv() -> str:
    """The 125,384 messages of the real chat; see ../shared/data/README.md."""
    if not _GITTER.exists():
        pytest.skip(f"the real chat is not here: put gitter.csv at {_GITTER}")
    return str(_GITTER)


@pytest.fixture(scope="session")
def gitter_table(gitter_csv: str) -> pd.DataFrame:
    """The real chat as pandas reads it."""
    return pd.read_csv(gitter_csv, usecols=["fromUser.id", "text"], keep_default_na=False, dtype=str)


@pytest.fixture(scope="session")
def sample_chat(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sample chat of 600 messages, 8 columns."""
    from charflow.pipeline.sample_chat import write_sample_chat

    made = made_once(tmp_path_factory, "sample", lambda folder: write_sample_chat(folder / "chat.csv", messages=600))
    return str(made / "chat.csv")


@pytest.fixture(scope="session")
def sample_table(sample_chat: str) -> pd.DataFrame:
    """The sample chat as pandas reads it."""
    return pd.read_csv(sample_chat, keep_default_na=False, dtype=str)


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of corpora for each worker, and one list of fonts, which takes seconds to make, for all of them.

    Temporary files lie in pytest's folder, which it removes some runs later: a process that is killed leaves its own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        patch.setattr(tempfile, "tempdir", None)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MPLCONFIGDIR", str(shared_folder(tmp_path_factory)))
        yield


@pytest.fixture
def make_pipe(tmp_path: Path) -> Callable[[bytes], Path]:
    """Makes a named pipe that can be read once."""

    def make(content: bytes) -> Path:
        path = tmp_path / "pipe"
        os.mkfifo(path)
        threading.Thread(target=path.write_bytes, args=(content,), daemon=True).start()
        return path

    return make


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """Starts the installed command in a process of its own, with TensorFlow's messages not turned off.

    A real process says how the command starts, too; others are forked (`tests/forked.py`).
    """

    def start(*arguments: object, real: bool = False, **options: Any) -> subprocess.Popen[str]:
        command = Path(sys.executable).with_name("charflow")
        environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        popen = subprocess.Popen if real else forked.Popen
        return popen(
            [str(command), *map(str, arguments)],
            text=True,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    return start


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, sample_chat: str, start: Callable[..., subprocess.Popen[str]]
) -> tuple[Path, Outcome]:
    """A run of 30 steps on mira's messages, trained by the installed command, and what that printed.

    It knows letters from emoji, no more.
    """

    def train(folder: Path) -> None:
        options = ["--user", "mira", "--units", 24, "--steps", 30, "--window-length", 20, "--json"]
        (folder / "tmp").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TMPDIR", str(folder / "tmp"))
            process = start("train", sample_chat, "--out", folder / "mira", *options, real=True)
        out, err = process.communicate()
        assert process.returncode == 0, err
        (folder / "out").write_text(out, encoding="utf-8")
        (folder / "err").write_text(err, encoding="utf-8")

    made = made_once(tmp_path_factory, "trained", train)
    out, err = ((made / name).read_text(encoding="utf-8") for name in ("out", "err"))
    return made / "mira", Outcome(0, out, err)


@pytest.fixture(scope="session")
def trained_run(trained: tuple[Path, Outcome]) -> Path:
    """The folder of that run; not to be changed."""
    return trained[0]


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory, trained_run: Path) -> Path:
    """A version of that run, as `charflow export` makes it by default; not to be changed."""
    from charflow.export.publish import export_run

    return made_once(tmp_path_factory, "plain", lambda base: export_run(trained_run, base)) / "1"


PEOPLE = {"ada": "a plan has a map", "bo": "no, bo said so", "Mira K.": "oh my dears"}


@pytest.fixture(scope="session")
def people_chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people, each of whom says the same thing forty times, and one who says little."""

    def write(folder: Path) -> None:
        rows = [*PEOPLE.items()] * 40 + [("cy", "who?")] * 3
        lines = "".join(f'{user},"{text}"\n' for user, text in rows)
        (folder / "chat.csv").write_text(f"fromUser.id,text\n{lines}", encoding="utf-8")

    return made_once(tmp_path_factory, "people_chat", write) / "chat.csv"


@pytest.fixture(scope="session")
def people_runs(
    tmp_path_factory: pytest.TempPathFactory, people_chat: Path, start: Callable[..., subprocess.Popen[str]]
) -> Path:
    """The folder of their runs, made by the command, each of which knows its own words; not to be changed."""

    def train(folder: Path) -> None:
        options = ["--each-user", "--min-messages", 40, "--units", 16, "--steps", 60, "--window-length", 16, "--json"]
        process = start("train", people_chat, "--out", folder / "runs", "--learning-rate", 0.05, *options)
        out, err = process.communicate()
        assert process.returncode == 0, err
        (folder / "out").write_text(out, encoding="utf-8")

    return made_once(tmp_path_factory, "people_runs", train) / "runs"


@pytest.fixture
def _no_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the texts and the picture of a run, which take longer than its steps, where nobody looks at them."""
    from charflow.model.evaluation.memorisation import Memorisation

    monkeypatch.setattr("charflow.model.training.samples.SampleWriter.__call__", lambda *_, **__: iter([]))
    monkeypatch.setattr(
        "charflow.model.training.chief.memorised", lambda *_: Memorisation(0, 0, {}, 0, 0, "", "", None)
    )
    monkeypatch.setattr("charflow.model.training.chief.plot_curves", lambda *_, **__: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what is slow, and puts files that are in front, so that no worker is left with one in the end."""
    for item in items:
        if isinstance(item, pytest.Function) and _is_slow(item):
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, _group(item.nodeid) not in TOGETHER))


def _group(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return next((group for group, files in TOGETHER.items() if file in files), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Has one worker run the files that stand together in `TOGETHER`, and each other file, as `make` asks for."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Together(config, log)


def pytest_collection_finish() -> None:
    """Has the garbage collector leave out what is loaded by now, TensorFlow's objects among it: it looks often."""
    gc.collect()
    gc.freeze()


def _is_slow(item: pytest.Function) -> bool:
    """Whether a test, or a fixture that it needs, starts a process or trains."""
    fixtures = [definition[-1].func for definition in item._fixtureinfo.name2fixturedefs.values()]
    return any(uses(function, _SLOW) for function in (item.function, *fixtures))
