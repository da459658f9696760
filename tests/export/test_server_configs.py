"""The configuration files beside the versions: parsed by the protos the servers parse them with."""

import inspect
import resource
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from charflow.export.server_configs import write_server_configs
from charflow.pipeline.errors import UserError
from charflow.serving import AsyncClient, Client
from charflow.serving.layout import BATCHING, MODELS, MONITORING
from charflow.serving.protos import monitoring_config_pb2, session_bundle_config_pb2


def models_in(base: Path) -> list[model_server_config_pb2.ModelConfig]:
    config = text_format.Parse((base / MODELS).read_text("utf-8"), model_server_config_pb2.ModelServerConfig())
    return list(config.model_config_list.config)


def test_models_config_serves_the_latest_version(tmp_path: Path) -> None:
    write_server_configs(tmp_path, {"chat": tmp_path})
    (model,) = models_in(tmp_path)
    assert (model.name, model.base_path, model.model_platform) == ("chat", str(tmp_path), "tensorflow")
    assert model.model_version_policy.latest.num_versions == 1
    assert not model.version_labels


@pytest.mark.parametrize("name", ['a "chat"', "back\\slash", "{name}", "söng 🎵"])
def test_models_config_holds_any_name_and_path(tmp_path: Path, name: str) -> None:
    base = tmp_path / name
    base.mkdir()
    write_server_configs(base, {name: base})
    (model,) = models_in(base)
    assert (model.name, model.base_path) == (name, str(base))


def test_models_config_has_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_server_configs(Path(), {"chat": Path()})
    assert models_in(tmp_path)[0].base_path == str(tmp_path)


def test_models_config_shows_how_to_write_labels(tmp_path: Path) -> None:
    """The commented lines, in place of the policy that is there, are a configuration."""
    write_server_configs(tmp_path, {"chat": tmp_path})
    text = (tmp_path / MODELS).read_text()
    example = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#     ") and "{" in line]
    config = text.replace("model_version_policy { latest { num_versions: 1 } }", "\n".join(example))
    (model,) = text_format.Parse(config, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert list(model.model_version_policy.specific.versions) == [1, 2]
    assert dict(model.version_labels) == {"stable": 1, "canary": 2}


def test_batching_config_is_one_a_server_takes(tmp_path: Path) -> None:
    write_server_configs(tmp_path, {"chat": tmp_path})
    batching = text_format.Parse((tmp_path / BATCHING).read_text(), session_bundle_config_pb2.BatchingParameters())
    sizes = list(batching.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (1, batching.max_execution_batch_size.value)
    assert batching.enable_large_batch_splitting.value
    assert not batching.HasField("num_batch_threads")


def test_batching_config_takes_what_the_clients_send(tmp_path: Path) -> None:
    """A request of as many rows as they send at once, and several of them side by side."""
    write_server_configs(tmp_path, {"chat": tmp_path})
    batching = text_format.Parse((tmp_path / BATCHING).read_text(), session_bundle_config_pb2.BatchingParameters())
    queued = batching.max_enqueued_batches.value * batching.max_execution_batch_size.value
    for client in (Client, AsyncClient):
        rows = inspect.signature(client).parameters["max_batch"].default
        assert rows <= batching.max_batch_size.value
        assert 8 * rows <= queued


def test_monitoring_config_turns_prometheus_on(tmp_path: Path) -> None:
    write_server_configs(tmp_path, {"chat": tmp_path})
    monitoring = text_format.Parse((tmp_path / MONITORING).read_text(), monitoring_config_pb2.MonitoringConfig())
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"


@pytest.mark.parametrize("name", [MODELS, BATCHING, MONITORING])
def test_write_server_configs_keeps_a_file_that_is_there(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    write_server_configs(tmp_path, {"chat": tmp_path})
    assert (tmp_path / name).read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == [BATCHING, MODELS, MONITORING]


def test_write_server_configs_leaves_no_half_file_on_a_full_disk(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # no file may grow larger
    try:
        with pytest.raises(UserError) as error:
            write_server_configs(tmp_path, {"chat": tmp_path})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(error.value) == f"{tmp_path / MODELS} cannot be written: File too large."
    assert list(tmp_path.iterdir()) == []
