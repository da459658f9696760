"""Settles what a run does before it starts: a preset, a file and changes, or what a run that is resumed may change.

`train` and `sweep` ask it; `start` takes the configuration that comes of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from charflow.model.config import NOTHING, Config, TrainingConfig, load_toml
from charflow.model.presets import SECOND_PHASE, continued, preset, with_limits
from charflow.model.run.base import Base
from charflow.model.run.checkpoints import has_weights_alone
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.corpus.users import with_ids
from charflow.pipeline.errors import SettingError
from charflow.pipeline.formats.inputs import is_read_once, lasting_name
from charflow.pipeline.formats.messages import read_messages
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.tables import names, override


def configure(
    data: Sequence[str],
    changes: Mapping[str, Any],
    *,
    name: str | None = None,
    file: Path | None = None,
    prepared: PreparedCorpus | None = None,
    resumed: RunDir | None = None,
) -> Config:
    """Puts changes over a file, and that over a preset; of a run that is resumed, over its own settings.

    A run that starts from another has that one's network and choice of messages, and `SECOND_PHASE`, under the file.

    Args:
        data: files and globs, or a prepared folder.
        changes: settings of `Config`, as nested dictionaries.
        name: of the preset; "default" by default.
        file: TOML.
        prepared: the corpus, if that is what `data` names.
        resumed: the run to go on with.

    Raises:
        UserError: one of them is invalid, or does not go with another.
    """
    if prepared and "corpus" in changes:
        raise SettingError(
            "{folder} was prepared with its own choice of messages: leave {given} out, or give the CSV files.",
            folder=data[0],
            given=names(changes["corpus"]),
        )
    if resumed:
        if given := tuple(key for key, value in {"preset": name, "config": file}.items() if value is not None):
            raise SettingError("A resumed run keeps its settings: leave {given} out.", given=given)
        if has_weights_alone(resumed.checkpoints):
            raise SettingError(
                "{path} has the weights of a run, not where its training stood: name it as {start_from} of a new run.",
                path=str(resumed.path),
            )
        saved = resumed.load()[0]
        return continued(saved, _lasting(_by_ids(changes, saved, data)))
    read = load_toml(file) if file else {}
    base = _base_of(changes, read)
    if base and name:
        raise SettingError("{preset} is of no use with {start_from}: that run's settings count; leave it out.")
    config = preset(name or "default")
    if base:
        config = base.under(override(config, {"training": SECOND_PHASE}))
    if file:
        config = override(config, with_limits(read), source=str(file))
    corpus = {"corpus": asdict(prepared.settings)} if prepared else {}
    changes = {**with_limits(_lasting(changes)), **corpus, "data": [lasting_name(path) for path in data]}
    config = override(config, changes)
    if "canary_repeats" in changes.get("training", {}) and not config.training.canaries:
        raise SettingError("{canary_repeats} is of no use without {canaries}: give both, or leave it out.")
    return config


def _base_of(changes: Mapping[str, Any], file: Mapping[str, Any]) -> Base | None:
    """The run that changes, or else a file, name to start from."""
    named = _training(changes).get("start_from", _training(file).get("start_from", NOTHING))
    return Base(named) if TrainingConfig(steps=1, start_from=named).starts else None


def _lasting(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Names the run that is started from so that it is found from another folder, too."""
    named = _training(changes).get("start_from", NOTHING)
    if named in ("", NOTHING):
        return dict(changes)
    return {**changes, "training": {**_training(changes), "start_from": str(Path(named).resolve())}}


def _training(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    table = changes.get("training", {})
    return table if isinstance(table, Mapping) else {}


def _by_ids(changes: Mapping[str, Any], saved: Config, data: Sequence[str]) -> Mapping[str, Any]:
    """Puts the ids that a run has saved in the place of the names that were typed once more, if they mean the same."""
    corpus = changes.get("corpus", {})
    wanted = saved.corpus.with_people(corpus)
    if wanted == saved.corpus or any(map(is_read_once, data)):
        return changes
    own = with_ids(wanted, read_messages(data, saved.corpus.csv))
    return {**changes, "corpus": {**corpus, **{name: ids for name, ids in own.people.items() if name in corpus}}}
