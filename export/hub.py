"""Writes a folder for the Hugging Face hub: a run without its training, and without what it says of people and files.

`Generator.load`, and whatever else takes the folder of a run, reads it; `model.run.weights_file` has the weights.
"""

import json
import shutil
from dataclasses import asdict, replace
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from charflow.export.hub_card import LIBRARY, Told, make_card
from charflow.export.new_folder import filled
from charflow.model.config import Config
from charflow.model.decoding.generator import load_network
from charflow.model.evaluation.memorisation import report_of, without_text
from charflow.model.run.checkpoints import best_step
from charflow.model.run.run_dir import RunDir
from charflow.model.run.run_memory import load_memory
from charflow.model.run.weights_file import weights_file, write_weights
from charflow.pipeline.settings import checked

CARD, SHAPE = "README.md", "config.json"
_ANOTHER_RUN = "another run"  # that this one started from, whose folder is nobody's business


@checked
def export_hub(run_dir: RunDir | Path | str, folder: Path | str) -> Path:
    """Writes the best weights of a run, and what is needed to write with them, for the Hugging Face hub.

    The folder is a run of which training cannot go on: `Generator.load`, `load_keras`, `export_run` and others take it,
    and another run may start from it. It names no user, no file and no other run, and has no message.

    Args:
        run_dir: the run.
        folder: new or empty; its name is the model's in the card.

    Returns:
        The folder.

    >>> export_hub("runs/a", "hub/a")  # doctest: +SKIP
    >>> Generator.load("hub/a").generate("how do i ")  # doctest: +SKIP

    Raises:
        UserError: there is no run, it has no checkpoint or is damaged, or the folder holds something, or cannot be
            written; then nothing is left behind.
    """
    run, folder = run_dir if isinstance(run_dir, RunDir) else RunDir(run_dir), Path(folder)
    config, vocabulary = run.load()
    with filled(folder, "the model") as beside:
        memory = load_memory(run)
        network, step = load_network(run, memory), best_step(run.checkpoints) or 0
        report = without_text(report_of(run))
        told = Told(
            name=folder.resolve().name,
            config=_public(config),
            weights=network.n_weights,
            characters=len(vocabulary.chars),
            corpus=run.corpus_facts(),
            figures=run.figures_of(step),
            memorisation=report,
        )
        hub = RunDir(beside)
        write_weights(weights_file(hub.checkpoints), network.model, memory, step)
        vocabulary.save(hub.vocabulary_file)
        if memory:
            shutil.copyfile(run.memory_file, hub.memory_file)
        _write_json(hub.corpus_file, told.corpus)
        _write_json(beside / SHAPE, _shape(told, network.vocabulary_size))
        _copy_figures(run, hub, report)
        (beside / CARD).write_text(make_card(told), encoding="utf-8")
        hub.write_config(told.config)
    return folder


def _public(config: Config) -> Config:
    """The settings without who and where."""
    start = _ANOTHER_RUN if config.training.starts else config.training.start_from
    return replace(
        config,
        data=(),
        corpus=replace(config.corpus, users=(), drop_users=()),
        training=replace(config.training, start_from=start),
    )


def _shape(told: Told, vocabulary_size: int) -> dict[str, Any]:
    return {
        "model_type": LIBRARY,
        "charflow_version": installed("charflow"),
        **asdict(told.config.network),
        "vocabulary_size": vocabulary_size,
        "targets": told.config.training.targets,
        "window_length": told.config.training.window_length,
    }


def _copy_figures(run: RunDir, hub: RunDir, report: dict[str, Any] | None) -> None:
    for row in run.read_metrics():
        hub.append_metrics(row)
    if result := run.read_result():
        hub.write_result({**result, "memorisation": report and {**report, "text": ""}})


def _write_json(path: Path, facts: Any) -> None:
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
