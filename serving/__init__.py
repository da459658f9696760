"""Serves exported models over the protocol of TensorFlow Serving, and calls them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charflow.serving.client.arguments import ArgumentError
    from charflow.serving.client.async_client import AsyncClient
    from charflow.serving.client.client import Client
    from charflow.serving.client.results import (
        Completion,
        ModelMetadata,
        NextChars,
        Score,
        Signature,
        TensorInfo,
    )
    from charflow.serving.client.wire.tls import Tls
    from charflow.serving.client.wire.transport import Unreachable
    from charflow.serving.errors import (
        Aborted,
        AlreadyExists,
        Cancelled,
        DataLoss,
        DeadlineExceeded,
        FailedPrecondition,
        Internal,
        InvalidArgument,
        NotFound,
        OutOfRange,
        PermissionDenied,
        ResourceExhausted,
        ServingError,
        Unauthenticated,
        Unavailable,
        Unimplemented,
        UsageError,
    )
    from charflow.serving.version_status import VersionStatus

_HOMES = {
    "Aborted": "errors",
    "AlreadyExists": "errors",
    "ArgumentError": "client.arguments",
    "AsyncClient": "client.async_client",
    "Cancelled": "errors",
    "Client": "client.client",
    "Completion": "client.results",
    "DataLoss": "errors",
    "DeadlineExceeded": "errors",
    "FailedPrecondition": "errors",
    "Internal": "errors",
    "InvalidArgument": "errors",
    "ModelMetadata": "client.results",
    "NextChars": "client.results",
    "NotFound": "errors",
    "OutOfRange": "errors",
    "PermissionDenied": "errors",
    "ResourceExhausted": "errors",
    "Score": "client.results",
    "ServingError": "errors",
    "Signature": "client.results",
    "TensorInfo": "client.results",
    "Tls": "client.wire.tls",
    "Unauthenticated": "errors",
    "Unavailable": "errors",
    "Unimplemented": "errors",
    "Unreachable": "client.wire.transport",
    "UsageError": "errors",
    "VersionStatus": "version_status",
}

__all__ = [
    "Aborted",
    "AlreadyExists",
    "ArgumentError",
    "AsyncClient",
    "Cancelled",
    "Client",
    "Completion",
    "DataLoss",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Internal",
    "InvalidArgument",
    "ModelMetadata",
    "NextChars",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "ResourceExhausted",
    "Score",
    "ServingError",
    "Signature",
    "TensorInfo",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Unreachable",
    "UsageError",
    "VersionStatus",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
