"""What the clients return."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from charflow.serving.errors import FailedPrecondition

_CARRIED = ("prompt", "state", "position")


@dataclass(frozen=True)
class Completion:
    """One completion.

    Attributes:
        text: what follows the prompt; ends with the stop string where `finish_reason` is "stop". The end of a message
            inside of it is a line break.
        log_prob: sum of natural logarithms under the model (temperature 1, no filter).
        length: characters written; fewer than were asked for where the limit of the export is lower, and
            `finish_reason` is "length" all the same.
        finish_reason: "length", "stop", or "end" where the last message is over.
    """

    text: str
    log_prob: float
    length: int
    finish_reason: str


@dataclass(frozen=True)
class NextChars:
    """Every known character as the next one, most likely first.

    Attributes:
        chars: the characters; the end of a message is called "[END]".
        probabilities: theirs, in the same order.
    """

    chars: tuple[str, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Score:
    """How likely a text is, as what follows a message boundary; as a whole message where the model knows their ends.

    Attributes:
        bits_per_char: mean over the known characters; 0 without any.
        char_log_probs: natural logarithms, one a character; 0 where the character is unknown. That of the message's
            end is the last, where the model knows ends and the text is not truncated.
        length: characters scored, the end too; a text over the limit of the export is scored up to it.
        unknown_chars: how many of them the model has never seen.
        truncated: whether the text goes on after those; None from an export that does not say.
    """

    bits_per_char: float
    char_log_probs: tuple[float, ...]
    length: int
    unknown_chars: int
    truncated: bool | None = None


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a signature.

    Attributes:
        dtype: such as DT_STRING.
        shape: dimensions, None where unknown; None for an unknown rank.
    """

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """What a signature takes and gives.

    Attributes:
        inputs: by name.
        outputs: by name.
        defaults: values of the inputs that have one, as nested lists in the tensor's shape.
    """

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    defaults: Mapping[str, Any]

    @property
    def settings(self) -> dict[str, str]:
        """The data types of the inputs that say how to write, by name: all but the prompt and what `stream` carries."""
        return {name: info.dtype for name, info in self.inputs.items() if name not in _CARRIED}


@dataclass(frozen=True)
class ModelMetadata:
    """One version of a model.

    Attributes:
        name: of the model.
        version: its number, whatever version or label was asked for.
        signatures: by name.
    """

    name: str
    version: int
    signatures: Mapping[str, Signature]

    def signature(self, name: str) -> Signature:
        """Finds a signature.

        Raises:
            FailedPrecondition: the model has none of this name.
        """
        if name not in self.signatures:
            has = ", ".join(sorted(key for key in self.signatures if not key.startswith("__"))) or "none"
            raise FailedPrecondition(
                f"Version {self.version} of model {self.name!r} has no signature {name!r}. Its signatures are: {has}."
            )
        return self.signatures[name]
