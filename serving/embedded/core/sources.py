"""Reads which versions of which models should be served: the configuration, and the folders it names.

`core` checks a configuration here; the watcher in `server` asks again and again which versions are there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tensorflow as tf
from tensorflow_serving.config import model_server_config_pb2

from charflow.serving.errors import InvalidArgument
from charflow.serving.layout import GRAPH

_LARGEST = 2**63 - 1


class NoVersionsError(Exception):
    """A base path from which nothing can be served now; its text says why, as what the path does or is.

    Attributes:
        read: the path was read, so that versions served from it are gone; otherwise nothing is known of them.
    """

    def __init__(self, reason: str, *, read: bool) -> None:
        super().__init__(reason)
        self.read = read


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
        InvalidArgument: a model twice, a relative path, a URI of a file system that is not built in, or something that
            only another kind of server can serve.
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
        _check_scheme(model)
        _check_platform(model)
        sources[model.name] = _read(model)
    return sources


def find_versions(source: ModelSource) -> dict[int, str]:
    """Lists the versions that should be served now, each with its folder.

    Raises:
        NoVersionsError: there is none, or the base path cannot be read.
    """
    names = _read_names(source.base_path)
    found: dict[int, str] = {}
    for name in sorted(names):
        if re.fullmatch(r"\d+", name, re.ASCII) and int(name) <= _LARGEST:
            folder = f"{source.base_path.rstrip('/')}/{name}"
            if tf.io.gfile.isdir(folder):
                found.setdefault(int(name), folder)
    if source.specific:
        wanted = [version for version in found if version in source.specific]
    else:
        wanted = sorted(found)[-source.latest :] if source.latest else list(found)
    if not wanted:
        raise NoVersionsError(_why_none(source, names, sorted(found)), read=True)
    return {version: found[version] for version in wanted}


def _read_names(base_path: str) -> list[str]:
    try:
        if not tf.io.gfile.isdir(base_path):
            tf.io.gfile.stat(base_path)  # says why it is no folder, if it is not just a file
            raise NoVersionsError("is no folder", read=False)
        return [name.rstrip("/") for name in tf.io.gfile.listdir(base_path)]
    except tf.errors.NotFoundError:
        raise NoVersionsError("does not exist", read=False) from None
    except (tf.errors.OpError, OSError) as error:
        reason = error.message if isinstance(error, tf.errors.OpError) else error.strerror
        raise NoVersionsError(f"cannot be read ({reason})", read=False) from None


def _why_none(source: ModelSource, names: Sequence[str], found: Sequence[int]) -> str:
    if found:
        has, asked = (", ".join(map(str, numbers)) for numbers in (found, source.specific))
        return f"has no version to serve: it has {has}, and the version policy asks for {asked}"
    if GRAPH in names or "saved_model.pbtxt" in names:
        return "has no version to serve: it is a version itself, and the base path is the folder above"
    return "has no version to serve: versions are folders whose names are integers"


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


def _check_scheme(model: model_server_config_pb2.ModelConfig) -> None:
    """Refuses a URI that could be polled for ever: no such file system is built in."""
    scheme = model.base_path.partition("://")[0] if "://" in model.base_path else ""
    known = sorted(filter(None, tf.io.gfile.get_registered_schemes()))
    if scheme and scheme not in known:
        raise InvalidArgument(
            f"Model {model.name} is at {model.base_path}, and this TensorFlow has no file system for {scheme}:// "
            f"(it has {', '.join(known)}): mount the models, and give their absolute path"
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
