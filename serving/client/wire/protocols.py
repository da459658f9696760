"""The protocols a client can speak, by name; the library of one is loaded when it is asked for."""

from charflow.serving.client.arguments import ArgumentError
from charflow.serving.client.wire.tls import Tls
from charflow.serving.client.wire.transport import Transport


def open_transport(address: str, protocol: str, tls: Tls | None, *, blocking: bool) -> Transport:
    """Makes the transport of a client: one that blocks, or one for asyncio.

    Raises:
        ArgumentError: there is no such protocol, or the certificates cannot be used.
        OSError: a file of `tls` cannot be read.
    """
    if protocol == "grpc":
        from charflow.serving.client.wire.grpc_transport import AsyncGrpcTransport, GrpcTransport

        return GrpcTransport(address, tls) if blocking else AsyncGrpcTransport(address, tls)
    if protocol == "rest":
        from charflow.serving.client.wire.rest_transport import AsyncRestTransport, RestTransport

        return RestTransport(address, tls) if blocking else AsyncRestTransport(address, tls)
    raise ArgumentError(f"Unknown protocol {protocol!r}: use grpc or rest.")
