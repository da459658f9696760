"""Makes a run from data and settings: what `charflow train` does, for Python.

`configure` settles the settings, `training_text` reads, `everybody` says what is learned before, `start` trains. `Task`
has these steps in their order; `train` goes through them, and so does the command, which shows them.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from charflow.model.config import Config
from charflow.model.distributed.strategy import StrategyKind, make_strategy, placement
from charflow.model.run.base import fixed_vocabulary
from charflow.model.run.run_dir import RunDir
from charflow.model.training.configure import configure
from charflow.model.training.everybody import Everybody, with_memory
from charflow.model.training.report import Listener, Result
from charflow.model.training.start import start_run
from charflow.model.training_text import TrainingText, read_text
from charflow.pipeline.corpus.cache import CorpusCache
from charflow.pipeline.errors import UserError, quoted
from charflow.pipeline.option import settable
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.settings import Paths, checked
from charflow.pipeline.tables import nested


class Task:
    """A run to be made, and the steps that lead to it.

    Args:
        data: files and globs, or a prepared folder.
        changes: settings of `Config`, as nested dictionaries.
        out: folder of the run.
        preset: name of it; "default" by default.
        file: TOML, over the preset.
        resume: whether to go on with the run that the folder holds.
        strategy: where to compute.
        cache: where encoded corpora, and runs on everybody, are kept; for this process alone if None.

    Attributes:
        run_dir: of the run.
        strategy: made.
        here: where that computes.
        prepared: the corpus, if that is what `data` names.
        config: of the run; `settle` may change it.

    Raises:
        UserError: one of them is invalid, or the folder is taken.
    """

    def __init__(
        self,
        data: Sequence[str],
        changes: Mapping[str, Any],
        out: Path | str,
        *,
        preset: str | None = None,
        file: Path | None = None,
        resume: bool = False,
        strategy: StrategyKind = "auto",
        cache: CorpusCache | None = None,
    ) -> None:
        self.run_dir = RunDir(out)
        if not resume:
            self.run_dir.check_free()  # before workers meet: the chief makes the folder only when all have passed here
        self.strategy = make_strategy(strategy)
        self.here, self.prepared = placement(self.strategy), PreparedCorpus.among(data)
        self._data, self._changes, self._file, self._resume, self._cache = data, changes, file, resume, cache
        resumed = self.run_dir if resume else None
        config = configure(data, changes, name=preset, file=file, prepared=self.prepared, resumed=resumed)
        self.config = with_memory(config) if config.training.starts and self._is_new_alone else config

    @property
    def _is_new_alone(self) -> bool:
        return self.here.workers == 1 and not self._resume

    def read(self) -> TrainingText:
        """Reads what is to be learned."""
        return read_text(
            self.prepared or self._data,
            self.config,
            worker=self.here.worker,
            workers=self.here.workers,
            cache=self._cache,
            vocabulary=fixed_vocabulary(self.run_dir) if self._resume else None,
        )

    def everybody_beside(self, text: TrainingText) -> Everybody | None:
        """Says what to learn first, where that `comes_first`, and to `settle` then; None for nothing."""
        return Everybody.beside(self.config, text, self._cache) if self._is_new_alone else None

    def settle(self, everybody: Everybody) -> None:
        """Has the run start from everybody, or remember their counts; its text is to be read again then."""
        if everybody.comes_first:
            self.config = configure(self._data, everybody.before_one(self._changes), file=self._file)
        else:
            self.config = with_memory(self.config, beside_everybody=True)

    def run(self, text: TrainingText, listener: Listener) -> Result:
        """Trains."""
        return start_run(self.config, text, self.run_dir, self.strategy, listener, resume=self._resume)


@checked
def train(
    data: Paths,
    out: Path | str,
    *,
    preset: str = "",
    config: Path | str | None = None,
    resume: bool = False,
    strategy: StrategyKind = "auto",
    cached: bool = True,
    listener: object | None = None,
    **settings: Any,
) -> RunDir:
    """Trains a run, as `charflow train` does: one person among many is learned after everybody, and remembers.

    Args:
        data: chat files, folders or globs, or a folder that `charflow prepare` has written.
        out: folder of the run, new or empty; with `resume` one that holds a run.
        preset: "default" or "tutorial"; empty is the default one.
        config: a TOML file of settings, over the preset.
        resume: goes on with the run that the folder holds.
        strategy: where to compute.
        cached: whether encoded corpora, and runs on everybody, are kept in the user's cache, and looked for there.
        listener: has the methods of `Listener` that it wants, and is told what happens; not of a run on everybody.
        **settings: over the preset and the file: the fields of `Config`'s tables that have an option, by their names,
            such as `users`, `held_out`, `lowercase`, `units`, `steps`, `time_limit`, `seed` (seconds, characters).

    Returns:
        The run, which `Generator.load`, `load_keras` and `export_run` take. `read_result` has what it came to.

    >>> run = train("chat.csv", "runs/a", users="mira", time_limit=120)  # doctest: +SKIP
    >>> run.read_result()["held_out"]["bits_per_char"]  # doctest: +SKIP
    1.94

    Raises:
        UserError: a setting, a file or the folder is wrong; the sentence says which, and what to do.
        DivergedError, PeerError: as `Trainer.train`.
        KeyboardInterrupt: Ctrl-C or SIGTERM stopped it; what was learned is saved, and `resume` goes on.
    """
    told = _Told(listener)
    paths: Any = data  # a list, by `checked`
    task = Task(
        paths,
        _in_tables(settings),
        out,
        preset=preset or None,
        file=None if config is None else Path(config),
        resume=resume,
        strategy=strategy,
        cache=CorpusCache() if cached else None,
    )
    text = task.read()
    if everybody := task.everybody_beside(text):
        if everybody.comes_first:
            _raise_if_stopped(everybody.learn(task.strategy, _Told(None)))
        task.settle(everybody)
        text = task.read()
    _raise_if_stopped(task.run(text, told))
    return task.run_dir


def _in_tables(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Puts settings into the tables of `Config` that they belong to."""
    known = {each.name: each.tables for each in settable(Config)}
    if unknown := next((name for name in settings if name not in known), None):
        near = get_close_matches(unknown, known, n=1)
        advice = f"Did you mean {near[0]}?" if near else f"Settings are: {', '.join(sorted(known))}."
        raise UserError(f"There is no setting {quoted(unknown)}. {advice}")
    return nested((known[name], {name: value}) for name, value in settings.items())


def _raise_if_stopped(result: Result | None) -> None:
    if result and not result.ended:
        raise KeyboardInterrupt(f"{result.reason} after step {result.step:,}; resume goes on from there")


class _Told:
    """A listener with all methods, made of one that has some; None has none.

    Raises:
        UserError: it has none, and so was meant for something else.
    """

    def __init__(self, listener: object | None) -> None:
        if listener is not None and not any(hasattr(listener, name) for name in _EVENTS):
            raise UserError(f"The listener has none of the methods {', '.join(_EVENTS)}: give it one of them.")
        self._listener = listener

    def __getattr__(self, name: str) -> Any:
        if name not in _EVENTS:
            raise AttributeError(name)
        return getattr(self._listener, name, lambda *_, **__: None)


_EVENTS = tuple(name for name in vars(Listener) if not name.startswith("_"))
