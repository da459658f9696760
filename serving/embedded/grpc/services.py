"""The services of tensorflow-serving-api in front of the core: protos in, protos out, errors as gRPC codes.

`grpc.server` offers them.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from google.protobuf import any_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from charflow.serving.embedded.core.core import Core
from charflow.serving.embedded.core.deadline import NEVER, Deadline
from charflow.serving.embedded.core.spec import Classification, ModelSpec, Regression
from charflow.serving.embedded.core.tensor_protos import to_arrays, to_examples, to_proto, to_spec
from charflow.serving.errors import InvalidArgument, ServingError

_logger = logging.getLogger(__name__)
_API = "GRPC"
_LONGEST_MESSAGE = 2000  # bytes; gRPC sends it in a header, up to three for each, and clients refuse over 8 kB
_FOREVER = 10**9  # seconds: gRPC's way of saying that a call has no deadline

Method = TypeVar("Method", bound=Callable[..., Any])


def count_refused(core: Core, error: ServingError) -> None:
    """Counts a call that was refused before anybody knew for which model."""
    core.count_refused("", error, api=_API)


def _rpc(*, counted: bool) -> Callable[[Method], Callable[..., Any]]:
    """Makes an RPC of a method that is handed the caller's deadline, too.

    Errors become gRPC statuses, here and nowhere else; of a call that is counted, also one that the core never saw.
    """

    def make(method: Method) -> Callable[..., Any]:
        @functools.wraps(method)
        def answer(service: Any, request: Any, context: grpc.ServicerContext) -> Any:
            left = context.time_remaining()
            deadline = NEVER if left is None or left > _FOREVER else Deadline.after(left)
            try:
                if not context.is_active():  # the caller gave up while the call waited for a thread
                    context.abort(grpc.StatusCode.CANCELLED, "the caller gave up")
                return method(service, request, context, deadline)
            except ServingError as error:
                if counted:
                    count_refused(service.core, error)
                message = error.message.encode(errors="replace")[:_LONGEST_MESSAGE].decode(errors="ignore")
                context.abort(grpc.StatusCode[error.code], message)
            except Exception as error:
                if type(error) is Exception and not error.args:  # how grpc itself ends a call that was aborted
                    raise
                _logger.exception("A call failed")
                context.abort(grpc.StatusCode.INTERNAL, "Internal error: the server's log says more")

        return answer

    return make


def _answered_by(spec: ModelSpec, version: int, signature: str | None = None) -> model_pb2.ModelSpec:
    proto = model_pb2.ModelSpec(name=spec.name, signature_name=signature or "")
    proto.version.value = version
    return proto


class PredictionServicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers predictions and metadata."""

    def __init__(self, core: Core, *, as_content: bool) -> None:
        self.core, self._as_content = core, as_content

    @_rpc(counted=True)
    def Predict(  # noqa: N802  # the service's own names
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext, deadline: Deadline
    ) -> predict_pb2.PredictResponse:
        spec = to_spec(request.model_spec)
        answer = self.core.predict(
            spec,
            functools.partial(to_arrays, request.inputs),
            outputs=list(request.output_filter),
            deadline=deadline,
            api=_API,
        )
        response = predict_pb2.PredictResponse(model_spec=_answered_by(spec, answer.version, answer.signature))
        for name, array in answer.outputs.items():
            to_proto(array, as_content=self._as_content, into=response.outputs[name])
        return response

    @_rpc(counted=True)
    def Classify(  # noqa: N802
        self, request: classification_pb2.ClassificationRequest, context: grpc.ServicerContext, deadline: Deadline
    ) -> classification_pb2.ClassificationResponse:
        spec = to_spec(request.model_spec)
        found = self.core.classify(spec, to_examples(request.input), deadline=deadline, api=_API)
        response = classification_pb2.ClassificationResponse(
            model_spec=_answered_by(spec, found.version, found.signature)
        )
        _write_classes(found, response.result)
        return response

    @_rpc(counted=True)
    def Regress(  # noqa: N802
        self, request: regression_pb2.RegressionRequest, context: grpc.ServicerContext, deadline: Deadline
    ) -> regression_pb2.RegressionResponse:
        spec = to_spec(request.model_spec)
        found = self.core.regress(spec, to_examples(request.input), deadline=deadline, api=_API)
        response = regression_pb2.RegressionResponse(model_spec=_answered_by(spec, found.version, found.signature))
        _write_values(found, response.result)
        return response

    @_rpc(counted=True)
    def MultiInference(  # noqa: N802
        self, request: inference_pb2.MultiInferenceRequest, context: grpc.ServicerContext, deadline: Deadline
    ) -> inference_pb2.MultiInferenceResponse:
        tasks = [(to_spec(task.model_spec), task.method_name) for task in request.tasks]
        results = self.core.multi_inference(tasks, to_examples(request.input), deadline=deadline, api=_API)
        response = inference_pb2.MultiInferenceResponse()
        for (spec, _), found in zip(tasks, results, strict=True):
            result = response.results.add(model_spec=_answered_by(spec, found.version, found.signature))
            if isinstance(found, Classification):
                _write_classes(found, result.classification_result)
            else:
                _write_values(found, result.regression_result)
        return response

    @_rpc(counted=False)
    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.ServicerContext, deadline: Deadline
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        spec = to_spec(request.model_spec)
        if not request.metadata_field:
            raise InvalidArgument("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise InvalidArgument(f"Metadata field {field} is not supported")
        version, signatures = self.core.metadata(spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=_answered_by(spec, version))
        packed = any_pb2.Any()
        packed.Pack(get_model_metadata_pb2.SignatureDefMap(signature_def=signatures))
        response.metadata["signature_def"].CopyFrom(packed)
        return response


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """Answers statuses, and takes new configurations."""

    def __init__(self, core: Core) -> None:
        self.core = core

    @_rpc(counted=False)
    def GetModelStatus(  # noqa: N802
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext, deadline: Deadline
    ) -> get_model_status_pb2.GetModelStatusResponse:
        if not request.HasField("model_spec"):
            raise InvalidArgument("Missing ModelSpec")
        proto = request.model_spec
        spec = ModelSpec(name=proto.name, version=proto.version.value if proto.HasField("version") else None)
        response = get_model_status_pb2.GetModelStatusResponse()
        for found in self.core.statuses(spec):
            status = response.model_version_status.add(
                version=found.version,
                state=get_model_status_pb2.ModelVersionStatus.State.Value(found.state),
            )
            status.status.error_code = grpc.StatusCode[found.code].value[0]
            status.status.error_message = found.message
        return response

    @_rpc(counted=False)
    def HandleReloadConfigRequest(  # noqa: N802
        self, request: model_management_pb2.ReloadConfigRequest, context: grpc.ServicerContext, deadline: Deadline
    ) -> model_management_pb2.ReloadConfigResponse:
        if request.config.WhichOneof("config") != "model_config_list":
            raise InvalidArgument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        # The answer must be on its way before the caller's own deadline ends the call without a reason.
        early = Deadline(deadline.end - min(1.0, 0.1 * deadline.left()))
        self.core.configuration.reload(request.config, deadline=early, is_awaited=context.is_active)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response


def _write_classes(found: Classification, result: classification_pb2.ClassificationResult) -> None:
    for row in found.classes:
        classes = result.classifications.add().classes
        for label, score in row:
            classes.add(label=label, score=score)


def _write_values(found: Regression, result: regression_pb2.RegressionResult) -> None:
    for value in found.values:
        result.regressions.add(value=value)
