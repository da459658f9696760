"""What can be set when text is written: one table, read by commands, checks, signatures, clients' defaults and docs.

`samplers` brings its part of it. Nothing here loads TensorFlow. B is the batch.
"""

from dataclasses import dataclass, make_dataclass
from typing import Annotated, Any, Literal

from charflow.model.decoding.samplers import SAMPLERS, Sampler
from charflow.pipeline.bounds import Bounds
from charflow.pipeline.errors import SettingError
from charflow.pipeline.option import Option
from charflow.pipeline.settings import Count, Natural, Seed, check

LONGEST_STOP = 32  # characters of a stop string that are compared


@dataclass(frozen=True)
class Setting:
    """One setting; as a tensor it has shape [B].

    Attributes:
        name: of the field, the option's setting, and the signatures' input.
        dtype: of the tensor.
        default: of a signature that is exported without another wish.
        type: what Python's value may be, and how the command line tells it.
        help: what it does, for the documentation.
    """

    name: str
    dtype: Literal["int32", "int64", "float32", "string", "bool"]
    default: Any
    type: Any
    help: str


def _of(sampler: Sampler) -> Setting:
    kind: type = int if sampler.dtype == "int32" else float
    note = f"{sampler.help[0].lower()}{sampler.help[1:]}; {sampler.bounds.note}"
    option = Option(f"{sampler.help}; {sampler.bounds.note}.", sampler.metavar)
    return Setting(sampler.name, sampler.dtype, kind(sampler.off), Annotated[kind, sampler.bounds, option], note)


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "max_chars",
        "int32",
        400,
        Annotated[Natural, Option("Characters to write.", name="length")],
        "most characters to write",
    ),
    Setting(
        "temperature",
        "float32",
        0.5,
        Annotated[
            float,
            Bounds(at_least=0, note="0 is greedy"),
            Option("1 is the model, lower is safer, 0 greedy.", "T"),
        ],
        "1 is the model itself, lower is safer, 0 takes the most likely character",
    ),
    *map(_of, SAMPLERS),
    Setting(
        "seed",
        "int64",
        0,
        Annotated[Seed, Option("Same seed, same text.")],
        "same seed, same text; row i of several has its own, seed + i of one number",
    ),
    Setting(
        "stop",
        "string",
        "",
        Annotated[str, Option("End after writing this.", "TEXT")],
        'writing this ends the text; "" is off',
    ),
    Setting(
        "stop_at_end",
        "bool",
        True,
        Annotated[bool, Option("End where a message ends.", both=True)],
        "the end of a message ends the text, after a character at least; nothing where the model was not trained so",
    ),
    Setting(
        "max_messages",
        "int32",
        1,
        Annotated[int, Bounds(at_least=0, note="0 is no limit"), Option("Messages to write; 0 is no limit.")],
        "how many messages `stop_at_end` lets pass, the last one's end included; 0 is no limit",
    ),
)

_Fields: Any = make_dataclass(
    "_Fields",
    [(setting.name, setting.type, setting.default) for setting in SETTINGS],
    kw_only=True,
    frozen=True,
)


@dataclass(frozen=True, kw_only=True)
class SamplingSettings(_Fields):
    """How to sample: a field for each of `SETTINGS`.

    >>> SamplingSettings(temperature=0.8, top_k=5).seed
    0

    Raises:
        SettingError: one is of another type, or out of bounds.
    """

    def __post_init__(self) -> None:
        check(self)
        if len(self.stop) > LONGEST_STOP:
            raise SettingError(
                "{stop} has {length} characters; at most {most} are compared.",
                length=f"{len(self.stop):,}",
                most=str(LONGEST_STOP),
            )

    def seeds(self, rows: int) -> range:
        """The seed of each of several texts: seed + i for row i.

        Raises:
            SettingError: the last of them does not fit.
        """
        if self.seed + rows > 2**63:
            raise SettingError(
                "{seed} must be at most {most} for {rows} texts, of which each has the next seed, not {found}.",
                most=f"{2**63 - rows:,}",
                rows=f"{rows:,}",
                found=f"{self.seed:,}",
            )
        return range(self.seed, self.seed + rows)


@dataclass(frozen=True)
class Limits:
    """Bounds that the graph clamps requests to.

    Attributes:
        prompt_chars: longest prompt; its end is kept.
        completion_chars: longest completion.
    """

    prompt_chars: Annotated[Count, Option("Longest prompt; its end is kept.", name="max-prompt")] = 4096
    completion_chars: Annotated[Count, Option("Longest completion.", name="max-completion")] = 4096

    def __post_init__(self) -> None:
        check(self)
