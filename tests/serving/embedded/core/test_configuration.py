"""Models by configuration, labels, reloads; tiny real models behind it."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import copytree, move, rmtree
from typing import Any

import pytest
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from charflow.serving import errors
from charflow.serving.embedded.core.deadline import Deadline
from charflow.serving.embedded.core.spec import ModelSpec
from charflow.serving.version_status import VersionStatus
from tests.serving.embedded.core.running_core import ALL, Server, ask, config, settle


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


@pytest.mark.slow
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
