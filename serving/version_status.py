"""Where a version of a model is in its life: the embedded server says it, the client reads it."""

from dataclasses import dataclass

START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"


@dataclass(frozen=True)
class VersionStatus:
    """The state of a version.

    Attributes:
        version: its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        code: OK, or the canonical code of what kept it from being served.
        message: that error.
    """

    version: int
    state: str
    code: str = "OK"
    message: str = ""
