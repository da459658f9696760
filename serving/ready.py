"""Says when and where a server can be called.

`child` asks here whether the server it started is ready; `print_ready` is what the user sees, whichever the back end.
"""

import http
import http.client
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from charflow.serving.errors import UsageError

_PATIENCE = 2.0  # seconds for one answer
# The client's first words in HTTP/2 (RFC 9113, 3.4), with empty settings: a gRPC server answers, a port that Docker
# only forwards does not.
_HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Where a server listens, and what it serves.

    Attributes:
        host: its address.
        port: of gRPC; 0 is off.
        grpc_socket_path: its UNIX socket; empty is none.
        rest_api_port: of REST; 0 is off.
        tls: gRPC is encrypted.
        models: names that must be available.
    """

    host: str
    port: int
    grpc_socket_path: str = ""
    rest_api_port: int
    tls: bool = False
    models: Sequence[str] = ()

    @property
    def grpc_address(self) -> str:
        """Addresses of gRPC, as gRPC writes them: the port, the socket, or both."""
        port = [host_and_port(self.host, self.port)] if self.port else []
        return " and ".join([*port, *([f"unix:{self.grpc_socket_path}"] if self.grpc_socket_path else [])])

    @property
    def rest_address(self) -> str | None:
        """Host and port of REST, None if it is off."""
        return host_and_port(self.host, self.rest_api_port) if self.rest_api_port else None

    def refuse_taken(self) -> None:
        """Refuses a port where another server answers, whose answers would be taken for those of the new one."""
        for flag, port in (("port", self.port), ("rest_api_port", self.rest_api_port)):
            if port and _accepts(_reachable(self.host), port):
                raise UsageError(f"Port {port} is in use: give --{flag} another number.")

    def are_open(self) -> bool:
        """Tells whether every model is available by REST or, where REST is off, whether gRPC answers.

        TensorFlow Serving opens its ports when the models are available, so both mean the same.
        """
        try:
            if self.rest_api_port and self.models:
                return all(self._is_available(model) for model in self.models)
            return self._grpc_answers()
        except (OSError, http.client.HTTPException):
            return False

    def _is_available(self, model: str) -> bool:
        connection = http.client.HTTPConnection(_reachable(self.host), self.rest_api_port, timeout=_PATIENCE)
        try:
            connection.request("GET", f"/v1/models/{quote(model, safe='')}")
            answer = connection.getresponse()
            return answer.status == http.HTTPStatus.OK and b'"AVAILABLE"' in answer.read()
        finally:
            connection.close()

    def _grpc_answers(self) -> bool:
        with self._connected() as plain, _encrypted(plain) if self.tls else plain as connection:
            connection.sendall(_HTTP2_GREETING)
            return bool(connection.recv(1))

    def _connected(self) -> socket.socket:
        if self.port:
            return socket.create_connection((_reachable(self.host), self.port), timeout=_PATIENCE)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_PATIENCE)
        connection.connect(self.grpc_socket_path)
        return connection


def print_ready(
    grpc_address: str | None,
    rest_address: str | None,
    model_names: Sequence[str],
    *,
    rest_tls: bool = False,
    client_verify: bool = False,
    playground: bool = False,
) -> None:
    """Prints what is served and where, and a first call to try.

    Args:
        grpc_address: where gRPC listens, None if it does not.
        rest_address: where REST listens, None if it does not.
        model_names: what is served.
        rest_tls: REST is encrypted: the call trusts a file that the user must name.
        client_verify: clients must show a certificate, which the user must name too.
        playground: REST has a page for people, too.
    """
    scheme = "https" if rest_tls else "http"
    print(f"Serving {', '.join(model_names) or 'no model yet'}.")
    if grpc_address:
        print(f"gRPC: {grpc_address}")
    if rest_address:
        print(f"REST: {scheme}://{rest_address}")
    host = (rest_address or "").replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
    if rest_address and playground:
        print(f"Page: {scheme}://{host}/")
    if rest_address and model_names:
        url = f"{scheme}://{host}/v1/models/{quote(model_names[0], safe='')}:predict"
        files = " --cacert CA.pem" if rest_tls else ""
        files += " --cert CLIENT.pem --key CLIENT.key" if rest_tls and client_verify else ""
        print(f"""Try:  curl{files} -d '{{"instances": ["how do i "]}}' {url}""")
    print(end="", flush=True)


def host_and_port(host: str, port: int) -> str:
    """Writes an address; IPv6 goes into brackets, if it is not in some already.

    >>> host_and_port("::1", 8500)
    '[::1]:8500'
    """
    bare = host.strip("[]")
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def _reachable(host: str) -> str:
    bare = host.strip("[]")
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bare, bare)


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_PATIENCE).close()
    except OSError:
        return False
    return True


def _encrypted(plain: socket.socket) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # whether it answers is all that is asked
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(plain)
