"""Starts a run in a folder, or goes on with one: the only place that knows in which order that is done.

`train`, `sweep` and tests call it; `trainer` does the work in between.
"""

from contextlib import nullcontext
from dataclasses import asdict, replace

import tensorflow as tf

from charflow.model.config import Config
from charflow.model.distributed.strategy import Placement, placement
from charflow.model.run.base import Base
from charflow.model.run.run_dir import RunDir
from charflow.model.training.report import Listener, Result
from charflow.model.training.trainer import Trainer
from charflow.model.training_text import TrainingText
from charflow.pipeline.errors import UserError


def start_run(
    config: Config,
    text: TrainingText,
    run_dir: RunDir,
    strategy: tf.distribute.Strategy,
    listener: Listener,
    *,
    resume: bool = False,
) -> Result:
    """Trains in a new folder, or on in one that holds a run, until its end; of several workers each calls it.

    Nothing is written before it is certain that the settings fit the text, the machine and the folder. When a run has
    begun, nothing is needed any more of the one that it started from.

    Args:
        config: what to do; of a resumed run what `presets.continued` gives. What is written down names users as the
            corpus of the text does, by their ids.
        text: what to learn.
        run_dir: where to write; the chief locks it.
        strategy: where to compute.
        listener: who is told.
        resume: whether to go on with the run that the folder holds.

    Raises:
        UserError: the folder is in use, holds something else or a run on another text, or a file cannot be written; or
            as `Base.check` and `Trainer`.
        DivergedError, PeerError: as `Trainer.train`.
    """
    memory = config.training.memory if config.training.remembers else "off"
    training = replace(config.training, memory=memory)
    config = replace(config, corpus=text.corpus.settings or config.corpus, training=training)
    base = Base(config.training.start_from) if config.training.starts and not resume else None
    if base:
        base.check(config, text.vocabulary)
        config = replace(config, training=replace(config.training, base_fingerprint=base.fingerprint))
    here = placement(strategy)
    with run_dir.locked() if here.chief else nullcontext():
        if resume:
            run_dir.check_same_corpus(text.corpus)
            _check_same_workers(config, run_dir, here)
        elif here.chief:
            run_dir.check_free()
        trainer = Trainer(config, text, run_dir, strategy, listener)
        if resume:
            trainer.resume()
        elif base:
            trainer.start_from(base)
        if here.chief:
            if resume:
                run_dir.write_config(config)
            else:
                run_dir.create(config, text.corpus, trainer.save if base else lambda: None)
            run_dir.write_placement(asdict(here))
        return trainer.train()


def _check_same_workers(config: Config, run_dir: RunDir, here: Placement) -> None:
    """Makes sure that the parts of a text that was shared out are the same parts again."""
    workers = run_dir.read_placement().get("workers", here.workers)
    if config.training.shard_corpus and workers != here.workers:
        raise UserError(f"The corpus of {run_dir.path} was shared by {workers} workers: resume with as many.")
