"""Everything that decides a run, as frozen dataclasses, and their TOML form.

The command line builds a `Config` from a preset, a file and flags; `trainer` obeys it; `run_dir` writes it beside
what it produced.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tomli_w

from charflow.model.cells import CellKind
from charflow.pipeline.corpus import CorpusSettings
from charflow.pipeline.errors import UserError, not_utf8
from charflow.pipeline.users import listed
from charflow.pipeline.windows import Targets

OptimizerKind = Literal["adam", "nadam", "rmsprop", "sgd"]
Schedule = Literal["constant", "cosine"]
BestBy = Literal["held-out", "training"]
Precision = Literal["float32", "bfloat16", "float16"]


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
    units: int = 256
    layers: int = 1
    dropout: float = 0.15

    def __post_init__(self) -> None:
        _one_of("cell", self.cell, CellKind)
        _at_least(1, units=self.units, layers=self.layers)
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout must be at least 0 and below 1, not {self.dropout:g}.")


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

    window_length: int = 64
    window_shift: int = 3
    targets: Targets = "all"
    batch_size: int = 32
    optimizer: OptimizerKind = "adam"
    learning_rate: float = 0.02
    beta_2: float = 0.99
    schedule: Schedule = "cosine"
    warmup_steps: int = 100
    clip_norm: float = 1.0
    epochs: int = 0
    steps: int = 0
    time_limit: float = 0.0
    evaluations: int = 5
    patience: int = 0
    best_by: BestBy = "held-out"
    sample_every: int = 0
    checkpoint_steps: int = 0
    checkpoint_seconds: float = 300.0
    checkpoints: int = 2
    precision: Precision = "float32"
    shard_corpus: bool = False
    streaming: bool = False
    deterministic: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of("targets", self.targets, Targets)
        _one_of("optimizer", self.optimizer, OptimizerKind)
        _one_of("schedule", self.schedule, Schedule)
        _one_of("best_by", self.best_by, BestBy)
        _one_of("precision", self.precision, Precision)
        if self.shard_corpus and self.streaming:
            raise UserError("--streaming holds no corpus that --shard-corpus could share out: give one of them.")
        _at_least(1, window_length=self.window_length, window_shift=self.window_shift, batch_size=self.batch_size)
        _at_least(1, evaluations=self.evaluations)
        _at_least(0, warmup_steps=self.warmup_steps, clip_norm=self.clip_norm, patience=self.patience)
        _at_least(0, epochs=self.epochs, steps=self.steps, time_limit=self.time_limit)
        _at_least(0, sample_every=self.sample_every, seed=self.seed)
        _at_least(0, checkpoint_steps=self.checkpoint_steps, checkpoint_seconds=self.checkpoint_seconds)
        _at_least(1, checkpoints=self.checkpoints)
        if self.seed >= 2**31:
            raise UserError(f"seed must be below 2,147,483,648, not {self.seed}.")
        if not 0 < self.beta_2 < 1:
            raise UserError(f"beta_2 must be between 0 and 1, not {self.beta_2:g}.")
        if not 0 < self.learning_rate < math.inf:
            raise UserError(f"learning_rate must be above 0, not {self.learning_rate:g}.")
        if not (self.epochs or self.steps or self.time_limit):
            raise UserError("A run needs an end: set epochs, steps or time_limit.")


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
        object.__setattr__(self, "data", listed(self.data, "data"))

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
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not TOML: {error}.") from error


def override(config: Config, changes: Mapping[str, Any], *, source: str) -> Config:
    """Replaces the settings named in nested dictionaries, such as {"network": {"units": 128}}.

    >>> override(Config(), {"network": {"units": 128}}, source="flags").network.units
    128

    Raises:
        UserError: an unknown key or a value of the wrong type (the message names `source`), or an invalid setting.
    """
    return _override(config, changes, source, prefix="")


def _override(settings: Any, changes: Mapping[str, Any], source: str, prefix: str) -> Any:
    hints = get_type_hints(type(settings))
    values: dict[str, Any] = {}
    for key, value in changes.items():
        name = f"{prefix}{key}"
        if key not in hints:
            known = ", ".join(f.name for f in fields(settings))
            raise UserError(f"{source}: unknown key {name!r}. Keys of {prefix.rstrip('.') or 'the file'}: {known}.")
        current = getattr(settings, key)
        if is_dataclass(current):
            if not isinstance(value, Mapping):
                raise UserError(f"{source}: {name} is a table of settings, not {value!r}.")
            values[key] = _override(current, value, source, prefix=f"{name}.")
        else:
            values[key] = _typed(value, hints[key], name, source)
    return replace(settings, **values)


def _typed(value: Any, hint: Any, name: str, source: str) -> Any:
    if get_origin(hint) is tuple and isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = str if get_origin(hint) is Literal else hint
    if get_origin(expected) is tuple or type(value) is not expected:
        wanted = "a list of texts" if get_origin(hint) is tuple else f"of type {expected.__name__}"
        raise UserError(f"{source}: {name} must be {wanted}, not {value!r}.")
    return value


def _one_of(name: str, value: str, kinds: Any) -> None:
    if value not in get_args(kinds):
        raise UserError(f"Unknown {name} {value!r}: use {' or '.join(get_args(kinds))}.")


def _at_least(least: int, **values: float) -> None:
    for name, value in values.items():
        if not least <= value < math.inf:  # a NaN is refused too
            raise UserError(f"{name} must be at least {least}, not {value:g}.")
