"""A core with all it needs behind it; tiny real models."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from charflow.serving.embedded.core.core import Core
from charflow.serving.embedded.core.loading import LoadSettings, ServedVersion
from charflow.serving.embedded.core.metrics import Metrics
from charflow.serving.embedded.core.models import Models
from charflow.serving.embedded.core.spec import ModelSpec

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


def ask(server: Server, spec: ModelSpec | None = None, x: Any = (2.0,), **options: Any) -> Any:
    spec = spec or ModelSpec(name="half")
    return server.core.predict(spec, lambda _: {"x": np.float32(x)}, api="GRPC", **options)


def settle(server: Server, name: str, expected: Mapping[int, str]) -> None:
    end = time.monotonic() + 20
    while (found := {s.version: s.state for s in server.models.statuses(name)}) != expected:
        assert time.monotonic() < end, f"{found} did not become {expected}"
        time.sleep(0.01)
