"""A snapshot's files against those that `tf.train.Checkpoint` writes at once, byte for byte, while training goes on."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.config import NetworkConfig, TrainingConfig
from charflow.model.network.network import Network
from charflow.model.run.checkpoints import Progress
from charflow.model.run.snapshot import Snapshot
from charflow.model.training.optimizer import make_optimizer
from charflow.model.training.steps import Steps

VOCABULARY = 7
IDS = np.random.default_rng(3).integers(0, VOCABULARY, [4, 7], np.int32)  # [B, T + 1]


class Training:
    """A network in training, and the checkpoint of it."""

    def __init__(self, strategy: tf.distribute.Strategy, precision: str = "float32", cell: str = "lstm") -> None:
        config = TrainingConfig(window_length=6, batch_size=4, steps=10, precision=precision)
        with strategy.scope():
            network = NetworkConfig(units=5, layers=2, cell=cell, dropout=0.0)
            self.network = Network(network, VOCABULARY, targets="all", seed=1, precision=config.precision)
            self.optimizer = make_optimizer(config)
            self.optimizer.build(self.network.model.trainable_variables)
        self.progress = Progress()
        self.checkpoint = tf.train.Checkpoint(
            model=self.network.model, optimizer=self.optimizer, progress=self.progress, gate=tf.Variable([1.0, 0.0])
        )
        self._steps = Steps(strategy, self.network, self.optimizer, config, 4)
        rows = tf.data.Dataset.from_tensors((IDS[:, :-1], IDS[:, 1:])).repeat()
        self._batches = iter(rows)

    def go_on(self, steps: int) -> None:
        self._steps.run(self._batches, [0.1] * steps, 0)
        self.progress.step.assign_add(steps)


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def written(write: object, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    write(str(folder / "ckpt-1"))
    return files(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make_strategy", "precision", "cell"),
    [
        (lambda: tf.distribute.OneDeviceStrategy("/cpu:0"), "float32", "lstm"),
        (lambda: tf.distribute.OneDeviceStrategy("/cpu:0"), "float16", "gru"),  # its optimizer is within another
        (lambda: tf.distribute.MirroredStrategy(["/cpu:0"]), "float32", "lstm"),
    ],
    ids=["one device", "float16", "mirrored"],
)
def test_snapshot_writes_what_was_there_when_it_was_taken(
    make_strategy: object, precision: str, cell: str, tmp_path: Path
) -> None:
    training = Training(make_strategy(), precision, cell)
    snapshot = Snapshot(training.checkpoint)
    for turn in range(2):
        training.go_on(2)
        at_once = written(training.checkpoint.write, tmp_path / f"at once {turn}")
        snapshot.take()
        training.go_on(2)
        later = written(training.checkpoint.write, tmp_path / f"later {turn}")
        assert written(snapshot.write, tmp_path / f"taken {turn}") == at_once
        assert later["ckpt-1.data-00000-of-00001"] != at_once["ckpt-1.data-00000-of-00001"]
        snapshot.drop()


def test_snapshot_keeps_no_values_once_they_are_written(tmp_path: Path) -> None:
    variable = tf.Variable(tf.zeros([1000]))
    snapshot = Snapshot(tf.train.Checkpoint(variable=variable))
    snapshot.take()
    assert snapshot.n_bytes == 4000
    snapshot.drop()
    snapshot.write(str(tmp_path / "ckpt-1"))
    assert tf.train.load_checkpoint(str(tmp_path / "ckpt-1")).get_variable_to_shape_map() == {
        "_CHECKPOINTABLE_OBJECT_GRAPH": [],
        "variable/.ATTRIBUTES/VARIABLE_VALUE": [0],
    }
