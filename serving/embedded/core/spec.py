"""What the doors ask of the core and what it answers, free of any transport."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """The model a request names.

    Attributes:
        name: of the model.
        version: this one; None with no label takes the highest that is available.
        label: the version this label stands for.
        signature: its name; empty for `serving_default`.
    """

    name: str
    version: int | None = None
    label: str | None = None
    signature: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Outputs by name, with the version and signature that made them."""

    outputs: Mapping[str, np.ndarray]
    version: int
    signature: str


@dataclass(frozen=True, kw_only=True)
class Classification:
    """For each example its classes as (label, score) pairs."""

    classes: Sequence[Sequence[tuple[str, float]]]
    version: int
    signature: str


@dataclass(frozen=True, kw_only=True)
class Regression:
    """For each example its value."""

    values: Sequence[float]
    version: int
    signature: str
