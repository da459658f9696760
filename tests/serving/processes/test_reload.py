"""The configuration changes under a running server: by HandleReloadConfigRequest, and by its file."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tests.serving.processes.server_process import ServerProcess, starting, until

X = {"x": [1.0]}


def config_of(*models: str) -> str:
    return "model_config_list { " + " ".join(f"config {{ {model} }}" for model in models) + " }"


def model(name: str, base: Path | str, rest: str = "") -> str:
    return f'name: "{name}" base_path: "{base}" model_platform: "tensorflow" {rest}'


def labelled(**labels: int) -> str:
    return "model_version_policy { all {} } " + " ".join(
        f'version_labels {{ key: "{label}" value: {version} }}' for label, version in labels.items()
    )


def reload(server: ServerProcess, *models: str) -> None:
    """Sends a configuration; one that is refused raises grpc.RpcError."""
    request = model_management_pb2.ReloadConfigRequest(
        config=text_format.Parse(config_of(*models), ModelServerConfig())
    )
    answer = server.models.HandleReloadConfigRequest(request, timeout=60)
    assert (answer.status.error_code, answer.status.error_message) == (0, "")


@pytest.fixture(scope="module")
def reloaded(binary: str, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose configuration the tests replace."""
    with starting(tmp_path_factory.mktemp("reloaded"), binary) as start:
        yield start(
            model_name="first",
            model_base_path=models / "half_plus_two",
            max_num_load_retries=0,
            load_retry_interval_micros=0,
        )


@pytest.fixture
def copies(reloaded: ServerProcess, models: Path) -> str:
    """The entry of `copies`, versions 1, 2 and 10 of half_plus_two, after the server was told to serve it alone."""
    entry = model("copies", models / "copies", labelled())
    reload(reloaded, entry)
    reloaded.wait_states("copies", {10: "AVAILABLE", 2: "AVAILABLE", 1: "AVAILABLE"})
    return entry


def version_of(server: ServerProcess, label: str) -> int:
    found = server.predict("copies", X, label=label).model_spec.version.value
    assert server.post(f"copies/labels/{label}:predict", {"instances": [1.0]}).status_code == 200
    return found


def test_reload_replaces_the_list(reloaded: ServerProcess, models: Path) -> None:
    reload(reloaded, model("first", models / "half_plus_two"))
    reload(reloaded, model("second", models / "mirrored"), model("third", models / "keras"))
    assert reloaded.ask("second", X) == {"y": [4.0]}  # new models are awaited
    assert reloaded.ask("third", {"features": [[1.0, 2.0, 3.0]]}) == {"output_0": [[14.0, -5.5]]}
    until(lambda: set(reloaded.states("first").values()) == {"END"}, "the removed model unloads")
    with pytest.raises(grpc.RpcError, match=r"Servable not found for request: Latest\(first\)"):
        reloaded.ask("first", X)


def test_reload_moves_labels(reloaded: ServerProcess, models: Path, copies: str) -> None:
    for stable in (1, 2, 1):
        reload(reloaded, model("copies", models / "copies", labelled(stable=stable, canary=10)))
        assert (version_of(reloaded, "stable"), version_of(reloaded, "canary")) == (stable, 10)
    reload(reloaded, copies)
    with pytest.raises(grpc.RpcError, match="Unrecognized servable version label"):
        reloaded.ask("copies", X, label="stable")


def test_reload_refuses_a_label_of_a_version_that_is_not_there(
    reloaded: ServerProcess, models: Path, copies: str
) -> None:
    reload(reloaded, model("copies", models / "copies", labelled(stable=1)))
    with pytest.raises(grpc.RpcError) as caught:
        reload(reloaded, model("copies", models / "copies", labelled(stable=9)))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert version_of(reloaded, "stable") == 1


@pytest.mark.parametrize(
    ("entries", "phrase"),
    [
        ([model("a", "/models/a"), model("a", "/models/a")], "multiple times"),
        ([model("a", "models/a")], "absolute path"),
        (['name: "a" base_path: "/models/a" model_platform: "pytorch"'], "platform"),
        (['name: "copies" base_path: "/models/a" model_platform: "pytorch"'], "platform"),
        (['name: "a" base_path: "/models/a"'], "model_platform"),
    ],
    ids=["a model twice", "a relative path", "an unknown platform", "a changed platform", "no platform"],
)
def test_reload_refuses(reloaded: ServerProcess, copies: str, entries: list[str], phrase: str) -> None:
    with pytest.raises(grpc.RpcError, match=phrase) as caught:
        reload(reloaded, *entries)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reloaded.ask("copies", X) == {"y": [2.5]}
    assert reloaded.states("a") == {}


def test_reload_refuses_a_request_without_a_list(reloaded: ServerProcess, copies: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        reloaded.models.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest())
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reloaded.ask("copies", X) == {"y": [2.5]}


def test_reload_tells_that_a_new_model_cannot_be_loaded(
    reloaded: ServerProcess, copies: str, publish: Callable[..., Path], tmp_path: Path
) -> None:
    publish(tmp_path / "broken", 1, corrupt=True)
    with pytest.raises(grpc.RpcError, match="broken"):
        reload(reloaded, copies, model("broken", tmp_path / "broken"))
    assert reloaded.states("broken") == {1: "END"}
    assert reloaded.ask("copies", X) == {"y": [2.5]}


def test_reload_of_an_empty_list_unloads_all(reloaded: ServerProcess, copies: str) -> None:
    reload(reloaded)
    reloaded.wait_states("copies", {10: "END", 2: "END", 1: "END"})
    with pytest.raises(grpc.RpcError, match="Servable not found"):
        reloaded.ask("copies", X)


def test_config_file_is_polled(start_server: Callable[..., ServerProcess], models: Path, tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    half, line = model("half", models / "half_plus_two"), model("line", models / "mirrored")

    def write(text: str) -> None:
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").rename(file)

    write(config_of(half))
    server = start_server(model_config_file=file, model_config_file_poll_wait_seconds=1)
    assert server.states("line") == {}
    never = model("never", tmp_path / "never")
    write(config_of(half, never))  # what it names never comes, and it must not be in the way of its correction
    until(lambda: f"Model never: {tmp_path}/never does not exist" in server.log, "the missing folder is logged")
    write(config_of(half, line))
    server.wait_states("line", {1: "AVAILABLE"})
    write("model_config_list { this does not parse")
    until(lambda: "rror parsing text-format" in server.log, "the bad file is logged")
    write(config_of(half, half))
    until(lambda: "multiple times" in server.log, "the wrong file is logged")
    answers: list[Any] = [server.ask("half", X), server.ask("line", X)]
    assert answers == [{"y": [2.5]}, {"y": [4.0]}]
    write(config_of(line))
    until(lambda: set(server.states("half").values()) == {"END"}, "the model that was taken out unloads")
    assert server.ask("line", X) == {"y": [4.0]}
