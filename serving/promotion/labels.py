"""Changes labels and listed versions in a server's models.config, and remembers what a label stood for before.

`promote` decides; this module knows the two files: models.config, the truth that the server starts with, and
labels.json beside it, `{model: {label: [versions, the present one last]}}`. The first may be edited by hand at any
time, and the two are not written in one step; a history that does not end in the label's version is put right when it
is read.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from charflow.atomic import replacing
from charflow.sentences import Sentence
from charflow.serving.errors import UsageError
from charflow.serving.layout import LABELS
from charflow.serving.settings.configs import read_model_config

_LABEL = re.compile(r"[A-Za-z0-9_]+")  # what the REST paths of TensorFlow Serving allow (g3doc/serving_config.md)


@dataclass(kw_only=True)
class LabelFiles:
    """A models.config with its labels.json.

    Attributes:
        path: of models.config.
        config: what it holds.
        histories: what labels.json holds.
    """

    path: Path
    config: ModelServerConfig
    histories: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "LabelFiles":
        """Reads both.

        Raises:
            UsageError: no models.config, or one of the two is damaged.
        """
        if not path.is_file():
            raise UsageError(
                Sentence(
                    "{path} is not there: export a version, or give the server's file as {config}.", path=str(path)
                )
            )
        config = read_model_config(str(path))
        if config.WhichOneof("config") != "model_config_list" or not config.model_config_list.config:
            raise UsageError(f"{path} lists no models.")
        return cls(path=path, config=config, histories=_read_histories(path.with_name(LABELS)))

    def model(self, name: str | None, folder: str) -> ModelConfig:
        """Finds a model by its name; without one the only model, or the one that is called like the folder.

        Raises:
            UsageError: there is none, or the choice is open.
        """
        models = {model.name: model for model in self.config.model_config_list.config}
        if name is None:
            name = next(iter(models)) if len(models) == 1 else folder
            if name not in models:
                several = ", ".join(models)
                raise UsageError(
                    Sentence(
                        "{path} lists several models ({several}): name one as {model}.",
                        path=str(self.path),
                        several=several,
                    )
                )
        if name not in models:
            raise UsageError(f"{self.path} has no model {name!r}: its models are {', '.join(models)}.")
        return models[name]

    def history(self, model: ModelConfig, label: str) -> list[int]:
        """Lists the versions a label stood for, the present one last; empty for a label that is not there."""
        if label not in model.version_labels:
            return []
        present = model.version_labels[label]
        versions = list(self.histories.get(model.name, {}).get(label, []))
        if versions[-1:] == [present]:
            return versions
        if present in versions:  # a write was cut off, or somebody went back by hand
            return versions[: len(versions) - versions[::-1].index(present)]
        return [*versions, present]

    def write(self, config: ModelServerConfig, model: ModelConfig, label: str, history: list[int]) -> None:
        """Writes both, labels.json first: a history without its label is cut back when it is read, not the reverse.

        Comments at the top of models.config stay; those between its lines are lost.

        Raises:
            UsageError: one cannot be written; it is as it was.
        """
        histories = {name: dict(labels) for name, labels in self.histories.items()}
        histories.setdefault(model.name, {})[label] = history
        _write(self.path.with_name(LABELS), json.dumps(histories, indent=2, ensure_ascii=False) + "\n")
        _write(self.path, _head(self.path) + text_format.MessageToString(config, as_utf8=True))


def check_label(label: str) -> str:
    """Returns a label as it is.

    Raises:
        UsageError: REST paths could not name it.
    """
    if not _LABEL.fullmatch(label):
        raise UsageError(f"A label has letters, digits and underscores only, not {label!r}.")
    return label


def list_versions(
    model: ModelConfig, *, served: Iterable[int], add: Iterable[int] = (), drop: Iterable[int] = ()
) -> None:
    """Makes the server keep the versions loaded that it serves or lists now, and `add`, but not `drop`.

    Labelled versions are never dropped. A model whose policy is `all` stays as it is.
    """
    policy = model.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return
    listed = set(policy.specific.versions if kind == "specific" else served)
    listed = (listed - set(drop)) | set(add) | set(model.version_labels.values())
    del policy.specific.versions[:]
    policy.specific.versions.extend(sorted(listed))


def _write(path: Path, text: str) -> None:
    try:
        with replacing(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error


def _head(path: Path) -> str:
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.strip() and not line.startswith("#"):
            break
        lines.append(line)
    return "".join(lines)


def _read_histories(path: Path) -> dict[str, dict[str, list[int]]]:
    try:
        histories = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{path} is damaged ({error}): delete it to forget what labels stood for before.") from error
    if not _is_histories(histories):
        raise UsageError(f"{path} is damaged (not versions by label by model): delete it to forget them.")
    return histories


def _is_histories(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(labels, dict)
        and all(
            isinstance(versions, list) and all(type(version) is int and version > 0 for version in versions)
            for versions in labels.values()
        )
        for labels in value.values()
    )
