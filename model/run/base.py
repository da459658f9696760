"""The run that another one starts from: its best weights, and the settings that go with them.

`configure` lays its settings under those of the new run, `training_text` reads in its vocabulary, and `start` makes
sure that all fits and loads the weights. After that nothing of it is needed: the new run has all in its own folder.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

from charflow.model.config import Config
from charflow.model.network.network import Network
from charflow.model.run.checkpoints import Checkpoints, best_files
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.errors import SettingError, UserError
from charflow.pipeline.settings import checked
from charflow.pipeline.tables import differing
from charflow.pipeline.vocabulary import Vocabulary

# What decides, beside the text settings, which messages are held out: those that the base has not learned either.
_TAILS = ("min_length", "min_count", "held_out", "held_out_by")
_SHAPES = ("cell", "units", "layers")


class Base:
    """A run that another can start from.

    Attributes:
        run_dir: its folder.
        config: what it was trained with.
        vocabulary: its characters.
        fingerprint: SHA-256 of its vocabulary and best weights, in hexadecimal.
    """

    @checked
    def __init__(self, folder: Path | str) -> None:
        """Looks the run up.

        Raises:
            UserError: there is no run, or it has no weights yet.
        """
        self.run_dir = RunDir(folder)
        self.config, self.vocabulary = self.run_dir.load()
        digest = hashlib.sha256("".join(self.vocabulary.chars).encode())
        for file in best_files(self.run_dir.checkpoints):
            digest.update(file.read_bytes())
        self.fingerprint = digest.hexdigest()

    def under(self, config: Config) -> Config:
        """Puts what a run that starts from here keeps of this one into its configuration."""
        own = self.config
        corpus = replace(config.corpus, text=own.corpus.text, **{name: getattr(own.corpus, name) for name in _TAILS})
        network = replace(config.network, **{name: getattr(own.network, name) for name in _SHAPES})
        return replace(config, corpus=corpus, network=network)

    def check(self, config: Config, vocabulary: Vocabulary | None = None) -> None:
        """Makes sure that a run can start from here.

        Args:
            config: of that run.
            vocabulary: of its text; None where that is not read yet.

        Raises:
            SettingError: it has other settings than the weights were trained with, or takes part of the messages only.
            UserError: its text is read in another vocabulary.
        """
        wanted = self.under(config)
        if config.corpus.held_out < wanted.corpus.held_out:  # what is held out of both
            wanted = replace(wanted, corpus=replace(wanted.corpus, held_out=config.corpus.held_out))
        if changed := tuple(differing(wanted, config)):
            raise SettingError(
                "{run} was trained with other settings: leave {changed} out, or start from another run.",
                run=str(self.run_dir.path),
                changed=changed,
            )
        if config.corpus.fraction != 1:
            raise SettingError(
                "{start_from} takes all messages, so that none held out were learned: leave {fraction} out."
            )
        if vocabulary not in (None, self.vocabulary):
            raise UserError(f"The text is not read in the vocabulary of {self.run_dir.path}: read it in that one.")

    def load_into(self, network: Network) -> None:
        """Gives a network the best weights.

        Raises:
            UserError: they are damaged, or of another version of charflow.
        """
        try:
            Checkpoints(self.run_dir.checkpoints, network.model).restore_best()
        except UserError as error:
            raise UserError(
                f"The weights of {self.run_dir.path} are damaged, or of another version of charflow: train it again, "
                "or start from another run."
            ) from error


def base_of(run_dir: RunDir) -> Base | None:
    """The run that another started from, where it is still there as it was then; else None.

    Raises:
        UserError: there is no run.
    """
    training = run_dir.load()[0].training
    try:
        base = Base(training.start_from) if training.starts else None
    except UserError:
        return None
    return base if base and base.fingerprint == training.base_fingerprint else None


def fixed_vocabulary(run_dir: RunDir) -> Vocabulary | None:
    """The vocabulary that the text of a run is read in, where it is that of the run which it started from; else None.

    Raises:
        UserError: there is no run.
    """
    config, vocabulary = run_dir.load()
    return vocabulary if config.training.starts else None
