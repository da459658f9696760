"""Calls, statuses, and what is counted; tiny real models behind it."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charflow.serving import errors
from charflow.serving.embedded.core import core as core_module
from charflow.serving.embedded.core.deadline import Deadline
from charflow.serving.embedded.core.inference import CLASSIFY, REGRESS
from charflow.serving.embedded.core.spec import ModelSpec
from charflow.serving.version_status import VersionStatus
from tests.serving.embedded.core.running_core import ALL, Server, ask, config, settle


def test_predict_answers_with_the_real_version_and_signature(server: Server) -> None:
    answer = ask(server)
    assert (answer.outputs["y"].tolist(), answer.version, answer.signature) == ([3], 1, "serving_default")
    answer = ask(server, ModelSpec(name="half", version=1, signature="twice"), outputs=["z"])
    assert (list(answer.outputs), answer.version, answer.signature) == (["z"], 1, "twice")


EXAMPLE = b"\n\x0f\n\r\n\x01x\x12\x08\x12\x06\n\x04\x00\x00\x00@"  # x: 2.0


def test_classify_regress_and_multi_inference_answer(server: Server) -> None:
    classify = ModelSpec(name="half", signature="classify")
    regress = ModelSpec(name="half", signature="regress")
    found = server.core.classify(classify, [EXAMPLE], api="GRPC")
    assert (found.classes, found.version, found.signature) == ([[("plus", 3), ("minus", -3)]], 1, "classify")
    value = server.core.regress(regress, [EXAMPLE] * 2, api="GRPC")
    assert (value.values, value.version, value.signature) == ([3, 3], 1, "regress")
    assert server.core.multi_inference([(regress, REGRESS), (classify, CLASSIFY)], [EXAMPLE] * 2, api="GRPC") == [
        value,
        core_module.Classification(classes=found.classes * 2, version=1, signature="classify"),
    ]
    assert server.counts("request_example_count_total") == {'{model="half"}': 5}


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([], "The request has no tasks"),
        (
            [(ModelSpec(name="half"), REGRESS), (ModelSpec(name="other"), REGRESS)],
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
    ],
    ids=["none", "two models"],
)
def test_multi_inference_refuses(tasks: Any, message: str, server: Server) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        server.core.multi_inference(tasks, [EXAMPLE], api="GRPC")
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (ModelSpec(name=""), errors.InvalidArgument, "ModelSpec has no name specified"),
        (ModelSpec(name="other"), errors.NotFound, "Servable not found for request: Latest(other)"),
        (ModelSpec(name="half", version=7), errors.NotFound, "Servable not found for request: Specific(half, 7)"),
        (ModelSpec(name="half", version=0), errors.NotFound, "Servable not found for request: Specific(half, 0)"),
        (
            ModelSpec(name="half", label="stable"),
            errors.InvalidArgument,
            "Unrecognized servable version label: stable",
        ),
        (
            ModelSpec(name="other", label="stable"),
            errors.InvalidArgument,
            "Unrecognized servable version label: stable",
        ),
    ],
    ids=["no name", "model", "version", "version 0", "label", "label of an unknown model"],
)
def test_spec_that_names_nothing_is_refused(
    spec: ModelSpec, error: type[errors.ServingError], message: str, server: Server
) -> None:
    for call in (lambda: ask(server, spec), lambda: server.core.metadata(spec)):
        with pytest.raises(error) as caught:
            call()
        assert caught.value.message == message


def test_metadata_gives_all_signatures_as_they_were_saved(server: Server) -> None:
    version, signatures = server.core.metadata(ModelSpec(name="half"))
    assert version == 1
    assert set(signatures) == {"serving_default", "twice", "regress", "classify", "product", "matmul"}
    assert signatures["regress"].method_name == "tensorflow/serving/regress"


@pytest.mark.parametrize("seconds", [0.0, -3.0])
def test_deadline_that_has_passed_ends_the_call(seconds: float, server: Server) -> None:
    with pytest.raises(errors.DeadlineExceeded, match="the deadline had passed"):
        ask(server, deadline=Deadline.after(seconds))


def test_time_spent_before_the_run_counts_towards_the_deadline(server: Server) -> None:
    def slow(_: Any) -> Mapping[str, np.ndarray]:
        time.sleep(0.2)
        return {"x": np.float32([1])}

    spec = ModelSpec(name="half")
    assert server.core.predict(spec, slow, deadline=Deadline.after(20), api="GRPC").version == 1
    began = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded):
        server.core.predict(spec, slow, deadline=Deadline.after(0.1), api="GRPC")
    assert time.monotonic() - began < 5


def test_requests_are_counted_by_their_status_and_timed(server: Server) -> None:
    ask(server)
    ask(server)
    with pytest.raises(errors.FailedPrecondition):
        ask(server, ModelSpec(name="half", signature="sing"))
    with pytest.raises(ZeroDivisionError):
        server.core.predict(ModelSpec(name="half"), lambda _: {"x": 1 / 0}, api="REST")
    assert server.counts("request_count") == {
        '{model_name="half",status="OK"}': 2,
        '{model_name="half",status="FAILED_PRECONDITION"}': 1,
        '{model_name="half",status="INTERNAL"}': 1,
    }
    assert server.counts("request_latency_count") == {'{API="Predict",entrypoint="GRPC",model_name="half"}': 2}
    assert server.counts("runtime_latency_count") == {'{API="Predict",model_name="half",runtime="TF1"}': 2}
    assert ':charflow:serving:signature_latency_count{API="Predict",entrypoint="GRPC",model_name="half",' in (
        server.metrics.text().decode()
    )


def test_names_that_are_not_served_do_not_become_labels(server: Server) -> None:
    for number in range(3):
        with pytest.raises(errors.NotFound):
            ask(server, ModelSpec(name=f"made-up-{number}"))
    assert server.counts("request_count") == {'{model_name="",status="NOT_FOUND"}': 3}
    assert "made-up" not in server.metrics.text().decode()


def test_statuses_tell_all_versions_or_the_one_asked_for(make: Callable[..., Server], base: Path) -> None:
    server = make()
    server.core.configuration.reload(config(m=str(base), policy=ALL), deadline=Deadline.after(20))
    settle(server, "m", {2: "AVAILABLE", 1: "AVAILABLE"})
    both = [VersionStatus(version=2, state="AVAILABLE"), VersionStatus(version=1, state="AVAILABLE")]
    assert server.core.statuses(ModelSpec(name="m")) == both
    assert server.core.statuses(ModelSpec(name="m", version=1)) == both[1:]
    assert server.core.statuses(ModelSpec(name="m", label="nobody")) == both


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ModelSpec(name="other"), "Could not find any versions of model other"),
        (ModelSpec(name="half", version=7), "Could not find version 7 of model half"),
        (ModelSpec(name="other", version=7), "Could not find version 7 of model other"),
    ],
    ids=["model", "version", "version of an unknown model"],
)
def test_statuses_of_the_unknown_are_not_found(spec: ModelSpec, message: str, server: Server) -> None:
    with pytest.raises(errors.NotFound) as caught:
        server.core.statuses(spec)
    assert caught.value.message == message


def test_calls_are_answered_while_a_reload_waits(server: Server, half_base: str, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def reload() -> None:
        try:
            server.core.configuration.reload(config(half=half_base, later=str(tmp_path)), deadline=Deadline.after(0.5))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=reload)
    thread.start()
    while "later" not in server.core.configuration.names():
        time.sleep(0.01)
    assert ask(server).version == 1
    server.core.configuration.look_for_versions()
    assert thread.is_alive()
    thread.join(10)
    assert [type(failure) for failure in failures] == [errors.DeadlineExceeded]
