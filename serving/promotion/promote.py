"""Moves a label of a served model to another version, if that version is no worse, and back.

    1. The server is told to keep both versions loaded, and is waited for.
    2. `comparison` tries both on the server, unless forced. If the candidate is worse, or anything fails from here
       on, the server gets its old configuration back.
    3. The server is told to move the label. It refuses a label for a version that is not available.
    4. `labels` writes the same configuration into models.config, so that a restart keeps the label.

The server must have been started with that models.config: a reload replaces the whole configuration, and no call can
read the old one from a server.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from charflow.sentences import Sentence
from charflow.serving.client.model_service import ModelService
from charflow.serving.client.wire.tls import Tls
from charflow.serving.errors import UsageError
from charflow.serving.layout import MODEL_CARD, MODELS
from charflow.serving.promotion.comparison import Comparison, ComparisonSettings, compare
from charflow.serving.promotion.labels import LabelFiles, check_label, list_versions

_LOAD_SECONDS = 300.0  # for a version to load and warm up


@dataclass(frozen=True, kw_only=True)
class Move:
    """A label that was moved.

    Attributes:
        model: its name.
        label: the label.
        before: what it stood for; None for a new label.
        after: what it stands for now.
        comparison: of the two; None if the move was forced or went back.
    """

    model: str
    label: str
    before: int | None
    after: int
    comparison: Comparison | None = None


class WorseError(UsageError):
    """The candidate is worse; the label stays.

    Attributes:
        refused: the move that was not made, with its comparison.
    """

    def __init__(self, refused: Move) -> None:
        assert refused.comparison is not None
        faults = " and ".join(refused.comparison.faults)
        super().__init__(
            Sentence(
                "Version {after} is worse than version {before}: {faults}. {label} stays with version {before}; "
                "{force} moves it all the same.",
                after=str(refused.after),
                before=str(refused.before),
                faults=faults,
                label=repr(refused.label),
            )
        )
        self.refused = refused


@dataclass(frozen=True, kw_only=True)
class LabelPlace:
    """Where a label stands.

    Attributes:
        base: folder of the model's versions.
        label: the label.
        server: HOST:PORT of the server's gRPC.
        config: the models.config that the server was started with; None is the one in `base`.
        model: its name; None is the only one, or the one that is called like `base`.
        tls: certificates to call the server with; None does not encrypt.
    """

    base: Path
    label: str
    server: str = "127.0.0.1:8500"
    config: Path | None = None
    model: str | None = None
    tls: Tls | None = None


def promote(
    place: LabelPlace, version: int, comparing: ComparisonSettings | None = None, *, force: bool = False
) -> Move:
    """Moves a label to a version.

    Args:
        place: the label.
        version: the candidate.
        comparing: how it is compared with the version that has the label.
        force: moves the label without a comparison.

    Raises:
        UsageError: it is neither to be compared nor forced, or both; the label, model or version is not there, the
            server is not reachable or refuses, a file is damaged, or the candidate is worse (WorseError).
        ArgumentError: the certificates of the place cannot be used.
        ServingError: a call of the comparison failed.
    """
    if force is (comparing is not None):
        raise UsageError(
            Sentence(
                "Pass {texts}, messages that neither version was trained on, one a line; {force} compares nothing."
            )
        )
    files, model = _read(place)
    before = model.version_labels.get(place.label)
    if before is None and comparing is not None:
        has = f"its labels are {', '.join(sorted(model.version_labels))}" if model.version_labels else "it has none"
        raise UsageError(
            Sentence(
                "{path} has no label {label} ({has}): {force} gives it to version {version} without a comparison.",
                path=str(files.path),
                label=repr(place.label),
                has=has,
                version=str(version),
            )
        )
    if before == version:
        with ModelService.connect(place.server, place.tls) as server:
            _check_in_step(files.path, model, server)
        raise UsageError(f"{place.label!r} is version {version} already.")
    if comparing is not None:
        _check_same_reading(place.base, before, version)
    history = files.history(model, place.label)
    return _move(place, files, model, [*history, version], drop=history[:-1], comparing=comparing)


def rollback(place: LabelPlace) -> Move:
    """Moves a label to the version it stood for before, without a comparison.

    Raises:
        UsageError: as `promote`; or the label has not been moved yet.
    """
    files, model = _read(place)
    history = files.history(model, place.label)
    if not history:
        raise UsageError(f"{files.path} has no label {place.label!r}.")
    if len(history) < 2:
        raise UsageError(f"No version had the label {place.label!r} before version {history[-1]}.")
    return _move(place, files, model, history[:-1], drop=history, comparing=None)


def _read(place: LabelPlace) -> tuple[LabelFiles, ModelConfig]:
    check_label(place.label)
    if not place.base.is_dir():
        raise UsageError(f"{place.base} is not a folder of versions.")
    files = LabelFiles.read(place.config or place.base / MODELS)
    return files, files.model(place.model, place.base.resolve().name)


def _move(
    place: LabelPlace,
    files: LabelFiles,
    model: ModelConfig,
    history: list[int],
    *,
    drop: list[int],
    comparing: ComparisonSettings | None,
) -> Move:
    """Does the steps of the module's header; `history` ends with the version the label goes to."""
    before, after = model.version_labels.get(place.label), history[-1]
    needed = [after] if before is None or comparing is None else [before, after]
    _check_exist(place.base, needed)
    move = Move(model=model.name, label=place.label, before=before, after=after)
    with ModelService.connect(place.server, place.tls) as server:
        served = server.available(model.name)
        _check_in_step(files.path, model, server)
        with _kept_unless_done(server, files.config):
            both, changed = _copy(files.config, model.name)
            list_versions(changed, add=needed, served=served)
            server.reload(both)
            server.await_available(model, needed, seconds=_LOAD_SECONDS)
            if comparing is not None and before is not None:
                move = replace(move, comparison=_try(place, model.name, before, after, comparing))
                if move.comparison and move.comparison.faults:
                    raise WorseError(move)
            moved, changed = _copy(both, model.name)
            changed.version_labels[place.label] = after
            server.reload(moved)
            final, changed = _copy(moved, model.name)
            kept = {after} | _fallbacks(files, model, place.label)
            list_versions(changed, drop=set(drop) - kept, served=served)
            files.write(final, model, place.label, history)
        if (
            final != moved
        ):  # only now: until the file is written, the label may have to go back to one of these versions
            server.reload(final)
    return move


def _check_in_step(path: Path, model: ModelConfig, server: ModelService) -> None:
    """Refuses a file that is not what the server goes by: a reload would undo what was changed since."""
    for label, version in sorted(model.version_labels.items()):
        found = server.labelled(model.name, label)
        if found not in (None, version):
            raise UsageError(
                Sentence(
                    "{path} says that {labelled} is version {version}, and {address} that it is version {found}: put "
                    "the file right, or give the file that the server was started with as {config}. A promotion "
                    "sends the whole file to the server.",
                    path=str(path),
                    labelled=f"{label!r} of {model.name!r}",
                    version=str(version),
                    address=server.address,
                    found=str(found),
                )
            )


def _fallbacks(files: LabelFiles, model: ModelConfig, label: str) -> set[int]:
    """Versions that the other labels would go back to."""
    others = [files.history(model, other) for other in model.version_labels if other != label]
    return {history[-2] for history in others if len(history) > 1}


def _copy(config: ModelServerConfig, name: str) -> tuple[ModelServerConfig, ModelConfig]:
    copy = deepcopy(config)
    return copy, next(model for model in copy.model_config_list.config if model.name == name)


def _try(place: LabelPlace, model: str, before: int, after: int, comparing: ComparisonSettings) -> Comparison:
    from charflow.serving import Client

    with (
        Client(place.server, model=model, version=before, tls=place.tls) as old,
        Client(place.server, model=model, version=after, tls=place.tls) as new,
    ):
        return compare(
            old,
            new,
            texts=comparing.texts,
            prompts=comparing.prompts,
            requests=comparing.requests,
            max_slowdown=comparing.max_slowdown,
        )


def _check_exist(base: Path, versions: Sequence[int]) -> None:
    there = sorted(int(child.name) for child in base.iterdir() if child.is_dir() and child.name.isdecimal())
    for version in versions:
        if version not in there:
            has = f"it has {', '.join(map(str, there))}" if there else "it has none"
            raise UsageError(f"{base} has no version {version}: {has}.")


def _check_same_reading(base: Path, *versions: int | None) -> None:
    """Refuses to compare versions that normalise text differently: lowercase is easier to predict."""
    settings = []
    for version in versions:
        try:
            card = json.loads((base / str(version) / MODEL_CARD).read_text(encoding="utf-8"))
            settings.append(card["configuration"]["corpus"]["text"])
        except (OSError, ValueError, LookupError, TypeError):
            return  # not exported by charflow: nothing is known
    if settings[0] != settings[1]:
        raise UsageError(
            Sentence(
                "{differently}, so their bits per character have no common measure: {force} moves the label without a "
                "comparison.",
                differently=f"Versions {versions[0]} and {versions[1]} normalise text differently ({settings[0]} and "
                f"{settings[1]})",
            )
        )


@contextmanager
def _kept_unless_done(server: ModelService, config: ModelServerConfig) -> Iterator[None]:
    """Gives the server its old configuration back if the block fails, or is interrupted, after a reload."""
    try:
        yield
    except BaseException as error:
        if server.reloaded:
            try:
                server.reload(config)
            except UsageError as second:
                first = str(error) or "Interrupted."
                raise UsageError(f"{first} And the server did not take its old configuration back: {second}") from error
        raise
