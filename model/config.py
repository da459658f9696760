"""Everything that decides a run, as frozen dataclasses, and their TOML form.

The command line builds a `Config` from a preset, a file and flags; `trainer` obeys it; `run_dir` writes it beside
what it produced.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w

from charflow.pipeline.bounds import Bounds, shown
from charflow.pipeline.corpus.corpus import CorpusSettings
from charflow.pipeline.errors import SettingError, UserError, not_utf8, reason
from charflow.pipeline.settings import Count, Natural, check
from charflow.pipeline.windows import Targets

CellKind = Literal["lstm", "gru"]
OptimizerKind = Literal["adam", "nadam", "rmsprop", "sgd"]
Schedule = Literal["constant", "cosine"]
BestBy = Literal["held-out", "training"]
Precision = Literal["float32", "bfloat16", "float16"]
MOST_LAYERS = 64  # each is a part of the graph: more take minutes to trace, and none has been seen to help


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The network: one-hot, recurrent layers, dense.

    Attributes:
        cell: kind of the recurrent layers.
        units: width of each.
        layers: how many.
        dropout: share of each layer's outputs that training drops, drawn once a window (variational dropout).
    """

    cell: CellKind = "lstm"
    units: Count = 256
    layers: Annotated[int, Bounds(at_least=1, at_most=MOST_LAYERS)] = 1
    dropout: Annotated[float, Bounds(at_least=0, below=1)] = 0.15

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the network is trained.

    The run ends when the first of `epochs`, `steps` and `time_limit` is reached; 0 means no such limit.

    Attributes:
        window_length: characters in a window.
        window_shift: distance between the starts of neighbouring windows.
        targets: "next" trains on the character after each window, "all" on every position.
        batch_size: windows in a global batch.
        optimizer: update rule; what is not set here has Keras's defaults.
        learning_rate: its peak.
        beta_2: decay of the squared gradients' mean (adam, nadam); below Keras's 0.999 for runs of few steps.
        schedule: "cosine" decays to 0 over the run; "constant" does not.
        warmup_steps: steps over which the rate rises linearly.
        clip_norm: largest global norm of the gradient; 0 is off.
        epochs: passes over all windows.
        steps: batches.
        time_limit: seconds of training, evaluations included.
        evaluations: held-out evaluations, spread evenly over the run.
        patience: evaluations without improvement after which the run ends; 0 is off.
        best_by: what chooses the best checkpoint.
        sample_every: epochs between printed samples; 0 prints after the first and the last epoch.
        checkpoint_steps: steps between saves, besides those at evaluations; 0 is off.
        checkpoint_seconds: seconds between saves, likewise.
        checkpoints: how many of the latest are kept, beside the best.
        precision: of the recurrent layers' arithmetic; the weights stay float32, and float16 scales its loss.
        shard_corpus: each of several workers holds its own part of a prepared corpus.
        streaming: a prepared corpus is read from disk while training.
        deterministic: only ops whose results are the same bits each time; slower on a GPU.
        seed: of initial weights, shuffling, dropout and samples.
    """

    window_length: Count = 64
    window_shift: Count = 3
    targets: Targets = "all"
    batch_size: Count = 32
    optimizer: OptimizerKind = "adam"
    learning_rate: Annotated[float, Bounds(above=0)] = 0.02
    beta_2: Annotated[float, Bounds(above=0, below=1)] = 0.99
    schedule: Schedule = "cosine"
    warmup_steps: Natural = 100
    clip_norm: Annotated[float, Bounds(at_least=0, note="0 is off")] = 1.0
    epochs: Natural = 0
    steps: Natural = 0
    time_limit: Annotated[float, Bounds(at_least=0)] = 0.0
    evaluations: Count = 5
    patience: Annotated[int, Bounds(at_least=0, note="0 is off")] = 0
    best_by: BestBy = "held-out"
    sample_every: Natural = 0
    checkpoint_steps: Annotated[int, Bounds(at_least=0, note="0 is off")] = 0
    checkpoint_seconds: Annotated[float, Bounds(at_least=0, note="0 is off")] = 300.0
    checkpoints: Count = 2
    precision: Precision = "float32"
    shard_corpus: bool = False
    streaming: bool = False
    deterministic: bool = False
    seed: Natural = 0

    def __post_init__(self) -> None:
        check(self)
        if self.shard_corpus and self.streaming:
            raise SettingError("{streaming} holds no corpus that {shard_corpus} could share out: give one of them.")
        if not (self.epochs or self.steps or self.time_limit):
            raise SettingError("A run needs an end: set {epochs}, {steps} or {time_limit}.")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run.

    Attributes:
        data: CSV files and globs.
        corpus: which messages, and how they become text.
        network: what is trained.
        training: how.
    """

    data: tuple[str, ...] = ()
    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(time_limit=120.0))

    def __post_init__(self) -> None:
        check(self)

    def to_toml(self) -> str:
        """Writes every setting, defaults too, so that a later version cannot change what a file means."""
        return tomli_w.dumps(asdict(self))


def load_toml(path: Path) -> dict[str, Any]:
    """Reads a configuration file into nested dictionaries.

    Raises:
        UserError: the file is missing or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        if near := not_utf8(text):
            raise UserError(f"{path}: {near} is not UTF-8 text: save the file as UTF-8.")
        return tomllib.loads(text)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {reason(error)}.") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not TOML: {error}.") from error


def override(config: Config, changes: Mapping[str, Any], *, source: str = "") -> Config:
    """Replaces the settings named in nested dictionaries, such as {"network": {"units": 128}}.

    >>> override(Config(), {"network": {"units": 128}}).network.units
    128

    Args:
        config: what is not named stays as it is there.
        changes: the settings.
        source: file that they were read from; the messages name it.

    Raises:
        UserError: an unknown key, a value of the wrong type, or an invalid setting.
    """
    return _override(config, changes, source, prefix="", homes=dict(_homes(config)))


def _override(settings: Any, changes: Mapping[str, Any], source: str, prefix: str, homes: Mapping[str, str]) -> Any:
    where = f"{source}: " if source else ""
    known = [field.name for field in fields(settings)]
    values: dict[str, Any] = {}
    for key, value in changes.items():
        name = f"{prefix}{key}"
        if key not in known:
            table = prefix.rstrip(".") or "the file"
            advice = homes.get(key, f"Keys of {table}: {', '.join(known)}.")
            raise UserError(f"{where}unknown key {shown(name)}. {advice}")
        current = getattr(settings, key)
        if is_dataclass(current):
            if not isinstance(value, Mapping):
                raise UserError(f"{where}{name} is a table of settings, not {shown(value)}.")
            value = _override(current, value, source, prefix=f"{name}.", homes=homes)
        values[key] = value
    try:
        return replace(settings, **values)
    except SettingError as error:
        raise (error.within(source, prefix) if source else error) from None


def _homes(settings: Any, table: str = "") -> Iterator[tuple[str, str]]:
    """Says of every key of a configuration where it stands, for who has put it elsewhere."""
    for each in fields(settings):
        value = getattr(settings, each.name)
        if is_dataclass(value):
            name = f"{table}.{each.name}".lstrip(".")
            yield each.name, f"Its table is called [{name}]."
            yield from _homes(value, name)
        else:
            where = f"below [{table}]" if table else "before the first table"
            yield each.name, f"It belongs to {table or 'the file itself'}: write it {where}."
