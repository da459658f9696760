"""The folder of one run: where every file stands, who may write it, and what it was trained with.

`trainer` writes it, `generator`, `export` and the command line read it.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from charflow.model.config import Config, load_toml
from charflow.model.run.run_folder import CHECKPOINTS, CONTENT, CORPUS, SAMPLES, check_free, check_holds_run
from charflow.model.run.run_lock import locked
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.errors import UserError, counted, reason
from charflow.pipeline.files import SETTINGS, VOCABULARY, replacing
from charflow.pipeline.places import check_folder
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.settings import checked
from charflow.pipeline.tables import override
from charflow.pipeline.vocabulary import Vocabulary


class RunDir:
    """Paths of a run folder.

    Attributes:
        path: the folder.
        config_file: resolved settings, TOML.
        vocabulary_file: one character a line.
        corpus_file: what the corpus was: fingerprint, counts, JSON.
        memory_file: counts of the training text, NumPy's npz, where the run has a memory.
        placement_file: strategy, workers, replicas and devices of the last session, JSON.
        metrics_file: one JSON object a line and evaluation while training.
        result_file: what the run came to, once it has come to its end and all is done, JSON.
        losses_file: training loss of every step, nats per target character, little-endian float32.
        curves_file: training and held-out loss, PNG.
        samples: texts generated during training.
        checkpoints: best and latest weights.
        logs: TensorBoard events.
    """

    @checked
    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config_file = self.path / SETTINGS
        self.vocabulary_file = self.path / VOCABULARY
        self.corpus_file = self.path / CORPUS
        self.memory_file = self.path / "memory.npz"
        self.placement_file = self.path / "placement.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.result_file = self.path / "result.json"
        self.losses_file = self.path / "losses.f32"
        self.curves_file = self.path / "curves.png"
        self.samples = self.path / SAMPLES
        self.checkpoints = self.path / CHECKPOINTS
        self.logs = self.path / "logs"

    def create(
        self, config: Config, corpus: Corpus | PreparedCorpus, save_start: Callable[[], None] = lambda: None
    ) -> None:
        """Makes the folder and writes what the run is; the settings come last, and make it a run.

        Args:
            config: of the run.
            corpus: its text.
            save_start: writes a checkpoint of weights that cannot be made again.

        Raises:
            UserError: the folder holds something already, or cannot be written; then it is left as it was.
        """
        self.check_free()
        try:
            self.samples.mkdir(parents=True, exist_ok=True)
            with replacing(self.vocabulary_file) as beside:
                corpus.vocabulary.save(beside)
            with replacing(self.corpus_file) as beside:
                beside.write_text(json.dumps(corpus.facts(), indent=2) + "\n", encoding="utf-8")
            shutil.rmtree(self.checkpoints, ignore_errors=True)
            save_start()
            self.write_config(config)
        except UserError:
            for child in (self.vocabulary_file, self.corpus_file):
                child.unlink(missing_ok=True)
            shutil.rmtree(self.checkpoints, ignore_errors=True)
            self.samples.rmdir()
            raise

    def write_config(self, config: Config) -> None:
        """Writes the settings; raises UserError where that fails, and leaves the old ones."""
        with replacing(self.config_file) as beside:
            beside.write_text(config.to_toml(), encoding="utf-8")

    def write_placement(self, facts: dict[str, Any]) -> None:
        """Writes where the run computes."""
        with replacing(self.placement_file) as beside:
            beside.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")

    def read_placement(self) -> dict[str, Any]:
        """Reads where the last session computed; empty where there was none."""
        return _read_facts(self.placement_file)

    def check_free(self) -> None:
        """Raises UserError unless the folder is new or empty."""
        check_free(self.path)

    def load(self) -> tuple[Config, Vocabulary]:
        """Reads settings and vocabulary.

        Raises:
            UserError: there is no run here, or its files are damaged.
        """
        check_holds_run(self.path)
        # Every key is in the file, so what the preset-less Config starts from does not matter.
        config = override(Config(), load_toml(self.config_file), source=str(self.config_file))
        return config, Vocabulary.load(self.vocabulary_file)

    def corpus_facts(self) -> dict[str, Any]:
        """Reads what the corpus was; see `Corpus.facts`.

        Raises:
            UserError: the file is missing or damaged.
        """
        try:
            facts: dict[str, Any] = json.loads(self.corpus_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.corpus_file} cannot be read: {error}.") from error
        return facts

    def check_same_corpus(self, corpus: Corpus | PreparedCorpus) -> None:
        """Makes sure that a resumed run goes on learning what it began with.

        Raises:
            UserError: the vocabulary or the text is another.
        """
        known = Vocabulary.load(self.vocabulary_file)
        if known != corpus.vocabulary:
            raise UserError(
                f"{self.path} was trained with another vocabulary ({counted(len(known.chars), 'character')}; "
                f"the data now has {len(corpus.vocabulary.chars)}): "
                "resume with the same data and filters, or name another folder."
            )
        if self.corpus_facts()["fingerprint"] != corpus.fingerprint:
            raise UserError(
                f"{self.path} was trained on another text: resume with the same data and filters, "
                "or name another folder."
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps the folder for this process while it writes.

        Raises:
            UserError: another process holds it.
        """
        check_folder(self.path, CONTENT)
        with locked(self.path):
            yield

    def write_result(self, facts: dict[str, Any]) -> None:
        """Notes `step` and `reason` of the run's end, and `best_step`, `held_out` and `memorisation` of its best."""
        with replacing(self.result_file) as beside:
            beside.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")

    def read_result(self) -> dict[str, Any]:
        """Reads what the run came to; empty where it did not come to its end."""
        return _read_facts(self.result_file)

    def figures_of(self, step: int) -> dict[str, Any]:
        """What is known of the weights of a step.

        Returns:
            `step`; `train_bits`, the mean training loss of the steps before it (those since the evaluation before, or
            the last hundred where it was not evaluated); `held_out_part`, bits, accuracy and
            characters as they were scored while training; `held_out`, likewise of everything held out, once the run
            has come to its end. What is not known is None.
        """
        row = next((row for row in self.read_metrics() if row["step"] == step), {})
        part = {
            name.removeprefix(_PART): value
            for name, value in row.items()
            if name.startswith(_PART) and value is not None
        }
        result = self.read_result()
        recent = self.read_losses()[max(0, step - 100) : step]
        known = recent[~np.isnan(recent)]
        return {
            "step": step,
            "train_bits": row.get("train_bits", float(known.mean() / np.log(2)) if len(known) else None),
            "held_out_part": part or None,
            "held_out": result["held_out"] if result.get("best_step") == step else None,
        }

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Adds one evaluation."""
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """Reads the evaluations so far; an unfinished last line does not count."""
        if not self.metrics_file.exists():
            return []
        lines = self.metrics_file.read_text(encoding="utf-8").split("\n")
        try:
            return [json.loads(line) for line in lines[:-1]]
        except ValueError as error:
            raise UserError(f"{self.metrics_file} is damaged: {reason(error)}.") from error

    def append_losses(self, losses: np.ndarray) -> None:
        """Adds the losses of some steps."""
        with self.losses_file.open("ab") as file:
            file.write(losses.astype("<f4").tobytes())

    def read_losses(self) -> np.ndarray:
        """Reads the losses of all steps so far, float32 [steps]."""
        data = self.losses_file.read_bytes() if self.losses_file.exists() else b""
        return np.frombuffer(data[: len(data) // 4 * 4], "<f4")

    def forget_metrics_after(self, step: int) -> None:
        """Drops the evaluations, losses and result of steps that a resumed run will do again."""
        if self.losses_file.exists():
            losses = self.read_losses()[:step]
            lost = np.full(step - len(losses), np.nan)  # a power cut may have taken the end of the file
            with replacing(self.losses_file) as beside:
                beside.write_bytes(np.concatenate([losses, lost]).astype("<f4").tobytes())
        if self.read_result().get("step", 0) > step:
            self.result_file.unlink()
        kept = [row for row in self.read_metrics() if row["step"] <= step]
        with replacing(self.metrics_file) as beside:
            beside.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")


def holds_runs(folder: Path) -> bool:
    """Says whether a folder is not a run, but has runs in it."""
    return (
        folder.is_dir()
        and not RunDir(folder).config_file.exists()
        and any(RunDir(child).config_file.exists() for child in folder.iterdir())
    )


def runs_in(folder: Path) -> list[RunDir]:
    """Lists the runs that stand in a folder side by side, by their names.

    Raises:
        UserError: there are none.
    """
    if RunDir(folder).config_file.exists():
        raise UserError(f"{folder} is one run: name a folder of several, as charflow train --each-user makes it.")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder.")
    found = [RunDir(child) for child in sorted(folder.iterdir()) if RunDir(child).config_file.exists()]
    if not found:
        raise UserError(f"{folder} has no runs in it: make them with charflow train --each-user.")
    return found


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


_PART = "held_out_part_"  # what the names of figures in the metrics begin with that are of a part of the held-out text
