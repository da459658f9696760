"""A gRPC and a REST server of TensorFlow Serving's protocol around the fake model.

The protos are made and read with TensorFlow, not with the client's codecs.
"""

import asyncio
import json
import threading
import time
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
import uvicorn
from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.serving.client.fake_model import Backend, Refused

HTTP = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def _metadata(backend: Backend, model: str, version: int) -> get_model_metadata_pb2.GetModelMetadataResponse:
    signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=backend.signatures(version))
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = model
    response.model_spec.version.value = version
    response.metadata["signature_def"].Pack(signatures)
    return response


def _status(backend: Backend) -> get_model_status_pb2.GetModelStatusResponse:
    response = get_model_status_pb2.GetModelStatusResponse()
    for version in sorted(backend.versions, reverse=True):
        response.model_version_status.add(version=version, state="AVAILABLE")
    ended = response.model_version_status.add(version=1, state="END")
    ended.status.error_code, ended.status.error_message = 8, "out of memory"
    return response


class _Servicer(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, server: "FakeServers") -> None:
        self._server = server

    def _find(self, spec: Any, context: grpc.ServicerContext) -> int:
        label = spec.version_label if spec.HasField("version_label") else None
        try:
            return self._server.backend.version(spec.name, self._asked(spec), label)
        except Refused as refused:
            context.abort(getattr(grpc.StatusCode, refused.code), str(refused))
            raise  # abort has raised

    def _asked(self, spec: Any) -> int | None:
        return spec.version.value if spec.HasField("version") else None

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        backend = self._server.backend
        version = self._find(request.model_spec, context)
        inputs = {name: _plain(tf.make_ndarray(proto)) for name, proto in request.inputs.items()}
        try:
            outputs = backend.predict(
                version, self._asked(request.model_spec), request.model_spec.signature_name, inputs
            )
        except Refused as refused:
            context.abort(getattr(grpc.StatusCode, refused.code), str(refused))
        return predict_pb2.PredictResponse(
            outputs={name: tf.make_tensor_proto(value) for name, value in outputs.items()}
        )

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        version = self._find(request.model_spec, context)
        return _metadata(self._server.backend, request.model_spec.name, version)

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._find(request.model_spec, context)
        return _status(self._server.backend)


def _plain(array: np.ndarray) -> list[Any]:
    values = array.tolist()
    return [value.decode() if isinstance(value, bytes) else value for value in values]


def _app(server: "FakeServers") -> Starlette:
    def proto_json(proto: Any) -> dict[str, Any]:
        return MessageToDict(proto, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)

    def answer(method: str, parts: dict[str, str], what: str, body: bytes) -> Any:
        backend = server.backend
        asked = int(parts["version"]) if "version" in parts else None
        version = backend.version(parts["model"], asked, parts.get("label"))
        if method == "GET" and what == "":
            return proto_json(_status(backend))
        if method == "GET":
            found = proto_json(_metadata(backend, parts["model"], version))
            found["metadata"]["signature_def"].pop("@type")
            return found
        request = json.loads(body)
        outputs = backend.predict(version, asked, request["signature_name"], request["inputs"])
        plain = {name: np.asarray(value).tolist() for name, value in outputs.items()}
        return {"outputs": plain if len(plain) > 1 else next(iter(plain.values()))}

    async def handle(request: Request) -> Response:
        path = request.scope["path"].removeprefix("/v1/models/")
        path, _, verb = path.partition(":")
        names = path.split("/")
        parts, rest = {"model": names[0]}, names[1:]
        while len(rest) >= 2 and rest[0] in ("versions", "labels"):
            parts[rest[0][:-1]] = rest[1]
            rest = rest[2:]
        if server.raw is not None:
            return Response(server.raw[1], server.raw[0])
        try:
            body = await request.body()
            found = await asyncio.to_thread(answer, request.method, parts, verb or "".join(rest), body)
            return Response(json.dumps(found), media_type="application/json")
        except Refused as refused:
            return Response(json.dumps({"error": str(refused)}), HTTP[refused.code], media_type="application/json")

    return Starlette(routes=[Route("/{path:path}", handle, methods=["GET", "POST"])])


@dataclass(frozen=True)
class Pem:
    """Certificates of the fake servers: PEM files. With `client_ca` they ask for the client's."""

    cert: str
    key: str
    client_ca: str | None = None


class FakeServers:
    """Both protocols on free ports of 127.0.0.1; `backend` may be replaced at any time."""

    def __init__(self, pem: Pem | None = None) -> None:
        self.backend = Backend()
        self.raw: tuple[int, bytes] | None = None  # what REST answers, whatever is asked
        self._grpc = grpc.server(
            futures.ThreadPoolExecutor(4),
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )
        servicer = _Servicer(self)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, self._grpc)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(servicer, self._grpc)
        tls: dict[str, Any] = {}
        if pem:
            cert, key, ca = (Path(path).read_bytes() if path else None for path in (pem.cert, pem.key, pem.client_ca))
            credentials = grpc.ssl_server_credentials([(key, cert)], ca, ca is not None)
            grpc_port = self._grpc.add_secure_port("127.0.0.1:0", credentials)
            tls = {"ssl_certfile": pem.cert, "ssl_keyfile": pem.key, "ssl_ca_certs": pem.client_ca}
            tls["ssl_cert_reqs"] = 2 if pem.client_ca else 0
        else:
            grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        # Without a time limit it never ends while a client that went away in the middle of a request has not closed.
        config = uvicorn.Config(
            _app(self), host="127.0.0.1", port=0, log_level="critical", timeout_graceful_shutdown=1, **tls
        )
        self._rest = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._rest.run, daemon=True)
        self._thread.start()
        while not self._rest.started:
            time.sleep(0.01)
        rest_port = self._rest.servers[0].sockets[0].getsockname()[1]
        self.addresses = {"grpc": f"127.0.0.1:{grpc_port}", "rest": f"127.0.0.1:{rest_port}"}

    def reset(self) -> None:
        self.backend, self.raw = Backend(), None

    def stop(self) -> None:
        self._grpc.stop(None).wait()
        self._rest.should_exit = True
        self._thread.join()
