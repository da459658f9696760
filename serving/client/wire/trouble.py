"""What keeps a client and a server from talking, and what to change: an argument in Python, an option of a command.

The two transports tell from what their libraries say which of these it is; `transport` makes the error.
"""

import re
from enum import Enum

_OTHER_HOST = re.compile("host ?name|address mismatch", re.IGNORECASE)
_UNKNOWN_ISSUER = re.compile("issuer|self.signed|first certificate", re.IGNORECASE)


class Trouble(Enum):
    """A reason why no answer comes.

    Attributes:
        seen: what the client sees, as a clause.
        python: what a caller of the clients changes, as a clause; empty where nothing helps.
        command: what a user of `charflow complete` changes, as a sentence; empty where nothing helps.
    """

    NO_SERVER = ("no server answers there", "", "Start one: charflow serve.")
    PLAIN_HANGS_UP = (
        "the server closed the connection without an answer",
        "if it uses TLS, pass tls=Tls(ca=...), and cert and key if it asks for a certificate",
        "If it uses TLS, pass --ca FILE, and --cert FILE --key FILE if it asks for a certificate.",
    )
    GRPC_TLS_HANGS_UP = (
        "the server took part in TLS, then closed the connection",
        "if it asks for a certificate, pass one that it trusts as tls=Tls(cert=..., key=...)",
        "If it asks for a certificate, pass one that it trusts as --cert FILE --key FILE.",
    )
    REST_TLS_HANGS_UP = (
        "the server took part in TLS, then closed the connection without an answer",
        "if it asks for a certificate, pass one that it trusts as tls=Tls(cert=..., key=...); "
        'if this is its gRPC port, pass protocol="grpc"',
        "If it asks for a certificate, pass one that it trusts as --cert FILE --key FILE; "
        "if this is its gRPC port, leave out --rest.",
    )
    UNTRUSTED = (
        "the certificate of the server is not trusted",
        "pass that of its authority as tls=Tls(ca=...)",
        "Pass that of its authority as --ca FILE.",
    )
    OTHER_HOST = (
        "the certificate of the server is for another host",
        "name the host as the certificate does, or pass that name as tls=Tls(server_name=...)",
        "Name the host in --server as the certificate does.",
    )
    BAD_CERTIFICATE = ("the certificate of the server is not valid", "", "")
    HANDSHAKE = (
        "the TLS handshake failed",
        "check ca, cert and key of tls=Tls(...)",
        "Check --ca, --cert and --key.",
    )
    NO_TLS = (
        "what answers there is not TLS",
        "leave out tls",
        "Leave out --tls, --ca, --cert and --key.",
    )
    REST_ANSWERS = (
        "REST answers there, not gRPC",
        'pass protocol="rest", or the gRPC port (8500 by habit)',
        "Pass --rest, or the gRPC port with --server (8500 by habit).",
    )
    GRPC_ANSWERS = (
        "gRPC answers there, not REST",
        'pass protocol="grpc", or the REST port (8501 by habit)',
        "Leave out --rest, or pass the REST port with --server (8501 by habit).",
    )

    def __init__(self, seen: str, python: str, command: str) -> None:
        self.seen, self.python, self.command = seen, python, command


def certificate_trouble(reason: str) -> Trouble:
    """Tells what is wrong with a server's certificate from what OpenSSL or gRPC says.

    >>> certificate_trouble("unable to get local issuer certificate").name
    'UNTRUSTED'
    """
    if _OTHER_HOST.search(reason):
        return Trouble.OTHER_HOST
    return Trouble.UNTRUSTED if _UNKNOWN_ISSUER.search(reason) else Trouble.BAD_CERTIFICATE
