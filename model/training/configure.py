"""Settles what a run does before it starts: a preset, a file and changes, or what a run that is resumed may change.

`train` and `sweep` ask it; `start` takes the configuration that comes of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from charflow.model.config import Config, load_toml
from charflow.model.presets import continued, preset, with_limits
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
        saved = resumed.load()[0]
        return continued(saved, _by_ids(changes, saved, data))
    config = preset(name or "default")
    if file:
        config = override(config, with_limits(load_toml(file)), source=str(file))
    corpus = {"corpus": asdict(prepared.settings)} if prepared else {}
    config = override(config, {**with_limits(changes), **corpus, "data": [lasting_name(path) for path in data]})
    if "canary_repeats" in changes.get("training", {}) and not config.training.canaries:
        raise SettingError("{canary_repeats} is of no use without {canaries}: give both, or leave it out.")
    return config


def _by_ids(changes: Mapping[str, Any], saved: Config, data: Sequence[str]) -> Mapping[str, Any]:
    """Puts the ids that a run has saved in the place of the names that were typed once more, if they mean the same."""
    corpus = changes.get("corpus", {})
    wanted = saved.corpus.with_people(corpus)
    if wanted == saved.corpus or any(map(is_read_once, data)):
        return changes
    own = with_ids(wanted, read_messages(data, saved.corpus.csv))
    return {**changes, "corpus": {**corpus, **{name: ids for name, ids in own.people.items() if name in corpus}}}
