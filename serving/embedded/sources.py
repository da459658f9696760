"""Reads which versions of which models should be served: the configuration, and the folders it names.

`core` checks a configuration here; the watcher in `server` asks again and again which versions are there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import tensorflow as tf
from tensorflow_serving.config import model_server_config_pb2

from charflow.serving.errors import InvalidArgument

_LARGEST = 2**63 - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelSource:
    """Where a model's versions are, and which of them to serve.

    Attributes:
        name: of the model.
        base_path: folder of the versions.
        latest: serve this many of the highest versions; None serves all, unless `specific` is given.
        specific: serve just these.
        labels: version by label.
    """

    name: str
    base_path: str
    latest: int | None
    specific: tuple[int, ...]
    labels: Mapping[str, int]


def read_sources(config: model_server_config_pb2.ModelServerConfig) -> dict[str, ModelSource]:
    """Reads and checks a configuration.

    Raises:
        InvalidArgument: a model twice, a relative path, or something that only another kind of server can serve.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise InvalidArgument("custom_model_config is not supported: use model_config_list.")
    sources: dict[str, ModelSource] = {}
    for model in config.model_config_list.config:
        if model.name in sources:
            raise InvalidArgument(f"Illegal to list model {model.name} multiple times in config list")
        if not model.name:
            raise InvalidArgument("A model in the config list has no name")
        if not re.match(r"/|[\w+.-]+://", model.base_path):
            raise InvalidArgument(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )
        _check_platform(model)
        sources[model.name] = _read(model)
    return sources


def find_versions(source: ModelSource) -> dict[int, str] | None:
    """Lists the versions that should be served now, each with its folder; None when the base path cannot be read."""
    try:
        if not tf.io.gfile.isdir(source.base_path):
            return None
        names = [name.rstrip("/") for name in tf.io.gfile.listdir(source.base_path)]
    except (tf.errors.OpError, OSError):
        return None
    found: dict[int, str] = {}
    for name in sorted(names):
        if re.fullmatch(r"\d+", name, re.ASCII) and int(name) <= _LARGEST:
            folder = f"{source.base_path.rstrip('/')}/{name}"
            if tf.io.gfile.isdir(folder):
                found.setdefault(int(name), folder)
    if source.specific:
        return {version: path for version, path in found.items() if version in source.specific}
    if source.latest is None:
        return found
    return {version: found[version] for version in sorted(found)[-source.latest :]}


def _read(model: model_server_config_pb2.ModelConfig) -> ModelSource:
    policy = model.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    latest: int | None = 1
    if choice == "latest":
        latest = policy.latest.num_versions or 1
    elif choice in ("all", "specific"):
        latest = None
    specific = tuple(policy.specific.versions) if choice == "specific" else ()
    if choice == "specific" and not specific:
        raise InvalidArgument(f"The version policy of model {model.name} is specific but names no version")
    return ModelSource(
        name=model.name,
        base_path=model.base_path,
        latest=latest,
        specific=specific,
        labels=dict(model.version_labels),
    )


def _check_platform(model: model_server_config_pb2.ModelConfig) -> None:
    typed = model.model_type == model_server_config_pb2.TENSORFLOW
    if model.model_type and model.model_platform:
        raise InvalidArgument(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            f"ModelServerConfig::model_platform, model name is {model.name}"
        )
    if not typed and not model.model_platform:
        raise InvalidArgument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {model.name}"
        )
    if not typed and model.model_platform != "tensorflow":
        raise InvalidArgument(f"Model {model.name} requests unsupported platform {model.model_platform}")
