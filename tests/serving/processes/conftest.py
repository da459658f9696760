"""The models, and the servers that several tests ask.

Servers take seconds to start. Tests that only ask share `server`, which serves every model and is never changed; the
others start their own with `start_server`. Both come twice: as charflow-model-server, and as the binary that the
environment variable TENSORFLOW_MODEL_SERVER names, with the very same flags.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from charflow.export.publish import export_run
from charflow.model.decoding.settings import SamplingSettings
from tests import forked
from tests.serving.processes.server_process import ServerProcess, starting
from tests.support import made_once

MODELS = """
model_config_list {{
  config {{
    name: "chat" base_path: "{models}/chat" model_platform: "tensorflow"
    version_labels {{ key: "stable" value: 1 }}
  }}
  config {{
    name: "pair" base_path: "{models}/pair" model_platform: "tensorflow"
    model_version_policy {{ all {{}} }}
    version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "canary" value: 2 }}
  }}
  config {{
    name: "half_plus_two" base_path: "{models}/half_plus_two" model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 123 }} }}
  }}
  config {{
    name: "latest two" base_path: "{models}/copies" model_type: TENSORFLOW
    model_version_policy {{ latest {{ num_versions: 2 }} }}
  }}
  config {{ name: "keras" base_path: "{models}/keras" model_platform: "tensorflow" }}
  config {{ name: "words" base_path: "{models}/words" model_platform: "tensorflow" }}
  config {{ name: "mirrored" base_path: "{models}/mirrored" model_platform: "tensorflow" }}
  config {{ name: "slow" base_path: "{models}/slow" model_platform: "tensorflow" }}
  config {{ name: "shapes" base_path: "{models}/shapes" model_platform: "tensorflow" }}
}}
"""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, trained_run: Path) -> Path:
    """A folder of models; not to be changed.

    `chat` is ours; see `foreign_models` for the others. `pair` has half_plus_two and mirrored as its versions 1 and 2,
    `copies` half_plus_two in versions 1, 2 and 10.
    """
    return made_once(tmp_path_factory, "models", lambda folder: _make_models(folder, trained_run))


def _make_models(folder: Path, run: Path) -> None:
    script = Path(__file__).with_name("foreign_models.py")
    foreign = forked.Popen(
        [sys.executable, str(script), str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    export_run(run, folder / "chat", settings=SamplingSettings(max_chars=20, temperature=0.9, seed=5))
    said, _ = foreign.communicate(timeout=200)
    assert foreign.returncode == 0, said
    half = folder / "half_plus_two" / "00000123"
    shutil.copytree(half, half.with_name("124"))  # the version policy leaves it out
    for name in ("copies/1", "copies/2", "copies/10", "pair/1"):
        shutil.copytree(half, folder / name)
    shutil.copytree(folder / "mirrored" / "1", folder / "pair" / "2")


@pytest.fixture(
    scope="session",
    params=[
        "embedded",
        pytest.param("real_tensorflow_serving", marks=pytest.mark.real_tensorflow_serving),
    ],
)
def binary(request: pytest.FixtureRequest) -> str:
    """Which server: ours or TensorFlow Serving's."""
    return request.param


@pytest.fixture(scope="session")
def server(binary: str, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of all the models; not to be changed."""
    folder = tmp_path_factory.mktemp(binary)
    config, monitoring = folder / "models.config", folder / "monitoring.config"
    config.write_text(MODELS.format(models=models))
    monitoring.write_text("prometheus_config { enable: true }")
    with starting(folder, binary) as start:
        yield start(
            model_config_file=config,
            monitoring_config_file=monitoring,
            allow_version_labels_for_unavailable_models=True,
            rest_api_enable_cors_support=True,
            enable_grpc_healthcheck_service=True,
        )


@pytest.fixture
def start_server(binary: str, tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Starts servers of either kind: `start_server(model_base_path=…)`."""
    with starting(tmp_path, binary) as start:
        yield start


@pytest.fixture
def start_embedded(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Starts charflow-model-server, for what only ours does."""
    with starting(tmp_path) as start:
        yield start


@pytest.fixture
def publish(models: Path) -> Callable[..., Path]:
    """Publishes a copy of a version under a base path: written beside it, then renamed, as a publisher should."""

    def publish(base: Path, version: int, *, of: str = "half_plus_two/00000123", corrupt: bool = False) -> Path:
        base.mkdir(parents=True, exist_ok=True)
        beside = base / f".{version}"
        shutil.copytree(models / of, beside)
        if corrupt:
            (beside / "saved_model.pb").write_bytes(b"this is no SavedModel")
        return beside.rename(base / str(version))

    return publish


@pytest.fixture
def run_command() -> Callable[..., subprocess.CompletedProcess]:
    """Runs an installed command to its end."""

    def run(name: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess:
        command = [str(Path(sys.executable).with_name(name)), *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=120, env=os.environ.copy(), **options
        )

    return run
