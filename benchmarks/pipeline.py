"""From a chat to ids and to windows: beside the recipe, and beside what reading alone takes.

`charflow bench pipeline` prints it.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from charflow.benchmarks import recipe
from charflow.benchmarks.comparison import LIMIT, OURS, PEER, Candidate, Comparison, Way, by_turns
from charflow.benchmarks.machine import peak_bytes
from charflow.pipeline.corpus.corpus import Corpus, build_corpus
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError, quoted
from charflow.pipeline.formats.inputs import InputFile
from charflow.pipeline.windows import count_windows, make_windows

_COPIES = 10  # of the chat, for `prepare`
_LOOK = 0.02  # seconds between two looks at a process


def measure_pipeline(files: Sequence[InputFile], settings: CorpusSettings, *, turns: int) -> Iterator[Comparison]:
    """Reads the same chat each way.

    Raises:
        UserError: charflow or pandas cannot read it.
    """
    corpus = build_corpus(files, settings)  # says what is wrong before anything is measured
    paths, users = [file.path for file in files], (corpus.settings or settings).users
    columns = [settings.csv.user_column, settings.csv.text_column]
    try:
        text = recipe.read_text(paths, users, *columns)
    except ValueError as error:
        raise UserError(f"The recipe reads CSV files with pandas, which cannot read {quoted(paths[0])}.") from error
    yield _to_windows(files, settings, corpus.characters, lambda: recipe.read_text(paths, users, *columns), turns)
    yield _memory(corpus, text)
    everybody = replace(settings, users=())
    characters = build_corpus(files, everybody).characters
    yield _to_ids(files, everybody, characters, turns)
    yield from _prepared(paths, everybody, characters)


def _parsed(paths: Sequence[str], columns: list[str]) -> None:
    for path in paths:
        pd.read_csv(path, usecols=columns)


def _to_windows(
    files: Sequence[InputFile], settings: CorpusSettings, characters: int, read: Callable[[], str], turns: int
) -> Comparison:
    """One person's windows, 40 characters, 3 apart, in random order."""

    def ours() -> None:
        ids = build_corpus(files, settings).ids
        for _ in make_windows(ids, length=recipe.LENGTH, shift=recipe.STEP, batch_size=1024, shuffle_seed=0):
            pass

    windows = count_windows(characters, length=recipe.LENGTH, shift=recipe.STEP)
    return Comparison(
        what="chat to windows",
        unit="windows/s",
        about="The files are read, the messages filtered and lowercased, and every window of 40 characters is cut; "
        "charflow's stay ids, the recipe's are one-hot arrays.",
        ways=by_turns(
            [
                Candidate(name="charflow", kind=OURS, work=ours, amount=windows),
                Candidate(name="recipe", kind=PEER, work=lambda: recipe.make_arrays(read()), amount=windows),
            ],
            turns,
        ),
    )


def _memory(corpus: Corpus, text: str) -> Comparison:
    _, x, y = recipe.make_arrays(text)
    return Comparison(
        what="memory of the windows",
        unit="MB",
        about="What is kept to train on: charflow's ids, which every window is cut from when its turn comes, and the "
        "recipe's arrays.",
        less_is_better=True,
        ways=(
            Way(name="charflow", kind=OURS, figures=(corpus.ids.nbytes / 1e6,)),
            Way(name="recipe", kind=PEER, figures=((x.nbytes + y.nbytes) / 1e6,)),
        ),
    )


def _to_ids(files: Sequence[InputFile], settings: CorpusSettings, characters: int, turns: int) -> Comparison:
    """Everybody's messages."""
    paths = [file.path for file in files]
    columns = [settings.csv.user_column, settings.csv.text_column]
    limits: dict[str, Callable[[], Any] | None] = {
        "two columns by pandas": lambda: _parsed(paths, columns),
        "two columns by pyarrow": _by_pyarrow(paths, columns),
    }
    return Comparison(
        what="chat to ids",
        unit="characters/s",
        about="Everybody's messages: every row is checked, filtered and lowercased, the vocabulary is counted, and the "
        "text is encoded. pandas and pyarrow read two columns, and do no more.",
        ways=by_turns(
            [
                Candidate(name="charflow", kind=OURS, work=lambda: build_corpus(files, settings), amount=characters),
                *(
                    Candidate(name=name, kind=LIMIT, work=work, amount=characters)
                    for name, work in limits.items()
                    if work
                ),
            ],
            turns,
        ),
    )


def _by_pyarrow(paths: Sequence[str], columns: list[str]) -> Callable[[], Any] | None:
    """What reads two columns with pyarrow, where that is installed."""
    try:
        from pyarrow import csv
    except ImportError:
        return None
    parse = csv.ParseOptions(newlines_in_values=True)
    convert = csv.ConvertOptions(include_columns=columns)
    return lambda: [csv.read_csv(path, parse_options=parse, convert_options=convert) for path in paths]


def _prepared(paths: Sequence[str], settings: CorpusSettings, characters: int) -> Iterator[Comparison]:
    """`charflow prepare` as a command, once, on the chat several times over."""
    with tempfile.TemporaryDirectory() as folder:
        chat = Path(folder, "chat.csv")
        _repeat(paths, chat)
        seconds, peak = _prepare(chat, Path(folder, "corpus"), settings)
        copies = by_turns([_copied(chat, characters)], turns=1)
    many = f"the chat {_COPIES} times over"
    yield Comparison(
        what="prepare, a chat of any size",
        unit="characters/s",
        about=f"The command `charflow prepare` on {many}, its start and TensorFlow's import included; beside it the "
        "file copied on the same disk.",
        ways=(Way(name="charflow", kind=OURS, figures=(_COPIES * characters / seconds,)), *copies),
    )
    yield Comparison(
        what="prepare, memory",
        unit="MB",
        about=f"The most that the same command had in memory on {many}, TensorFlow's own code included.",
        less_is_better=True,
        ways=(Way(name="charflow", kind=OURS, figures=(peak / 1e6,)),),
    )


def _repeat(paths: Sequence[str], to: Path) -> None:
    """Writes the rows of the files several times over below one header."""
    head, _, _ = Path(paths[0]).read_bytes().partition(b"\n")
    with to.open("wb") as file:
        file.write(head + b"\n")
        for path in [*paths] * _COPIES:
            body = Path(path).read_bytes().partition(b"\n")[2]
            file.write(body if body.endswith(b"\n") else body + b"\n")


def _prepare(chat: Path, to: Path, settings: CorpusSettings) -> tuple[float, int]:
    """Runs the command; gives its seconds, and its peak resident bytes."""
    columns = [f"--user-column={settings.csv.user_column}", f"--text-column={settings.csv.text_column}"]
    command = [sys.executable, "-m", "charflow", "prepare", str(chat), f"--to={to}", *columns]
    began, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, peak_bytes(process.pid))
        time.sleep(_LOOK)
    if process.returncode:
        raise UserError(f"charflow prepare ended with status {process.returncode} on a copy of the chat.")
    return time.perf_counter() - began, peak


def _copied(chat: Path, characters: int) -> Candidate:
    to = chat.with_name("copy.csv")
    return Candidate(
        name="a copy of the file on disk",
        kind=LIMIT,
        work=lambda: shutil.copyfile(chat, to),
        amount=_COPIES * characters,
    )
