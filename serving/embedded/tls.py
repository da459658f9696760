"""Keys and certificates of the server, for both doors."""

import ssl

import grpc

from charflow.serving.errors import UsageError
from charflow.serving.protos.ssl_config_pb2 import SSLConfig
from charflow.serving.scratch import scratch_file


def grpc_credentials(config: SSLConfig) -> grpc.ServerCredentials:
    """Makes the credentials of the gRPC door.

    Raises:
        UsageError: the key, the certificate or the authority cannot be used.
    """
    ssl_context(config)  # checks them: gRPC takes anything, and then cannot listen
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def ssl_context(config: SSLConfig) -> ssl.SSLContext:
    """Makes the context of the REST door.

    Raises:
        UsageError: the key, the certificate or the authority cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        with scratch_file() as chain:  # the ssl module reads keys from files only
            chain.write(f"{config.server_key}\n{config.server_cert}\n".encode())
            chain.flush()
            context.load_cert_chain(chain.name)
        if config.custom_ca:
            context.load_verify_locations(cadata=config.custom_ca)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise UsageError(f"--ssl_config_file: its key or certificate cannot be used: {error}.") from error
    if config.client_verify:
        if not config.custom_ca:
            raise UsageError("--ssl_config_file: client_verify needs custom_ca, the authority of the clients.")
        context.verify_mode = ssl.CERT_REQUIRED
    return context
