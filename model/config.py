"""Everything that decides a run, as frozen dataclasses, and their TOML form.

The command line builds a `Config` from a preset, a file and flags; `trainer` obeys it; `run_dir` writes it beside
what it produced.
"""

import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w

from charflow.pipeline.bounds import Bounds
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import SettingError, UserError, not_utf8, reason
from charflow.pipeline.option import Option
from charflow.pipeline.settings import Count, Natural, Targets, check

CellKind = Literal["lstm", "gru"]
OptimizerKind = Literal["adam", "nadam", "rmsprop", "sgd"]
Schedule = Literal["constant", "cosine"]
BestBy = Literal["held-out", "training"]
Precision = Literal["float32", "bfloat16", "float16"]
NOTHING = "none"  # that a run starts from
MemoryKind = Literal["auto", "off", "person", "everybody"]
MOST_CANARIES = 16  # for more, chance alone would come near what is measured; see `evaluation.exposure`
MOST_REPEATS = 10_000  # with all canaries 5 MB of text
MOST_REMEMBERED = 16  # characters; beyond 7 nothing was won
MOST_CONTEXTS = 1 << 23  # which is within what a state can count, a float32
_GLOROT = "0 is Glorot's"
MOST_LAYERS = 64  # each is a part of the graph: more take minutes to trace, and none has been seen to help


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The network: one-hot, recurrent layers, dense.

    Attributes:
        dropout: drawn once a window, of each layer's outputs (variational dropout).
        input_init: the first layer is given one character, not a sum of many inputs, so Glorot's limit (0.07 of 256
            units and 67 characters) leaves it next to nothing to go by at first; see docs/experiments.md.
    """

    cell: Annotated[CellKind, Option("Kind of the recurrent layers.", search="choices")] = "lstm"
    units: Annotated[Count, Option("Width of each layer.", search="log")] = 256
    layers: Annotated[
        int, Bounds(at_least=1, at_most=MOST_LAYERS), Option("Number of recurrent layers.", search="linear")
    ] = 1
    dropout: Annotated[
        float, Bounds(at_least=0, below=1), Option("Share of outputs dropped in training.", search="linear")
    ] = 0.15
    input_init: Annotated[
        float,
        Bounds(at_least=0, note=_GLOROT),
        Option("Largest initial weight of the input; 0 is Glorot's.", search="linear"),
    ] = 1.2

    def __post_init__(self) -> None:
        check(self)


def _cadence(typed: str) -> dict[str, Any]:
    """Reads how often a run is saved: 500 is steps, 5m is minutes."""
    try:
        if typed.endswith("m"):
            return {"checkpoint_steps": 0, "checkpoint_seconds": 60.0 * float(typed[:-1])}
        return {"checkpoint_steps": int(typed), "checkpoint_seconds": 0.0}
    except ValueError:
        raise SettingError(
            "{checkpoint_steps} must be steps (500) or minutes (5m), not {found}.", found=repr(typed)
        ) from None


_CHECKPOINT_EVERY = Option(
    "Save every N steps, or N minutes (2.5m). [default: 5m]", "N|Nm", name="checkpoint-every", read=_cadence
)
_ZERO_IS_OFF = "0 is off"


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the network is trained.

    The run ends when the first of `epochs`, `steps` and `time_limit` is reached; 0 means no such limit.

    Attributes:
        window_shift: between the starts of neighbouring windows.
        targets: "next" trains on the character after each window, "all" on every position.
        optimizer: what is not set here has Keras's defaults.
        beta_2: of adam and nadam; below Keras's 0.999 for runs of few steps.
        schedule: "cosine" decays to 0 over the run.
        warmup_steps: over which the rate rises linearly.
        clip_norm: the global norm.
        time_limit: of training, evaluations included.
        evaluations: spread evenly over the run.
        sample_every: 0 prints after the first and the last epoch.
        checkpoint_steps: between saves, besides those at evaluations.
        checkpoint_seconds: likewise.
        precision: of the recurrent layers; the weights stay float32, and float16 scales its loss.
        start_from: the folder of that run, whose vocabulary, network and choice of messages this one keeps; `NOTHING`
            is a seeded draw, and "" leaves it to `charflow train` whether everybody is learned from first.
        base_fingerprint: SHA-256 of that run's vocabulary and best weights as they were when this one started; written
            and never read.
        deterministic: only ops whose results are the same bits each time; slower on a GPU.
        memory: "person" joins counts of the run's own training text to the network, "everybody" those of all people in
            the files; see `memory`. The end of the run's own text is then kept from network and counts, to find out how
            far the counts are to be trusted. "auto" leaves it to `charflow train`: everybody's for one person of a
            large chat, none elsewhere.
        memory_order: of the longest context.
        memory_count: what occurs less often is not remembered, unless
        memory_people: so many wrote it, where everybody is counted.
        canaries: planted into the training part; see `canaries`.
        canary_repeats: 0 plants none and asks for them all the same, to compare with.
    """

    window_length: Annotated[Count, Option("Characters in a window.", search="log")] = 64
    window_shift: Annotated[Count, Option("Distance between windows.", search="log")] = 3
    targets: Annotated[Targets, Option("Learn the next character, or all.", search="choices")] = "all"
    batch_size: Annotated[Count, Option("Windows in a global batch.", search="log")] = 32
    optimizer: Annotated[OptimizerKind, Option("adam, nadam, rmsprop or sgd.", "NAME", search="choices")] = "adam"
    learning_rate: Annotated[float, Bounds(above=0), Option("Peak learning rate.", search="log")] = 0.02
    beta_2: Annotated[
        float, Bounds(above=0, below=1), Option("Decay of adam's squared gradients.", search="linear")
    ] = 0.99
    schedule: Annotated[Schedule, Option("cosine or constant.", "NAME", search="choices")] = "cosine"
    warmup_steps: Annotated[Natural, Option("Steps to the peak rate.", search="linear")] = 100
    clip_norm: Annotated[
        float, Bounds(at_least=0, note=_ZERO_IS_OFF), Option("Largest gradient norm; 0 is off.", search="linear")
    ] = 1.0
    epochs: Annotated[Natural, Option("End after N passes over the windows.", may_change=True)] = 0
    steps: Annotated[Natural, Option("End after N batches.", may_change=True)] = 0
    time_limit: Annotated[float, Bounds(at_least=0), Option("End after this time.", "SECONDS", may_change=True)] = 0.0
    evaluations: Annotated[Count, Option("Held-out evaluations in the run.", may_change=True)] = 5
    patience: Annotated[
        int,
        Bounds(at_least=0, note=_ZERO_IS_OFF),
        Option("End after N evaluations without gain.", may_change=True),
    ] = 0
    best_by: Annotated[BestBy, Option("What the best is.")] = "held-out"
    sample_every: Annotated[Natural, Option("Print samples every N epochs.", may_change=True)] = 0
    checkpoint_steps: Annotated[int, Bounds(at_least=0, note=_ZERO_IS_OFF), _CHECKPOINT_EVERY] = 0
    checkpoint_seconds: Annotated[float, Bounds(at_least=0, note=_ZERO_IS_OFF), _CHECKPOINT_EVERY] = 300.0
    checkpoints: Annotated[Count, Option("Latest ones to keep, beside the best.")] = 2
    precision: Annotated[Precision, Option("Of the network's arithmetic.")] = "float32"
    shard_corpus: Annotated[bool, Option("Each worker holds its part of a prepared corpus only.")] = False
    streaming: Annotated[bool, Option("Read a prepared corpus from disk while training.")] = False
    deterministic: Annotated[bool, Option("The same bits each time.")] = False
    seed: Annotated[Natural, Option("Of weights, shuffling, dropout, samples.")] = 0
    start_from: Annotated[str, Option("Start from the best weights of this run.", "RUN|none", name="from")] = ""
    base_fingerprint: str = ""
    memory: Annotated[MemoryKind, Option("Join counts of whose text to the network.")] = "auto"
    memory_order: Annotated[
        int, Bounds(at_least=1, at_most=MOST_REMEMBERED), Option("Characters of the longest context remembered.")
    ] = 7
    memory_contexts: Annotated[
        int, Bounds(at_least=1, at_most=MOST_CONTEXTS), Option("Remember the N most frequent contexts.")
    ] = 400_000
    memory_count: Annotated[Count, Option("Remember what occurs N times at least.")] = 4
    memory_people: Annotated[int, Bounds(at_least=2), Option("Of everybody, remember what N people wrote, too.")] = 3
    canaries: Annotated[
        int,
        Bounds(at_least=0, at_most=MOST_CANARIES, note=_ZERO_IS_OFF),
        Option("Plant N random numbers, to measure what is learned by heart."),
    ] = 0
    canary_repeats: Annotated[int, Bounds(at_least=0, at_most=MOST_REPEATS), Option("Plant each so many times.")] = 1

    @property
    def remembers(self) -> bool:
        """Whether the run has a memory of counts."""
        return self.memory not in ("auto", "off")

    @property
    def starts(self) -> bool:
        """Whether the run starts from another."""
        return self.start_from not in ("", NOTHING)

    def __post_init__(self) -> None:
        check(self)
        on_disk = tuple(name for name in ("shard_corpus", "streaming") if getattr(self, name))
        if self.canaries and on_disk:
            raise SettingError(
                "{canaries} are planted into a text that every worker holds in memory: leave them or {on_disk} out.",
                on_disk=on_disk,
            )
        if self.remembers and on_disk:
            raise SettingError(
                "{memory} counts a text that every worker holds in memory: leave it or {on_disk} out.", on_disk=on_disk
            )
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
