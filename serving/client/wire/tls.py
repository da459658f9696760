"""Encrypts the connection, for both protocols: whom to trust, and who we are."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from charflow.serving.client.arguments import ArgumentError


@dataclass(frozen=True)
class Tls:
    """Certificates as PEM files.

    Attributes:
        ca: whom to trust; None trusts the roots of this system.
        cert: our own certificate, for servers that ask for one.
        key: its private key.
        server_name: the name to look for in the server's certificate, where it is not the host of the address.
    """

    ca: Path | str | None = None
    cert: Path | str | None = None
    key: Path | str | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ArgumentError("Pass a certificate and its key together.")

    def context(self) -> ssl.SSLContext:
        """Reads the files.

        Raises:
            ArgumentError: a file is no PEM certificate or key, or they do not belong together.
            OSError: a file cannot be read.
        """
        for path in (self.ca, self.cert, self.key):
            self.read(path)  # for an OSError that names the file, which those of ssl do not
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except ssl.SSLError as error:
            raise ArgumentError(f"{self.ca} is no PEM file of certificates: {_reason(error)}.") from None
        if self.cert is not None:
            try:
                context.load_cert_chain(self.cert, self.key)
            except ssl.SSLError as error:
                raise ArgumentError(
                    f"{self.cert} and {self.key} are no certificate and key: {_reason(error)}."
                ) from None
        return context

    def roots(self) -> bytes | None:
        """The trusted certificates for gRPC, which takes no context; None takes those gRPC brings along."""
        return self.read(self.ca or ssl.get_default_verify_paths().cafile)

    @staticmethod
    def read(path: Path | str | None) -> bytes | None:
        """The bytes of a file, where one is named."""
        return Path(path).read_bytes() if path is not None else None


def tls_of(given: Tls | bool | None) -> Tls | None:
    """Reads the argument `tls` of the clients: True trusts the roots of this system, None and False are off."""
    if isinstance(given, Tls):
        return given
    if given is True:
        return Tls()
    if given is None or given is False:
        return None
    raise ArgumentError(f"tls must be a Tls, True or None, not {given!r}.")


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
