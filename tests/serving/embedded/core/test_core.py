"""Models by configuration, labels, reloads, statuses, and what is counted; tiny real models behind it."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from shutil import copytree, move, rmtree
from typing import Any

import numpy as np
import pytest
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from charflow.serving import errors
from charflow.serving.embedded.core import core as core_module
from charflow.serving.embedded.core.core import Core
from charflow.serving.embedded.core.deadline import Deadline
from charflow.serving.embedded.core.inference import CLASSIFY, REGRESS
from charflow.serving.embedded.core.loading import LoadSettings, ServedVersion
from charflow.serving.embedded.core.metrics import Metrics
from charflow.serving.embedded.core.models import Models
from charflow.serving.embedded.core.spec import ModelSpec
from charflow.serving.version_status import VersionStatus

ALL = "all"


def config(labels: Mapping[str, int] | None = None, policy: Any = None, **paths: str) -> ModelServerConfig:
    """Models by name; labels and policy are those of each."""
    made = ModelServerConfig()
    made.model_config_list.SetInParent()
    for name, path in paths.items():
        model = made.model_config_list.config.add(name=name, base_path=path, model_platform="tensorflow")
        model.version_labels.update(labels or {})
        if policy == ALL:
            model.model_version_policy.all.SetInParent()
        elif policy:
            model.model_version_policy.specific.versions.extend(policy)
    return made


class Server:
    """A core with all it needs."""

    def __init__(self, **options: Any) -> None:
        self.metrics = Metrics()
        self.models = Models(lambda _, path: ServedVersion(path, LoadSettings(), self.metrics), max_retries=0)
        self.core = Core(self.models, self.metrics, **options)

    def counts(self, name: str) -> dict[str, float]:
        text = self.metrics.text().decode()
        found = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(f":tensorflow:serving:{name}"))
        return {sample.removeprefix(f":tensorflow:serving:{name}"): float(value) for sample, value in found}


@pytest.fixture
def make() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(**options: Any) -> Server:
        made.append(Server(**options))
        return made[-1]

    yield make
    for server in made:
        server.models.close()


@pytest.fixture
def server(make: Callable[..., Server], half_base: str) -> Server:
    """Serves `half`."""
    server = make()
    server.core.configuration.reload(config(half=half_base), deadline=Deadline.after(20))
    return server


@pytest.fixture
def base(half: str, tmp_path: Path) -> Path:
    """A base path with versions 1 and 2."""
    for version in "12":
        copytree(half, tmp_path / "m" / version)
    return tmp_path / "m"


def ask(server: Server, spec: ModelSpec | None = None, x: Any = (2.0,), **options: Any) -> Any:
    spec = spec or ModelSpec(name="half")
    return server.core.predict(spec, lambda _: {"x": np.float32(x)}, api="GRPC", **options)


def settle(server: Server, name: str, expected: Mapping[int, str]) -> None:
    end = time.monotonic() + 20
    while (found := {s.version: s.state for s in server.models.statuses(name)}) != expected:
        assert time.monotonic() < end, f"{found} did not become {expected}"
        time.sleep(0.01)


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
        server.core.predict(ModelSpec(name="half"), lambda _: {"x": 1 / 0}, api="REST")  # type: ignore[dict-item]
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


def test_reload_adds_and_removes_models(server: Server, half_base: str, base: Path) -> None:
    server.core.configuration.reload(config(m=str(base)), deadline=Deadline.after(20))
    assert server.core.configuration.names() == ["m"]
    assert ask(server, ModelSpec(name="m")).version == 2
    settle(server, "half", {1: "END"})
    with pytest.raises(errors.NotFound, match=r"Latest\(half\)"):
        ask(server)
    assert server.core.statuses(ModelSpec(name="half")) == [VersionStatus(version=1, state="END")]
    server.core.configuration.reload(config(m=str(base), half=half_base), deadline=Deadline.after(20))
    assert ask(server).version == 1


def test_reload_of_an_empty_list_unloads_all_and_of_nothing_changes_nothing(server: Server) -> None:
    server.core.configuration.reload(ModelServerConfig())
    assert server.core.configuration.names() == ["half"]
    server.core.configuration.reload(config())
    settle(server, "half", {1: "END"})
    assert server.core.configuration.names() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model, models: models.add().CopyFrom(model), "Illegal to list model half multiple times"),
        (lambda model, _: setattr(model, "base_path", "half"), "to have an absolute path or URI"),
        (lambda model, _: model.ClearField("model_platform"), "Illegal setting neither"),
        (lambda model, _: setattr(model, "model_platform", "jax"), "requests unsupported platform jax"),
    ],
    ids=["twice", "relative", "no platform", "other platform"],
)
def test_reload_refuses_and_keeps_the_old(
    change: Callable[[Any, Any], Any], message: str, server: Server, half_base: str, base: Path
) -> None:
    wrong = config(half=half_base, m=str(base))
    change(wrong.model_config_list.config[0], wrong.model_config_list.config)
    with pytest.raises(errors.InvalidArgument, match=message):
        server.core.configuration.reload(wrong, deadline=Deadline.after(20))
    assert server.core.configuration.names() == ["half"]
    assert ask(server).version == 1
    assert server.models.statuses("m") == []


def test_reload_tells_that_a_new_model_cannot_be_loaded(server: Server, half_base: str, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    with pytest.raises(errors.ServingError) as caught:
        server.core.configuration.reload(config(half=half_base, broken=str(tmp_path)), deadline=Deadline.after(20))
    assert caught.value.message.startswith(
        "1 model(s) did not become available: {name: broken version: 1 due to error: NOT_FOUND: "
    )
    assert ask(server).version == 1


def test_reload_waits_for_a_model_without_versions_no_longer_than_it_may(server: Server, tmp_path: Path) -> None:
    with pytest.raises(errors.DeadlineExceeded) as caught:
        server.core.configuration.reload(config(later=str(tmp_path)), deadline=Deadline.after(0.1))
    assert caught.value.message == (
        f"1 model(s) did not become available in time: later: {tmp_path} has no version to serve: "
        "versions are folders whose names are integers"
    )


def test_reload_ends_when_nobody_waits_for_it(server: Server, tmp_path: Path) -> None:
    with pytest.raises(errors.Cancelled, match=r"^The caller gave up$"):
        server.core.configuration.reload(config(later=str(tmp_path)), is_awaited=lambda: False)


def test_reload_ends_when_a_later_one_takes_its_model_out(server: Server, half_base: str, tmp_path: Path) -> None:
    failures: list[Exception] = []

    def wait_for_what_never_comes() -> None:
        try:
            server.core.configuration.reload(config(half=half_base, never=str(tmp_path)))
        except Exception as error:
            failures.append(error)

    waiting = threading.Thread(target=wait_for_what_never_comes)
    waiting.start()
    while "never" not in server.core.configuration.names():
        time.sleep(0.01)
    server.core.configuration.reload(config(half=half_base))
    waiting.join(10)
    assert [str(failure) for failure in failures] == ["A later configuration took out what was awaited: never"]


def test_await_models_follows_a_configuration_that_is_corrected(server: Server, half_base: str, tmp_path: Path) -> None:
    server.core.configuration.apply(config(half=half_base, never=str(tmp_path)))
    waiting = threading.Thread(target=server.core.configuration.await_models)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    server.core.configuration.apply(config(half=half_base))
    waiting.join(10)
    assert not waiting.is_alive()


def test_reload_moves_a_model_from_version_to_version(make: Callable[..., Server], base: Path) -> None:
    server = make()
    server.core.configuration.reload(config(m=str(base)), deadline=Deadline.after(20))
    assert ask(server, ModelSpec(name="m")).version == 2
    server.core.configuration.reload(config(m=str(base), policy=[1]), deadline=Deadline.after(20))
    settle(server, "m", {2: "END", 1: "AVAILABLE"})
    server.core.configuration.reload(config(m=str(base), policy=[1, 2]), deadline=Deadline.after(20))
    settle(server, "m", {2: "AVAILABLE", 1: "AVAILABLE"})


def test_label_stands_for_its_version_and_moves(make: Callable[..., Server], base: Path) -> None:
    server = make()
    server.core.configuration.reload(config(m=str(base), policy=ALL), deadline=Deadline.after(20))
    settle(server, "m", {2: "AVAILABLE", 1: "AVAILABLE"})
    for number in (1, 2, 1):
        server.core.configuration.reload(config({"stable": number}, ALL, m=str(base)), deadline=Deadline.after(20))
        assert ask(server, ModelSpec(name="m", label="stable")).version == number
    server.core.configuration.reload(config(m=str(base), policy=ALL), deadline=Deadline.after(20))
    with pytest.raises(errors.InvalidArgument, match=r"^Unrecognized servable version label: stable$"):
        ask(server, ModelSpec(name="m", label="stable"))


def test_label_needs_an_available_version(make: Callable[..., Server], base: Path) -> None:
    message = (
        "Request to assign label to version 1 of model m, which is not currently available for inference; "
        "--allow_version_labels_for_unavailable_models lets a new label wait for its version"
    )
    server = make()
    with pytest.raises(errors.FailedPrecondition) as caught:
        server.core.configuration.reload(config({"stable": 1}, ALL, m=str(base)), deadline=Deadline.after(20))
    assert caught.value.message == message
    assert server.core.configuration.names() == []
    server.core.configuration.reload(config({}, m=str(base)), deadline=Deadline.after(20))
    with pytest.raises(errors.FailedPrecondition) as caught:
        server.core.configuration.reload(config({"stable": 1}, m=str(base)), deadline=Deadline.after(20))
    assert caught.value.message == message


def test_new_label_may_name_what_is_not_available_where_the_flag_allows(
    make: Callable[..., Server], base: Path
) -> None:
    server = make(labels_for_unavailable=True)
    server.core.configuration.reload(config({"stable": 2, "next": 3}, m=str(base)), deadline=Deadline.after(20))
    assert ask(server, ModelSpec(name="m", label="stable")).version == 2
    with pytest.raises(errors.NotFound, match=r"Specific\(m, 3\)"):
        ask(server, ModelSpec(name="m", label="next"))
    with pytest.raises(errors.FailedPrecondition, match="version 3 of model m, which is not currently available"):
        # One that exists may not be moved there.
        server.core.configuration.reload(config({"stable": 3}, m=str(base)), deadline=Deadline.after(20))
    assert ask(server, ModelSpec(name="m", label="stable")).version == 2


def test_look_for_versions_follows_the_folders(make: Callable[..., Server], base: Path) -> None:
    server = make()
    server.core.configuration.reload(config(m=str(base)), deadline=Deadline.after(20))
    copytree(base / "1", base / "3")
    server.core.configuration.look_for_versions()
    settle(server, "m", {3: "AVAILABLE", 2: "END"})
    rmtree(base / "3")
    server.core.configuration.look_for_versions()
    settle(server, "m", {3: "END", 2: "AVAILABLE"})


def test_vanished_base_path_changes_nothing_and_an_empty_one_unloads(
    make: Callable[..., Server], base: Path, tmp_path: Path
) -> None:
    server = make()
    server.core.configuration.reload(config(m=str(base)), deadline=Deadline.after(20))
    move(base, tmp_path / "away")
    server.core.configuration.look_for_versions()
    time.sleep(0.05)
    assert ask(server, ModelSpec(name="m")).version == 2
    base.mkdir()
    server.core.configuration.look_for_versions()
    settle(server, "m", {2: "END"})
    rmtree(base)
    move(tmp_path / "away", base)
    server.core.configuration.look_for_versions()
    settle(server, "m", {2: "AVAILABLE"})


def test_base_path_without_versions_is_logged_once_until_it_has_had_one(
    make: Callable[..., Server], base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = make()
    server.core.configuration.reload(config(m=str(base)), deadline=Deadline.after(20))
    for version in "12":
        rmtree(base / version)
    for _ in range(3):
        server.core.configuration.look_for_versions()
    message = (
        f"Model m: {base} has no version to serve: versions are folders whose names are integers. Waiting for a version"
    )
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [message]
    (base / "3").mkdir()
    server.core.configuration.look_for_versions()
    rmtree(base)
    server.core.configuration.look_for_versions()
    assert caplog.records[-1].getMessage() == f"Model m: {base} does not exist. Waiting for a version"


def test_model_that_is_removed_while_its_folder_is_looked_at_stays_away(
    make: Callable[..., Server], base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make()
    server.core.configuration.reload(config(m=str(base)), deadline=Deadline.after(20))
    aspire, removing = server.models.aspire, threading.Thread(target=lambda: server.core.configuration.reload(config()))

    def late(name: str, versions: Mapping[int, str]) -> None:
        if not removing.ident:  # the look is about to tell what it found; meanwhile the model is removed
            removing.start()
            removing.join(0.3)
        aspire(name, versions)

    monkeypatch.setattr(server.models, "aspire", late)
    server.core.configuration.look_for_versions()
    removing.join(10)
    settle(server, "m", {2: "END"})
    time.sleep(0.5)  # long enough to load it again
    settle(server, "m", {2: "END"})
    assert server.models.available("m") == set()


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
