"""What `calls` asks of a transport, and which model a request is for.

`grpc_transport` and `rest_transport` each have a blocking and an asyncio transport of this shape.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from charflow.serving.client.arguments import ArgumentError, Tensor, int_between, text
from charflow.serving.client.results import ModelMetadata
from charflow.serving.client.wire.trouble import Trouble
from charflow.serving.errors import Unavailable
from charflow.serving.version_status import VersionStatus

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})")


class Unreachable(Unavailable):
    """No connection to a server that speaks this protocol could be made.

    Attributes:
        seen: the address, and what is wrong there, without a final stop.
        trouble: its kind.
    """

    def __init__(self, message: str, seen: str = "", trouble: Trouble = Trouble.NO_SERVER) -> None:
        super().__init__(message)
        self.seen, self.trouble = seen or message.rstrip("."), trouble

    def for_command(self, **advice: str) -> str:
        """Says it with the options of a command in place of arguments; `advice` replaces that of a trouble's name."""
        return f"{self.seen}. {advice.get(self.trouble.name, self.trouble.command)}".rstrip()


@dataclass(frozen=True)
class Target:
    """The model a request names.

    Attributes:
        model: its name.
        version: this one; None with no label takes the highest that is available.
        label: the version this label stands for.
    """

    model: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        text("model", self.model)
        if self.version is not None:
            object.__setattr__(self, "version", int_between(0, 2**63 - 1)("version", self.version))
        if self.label is not None:
            text("label", self.label)
        if not self.model:
            raise ArgumentError("model must not be empty: name the model as the server does.")
        if self.version is not None and self.label is not None:
            raise ArgumentError("Pass a version or a label, not both.")


class Transport(Protocol):
    """Sends one request within `timeout` seconds and returns the answer; failures are `ServingError`s."""

    async def predict(
        self, target: Target, signature: str, inputs: Mapping[str, Tensor], timeout: float
    ) -> Mapping[str, Any]:
        """Runs a signature; returns nested lists by output name."""

    async def metadata(self, target: Target, timeout: float) -> ModelMetadata:
        """Reads the signatures."""

    async def status(self, target: Target, timeout: float) -> list[VersionStatus]:
        """Reads the states of the versions."""

    async def close(self) -> None:
        """Closes the connections."""


def checked_address(address: str) -> str:
    """Returns an address of the form HOST:PORT as it is.

    Raises:
        ArgumentError: it has another form.
    """
    match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
    if match is None or not 0 < int(match["port"]) < 2**16:
        raise ArgumentError(f"The address must be HOST:PORT, such as 127.0.0.1:8500, not {address!r}.")
    return address


def unreachable(address: str, trouble: Trouble, cause: str = "") -> Unreachable:
    """Makes the error of a server that cannot be talked to.

    >>> unreachable("127.0.0.1:8501", Trouble.NO_TLS).message
    '127.0.0.1:8501: what answers there is not TLS: leave out tls.'
    """
    seen = f"{address}: {trouble.seen}" + (f" ({' '.join(cause.split())})" if cause else "")
    return Unreachable(seen + (f": {trouble.python}." if trouble.python else "."), seen, trouble)
