"""The memory of a run: counted when the run begins, kept in its folder, loaded with its weights.

`trainer` has it counted, `generator` loads it. The counts depend on the text and the settings alone; how far they are
trusted beside the network is in the checkpoints, with the weights that it was fitted to. V is the vocabulary size.
"""

import hashlib
import json

from charflow.model.config import TrainingConfig
from charflow.model.free_memory import refuse_beyond_memory
from charflow.model.memory.automaton import MOST_COLUMNS, build_automaton
from charflow.model.memory.counting import Counts, Kept, count_contexts
from charflow.model.memory.memory import Memory
from charflow.model.run.counts_file import read_counts, write_counts
from charflow.model.run.everybodys_counts import Counting, everybodys_counts, silently, timed
from charflow.model.run.run_dir import RunDir
from charflow.model.training_text import TrainingText
from charflow.pipeline.errors import UserError

_FORMAT = 1  # raise it when other counts come of the same text and settings
_FINGERPRINT = "fingerprint"
_BYTES = 12  # of a context and a column: tables to make, and to step through


def count_text(
    text: TrainingText, training: TrainingConfig, run_dir: RunDir, counting: Counting = silently
) -> Counts | None:
    """Counts what a run is to remember, or takes what it has counted before; None where it has no memory.

    Args:
        text: of the run.
        training: its settings.
        run_dir: where it is.
        counting: is told when everybody's text is counted.

    Raises:
        UserError: what is counted beside the text cannot be read.
    """
    if not training.remembers:
        return None
    try:
        return _stored(run_dir, training)
    except UserError:  # it is new, or was stopped before it had counted
        kept, size, everybody = _kept(training), text.vocabulary.size, text.everybody
    if everybody and everybody.may_be_one_for_all:
        of_all = everybodys_counts(everybody.written, size, kept, counting)
        if everybody.is_one_for_all(of_all.left_out):
            return of_all.counts
    return timed(lambda: count_contexts(text.counted, size, kept), counting if everybody else silently)


def make_memory(counts: Counts, vocabulary_size: int) -> Memory:
    """Makes the tables of counts, trusted in nothing yet.

    Raises:
        SettingError: they need more memory than there is.
    """
    contexts, columns = len(counts.keys), min(vocabulary_size, MOST_COLUMNS)
    refuse_beyond_memory(
        _BYTES * contexts * columns,
        f"A memory of {contexts:,} contexts, {columns} characters each, needs",
        "{memory_contexts}",
    )
    return Memory(build_automaton(counts, vocabulary_size))


def save_counts(run_dir: RunDir, counts: Counts) -> None:
    """Keeps the counts of a run; raises UserError where the file cannot be written."""
    training = run_dir.load()[0].training
    write_counts(run_dir.memory_file, counts, **{_FINGERPRINT: _fingerprint(run_dir, training)})


def load_memory(run_dir: RunDir) -> Memory | None:
    """Loads the memory of a run; its gate comes with the weights. None where the run has none.

    Raises:
        UserError: the file is missing, damaged, or of another run.
    """
    config, vocabulary = run_dir.load()
    if not config.training.remembers:
        return None
    return make_memory(_stored(run_dir, config.training), vocabulary.size)


def _stored(run_dir: RunDir, training: TrainingConfig) -> Counts:
    found = read_counts(run_dir.memory_file, _FINGERPRINT)
    if not found:
        raise UserError(f"{run_dir.memory_file} is missing or damaged: resume the run, which counts again.")
    counts, (fingerprint,) = found
    if fingerprint != _fingerprint(run_dir, training):
        raise UserError(
            f"{run_dir.memory_file} has the counts of another text or other settings: resume the run, which counts "
            "again."
        )
    return counts


def _kept(training: TrainingConfig) -> Kept:
    return Kept(training.memory_order, training.memory_contexts, training.memory_count, training.memory_people)


def _fingerprint(run_dir: RunDir, training: TrainingConfig) -> str:
    parts = [_FORMAT, run_dir.corpus_facts()["fingerprint"], training.memory, _kept(training)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
