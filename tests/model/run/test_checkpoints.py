"""Saving and restoring, with files that were cut short, went missing, or could not be written."""

import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from charflow.model.run.checkpoints import Checkpoints, Progress, best_step
from charflow.model.run.snapshot import Snapshot
from charflow.pipeline.errors import UserError


class Run:
    """A model of two weights, its optimizer and progress, and their checkpoints in a folder."""

    def __init__(self, folder: Path, *, weight: float = 0.0, units: int = 2) -> None:
        ids = keras.Input([1])
        self.model = keras.Model(ids, keras.layers.Dense(units, use_bias=False)(ids))
        self.optimizer = keras.optimizers.Adam()
        self.optimizer.build(self.model.trainable_variables)
        self.progress = Progress()
        self.checkpoints = Checkpoints(folder, self.model, self.optimizer, self.progress)
        self.set_to(weight)

    def set_to(self, weight: float, step: int = 0) -> None:
        self.model.set_weights([np.full(w.shape, weight) for w in self.model.get_weights()])
        self.progress.step.assign(step)

    @property
    def weight(self) -> float:
        return float(self.model.get_weights()[0][0, 0])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with the latest checkpoints of steps 2 and 3 and the best one of step 1; weight = 10 * step."""
    run = Run(tmp_path)
    for step in (1, 2, 3):
        run.set_to(10.0 * step, step)
        if step == 1:
            run.checkpoints.save_best(step)
        run.checkpoints.save_latest(step)
    return tmp_path


def data_file(folder: Path, step: int) -> Path:
    (file,) = folder.glob(f"ckpt-{step}.data-*")
    return file


@contextmanager
def full_disk(limit: int = 100) -> Iterator[None]:
    """Lets no file grow over `limit` bytes, as a full disk would; Python ignores the signal, so the write fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_restore_latest_brings_weights_optimizer_and_progress_back(tmp_path: Path) -> None:
    run = Run(tmp_path, weight=5.0)
    run.optimizer.apply([tf.ones([1, 2])], run.model.trainable_variables)
    run.progress.step.assign(7)
    run.progress.elapsed.assign(1.5)
    run.progress.best.assign(2.25)
    run.progress.stale.assign(3)
    run.checkpoints.save_latest(7)
    other = Run(tmp_path, weight=-1.0)
    other.checkpoints.restore_latest()
    assert other.weight == run.weight
    for found, expected in zip(other.optimizer.variables, run.optimizer.variables, strict=True):
        np.testing.assert_array_equal(found, expected)
    progress = other.progress
    assert [float(v) for v in (progress.step, progress.elapsed, progress.best, progress.stale)] == [7, 1.5, 2.25, 3]


def test_restore_latest_and_best_take_their_own(saved: Path) -> None:
    run = Run(saved)
    run.checkpoints.restore_latest()
    assert (run.weight, int(run.progress.step)) == (30, 3)
    run.checkpoints.restore_best()
    assert (run.weight, int(run.progress.step)) == (10, 1)


def test_restore_of_weights_only_needs_no_optimizer(saved: Path) -> None:
    model = Run(saved).model
    Checkpoints(saved, model).restore_best()
    assert model.get_weights()[0].tolist() == [[10, 10]]


def test_restore_best_takes_the_latest_where_none_was_best(tmp_path: Path) -> None:
    run = Run(tmp_path, weight=4.0)
    assert best_step(tmp_path) is None
    run.checkpoints.save_latest(1)
    assert best_step(tmp_path) == 1
    other = Run(tmp_path)
    other.checkpoints.restore_best()
    assert other.weight == 4
    other.checkpoints.save_best(1)
    other.checkpoints.save_latest(2)
    assert best_step(tmp_path) == 1


def test_save_keeps_the_last_two_and_one_best(saved: Path) -> None:
    run = Run(saved)
    run.checkpoints.save_best(4)
    names = lambda folder: sorted(file.name.split(".")[0] for file in folder.glob("*.index"))  # noqa: E731
    assert names(saved / "latest") == ["ckpt-2", "ckpt-3"]
    assert names(saved / "best") == ["ckpt-4"]


def test_restore_best_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    message = r"/latest holds no checkpoint: the run was stopped before its first save\.$"
    with pytest.raises(UserError, match=message):
        Run(tmp_path).checkpoints.restore_best()


def test_restore_latest_without_a_checkpoint_changes_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path)
    before = run.model.get_weights()
    run.checkpoints.restore_latest()
    for kept, weight in zip(run.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(kept, weight)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


DAMAGES = {"cut short": cut, "empty": empty, "a wrong byte": flip, "missing": Path.unlink}


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"], ids=["index", "data"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_restore_of_a_damaged_checkpoint_takes_the_one_before(saved: Path, suffix: str, damage: Callable) -> None:
    damage(saved / "latest" / f"ckpt-3{suffix}")
    run = Run(saved)
    assert run.checkpoints.restore_latest() == ["ckpt-3"]
    assert (run.weight, int(run.progress.step)) == (20, 2)


@pytest.mark.parametrize("content", [None, b"", b'model_checkpoint_path: "ck'], ids=["missing", "empty", "torn"])
def test_restore_does_not_need_the_list_of_checkpoints(saved: Path, content: bytes | None) -> None:
    for folder in (saved / "latest", saved / "best"):
        (folder / "checkpoint").unlink()
        if content is not None:
            (folder / "checkpoint").write_bytes(content)
    run = Run(saved)
    assert run.checkpoints.restore_latest() == []
    assert run.weight == 30
    run.checkpoints.restore_best()
    assert run.weight == 10
    run.checkpoints.save_latest(4)
    assert sorted(file.name for file in (saved / "latest").glob("*.index")) == ["ckpt-3.index", "ckpt-4.index"]
    assert Path(tf.train.latest_checkpoint(str(saved / "latest"))).name == "ckpt-4"


def test_save_deletes_what_it_does_not_keep_in_a_folder_with_brackets(tmp_path: Path) -> None:
    run = Run(tmp_path / "run[1]")
    for step in (1, 2, 3, 4):
        run.checkpoints.save_latest(step)
    left = {file.name.partition(".")[0] for file in (tmp_path / "run[1]" / "latest").iterdir()}
    assert left == {"ckpt-3", "ckpt-4", "checkpoint"}


def test_save_after_going_back_replaces_what_lies_ahead(saved: Path) -> None:
    run = Run(saved, weight=15.0)
    run.checkpoints.save_best(5)  # of a time before the run went back to step 1
    run.checkpoints.save_best(2)
    run.checkpoints.save_latest(2)
    other = Run(saved)
    assert other.checkpoints.restore_latest() == []
    assert other.weight == 15
    assert [file.name for file in (saved / "best").glob("*.index")] == ["ckpt-2.index"]
    assert [file.name for file in (saved / "latest").glob("*.index")] == ["ckpt-2.index"]
    assert Path(tf.train.latest_checkpoint(str(saved / "best"))).name == "ckpt-2"


def test_restore_where_all_are_damaged_says_what_is_left_to_do(saved: Path) -> None:
    for step in (2, 3):
        cut(data_file(saved / "latest", step))
    message = r"^The checkpoints ckpt-3, ckpt-2 in .*/latest are damaged or cut short: train again, or restore one"
    with pytest.raises(UserError, match=message):
        Run(saved).checkpoints.restore_latest()


def test_restore_after_deleting_the_damaged_files_goes_back(saved: Path) -> None:
    cut(data_file(saved / "latest", 3))
    for file in (saved / "latest").glob("ckpt-3.*"):
        file.unlink()
    run = Run(saved)
    run.checkpoints.restore_latest()
    assert (run.weight, int(run.progress.step)) == (20, 2)


@pytest.mark.parametrize("complete", [True, False], ids=["with optimizer", "weights only"])
def test_restore_of_the_only_checkpoint_damaged_says_what_is_left_to_do(saved: Path, complete: bool) -> None:
    cut(data_file(saved / "best", 1))
    run = Run(saved)
    checkpoints = run.checkpoints if complete else Checkpoints(saved, run.model)
    message = r"/best/ckpt-1 is damaged or cut short: train again, or restore it from a backup\.$"
    with pytest.raises(UserError, match=message):
        checkpoints.restore_best()


def test_restore_into_a_network_of_another_size_is_refused(saved: Path) -> None:
    run = Run(saved, units=3)
    with pytest.raises(UserError, match=r"/best/ckpt-1 is damaged or cut short"):
        Checkpoints(saved, run.model).restore_best()


def test_restore_of_weights_that_are_not_in_the_checkpoint_is_refused(tmp_path: Path) -> None:
    tf.train.CheckpointManager(tf.train.Checkpoint(progress=Progress()), str(tmp_path / "latest"), 1).save()
    with pytest.raises(UserError, match=r"^The checkpoints ckpt-1 in .*/latest are damaged or cut short"):
        Checkpoints(tmp_path, Run(tmp_path / "other").model).restore_latest()


def test_save_on_a_full_disk_leaves_the_checkpoint_before_it(saved: Path) -> None:
    run = Run(saved, weight=40.0)
    message = (
        r"^The checkpoint of step 4 could not be saved in .* The checkpoint before it is intact: .*/latest/ckpt-3\.$"
    )
    with full_disk(), pytest.raises(UserError, match=message):
        run.checkpoints.save_latest(4)
    other = Run(saved)
    other.checkpoints.restore_latest()
    assert other.weight == 30
    run.checkpoints.save_latest(4)  # there is room again
    other = Run(saved)
    other.checkpoints.restore_latest()
    assert other.weight == 40


def test_save_on_a_full_disk_leaves_no_half_written_files(saved: Path) -> None:
    with full_disk(), pytest.raises(UserError, match="could not be saved"):
        Run(saved, weight=40.0).checkpoints.save_latest(4)
    assert not list((saved / "latest").glob("ckpt-4*"))


def test_save_on_a_full_disk_says_so_without_the_names_of_ops(saved: Path) -> None:
    with (
        full_disk(),
        pytest.raises(UserError, match=r"/latest: [^{}\[\]]*File too large\. The checkpoint before") as error,
    ):
        Run(saved, weight=40.0).checkpoints.save_latest(4)
    assert "{{" not in str(error.value)
    assert "Op:" not in str(error.value)


def test_save_on_a_full_disk_leaves_the_best_checkpoint(saved: Path) -> None:
    with full_disk(), pytest.raises(UserError, match=r"could not be saved in .*/best: .*/best/ckpt-1\.$"):
        Run(saved, weight=40.0).checkpoints.save_best(4)
    run = Run(saved)
    run.checkpoints.restore_best()
    assert run.weight == 10


def test_save_of_the_same_step_on_a_full_disk_leaves_the_checkpoint_before_it(saved: Path) -> None:
    """A run resumed from before its best checkpoint comes to that step again."""
    with full_disk(), pytest.raises(UserError, match=r"could not be saved in .*/best"):
        Run(saved, weight=40.0).checkpoints.save_best(1)
    run = Run(saved)
    run.checkpoints.restore_best()
    assert run.weight == 10


def test_save_first_on_a_full_disk_promises_nothing(tmp_path: Path) -> None:
    message = r"^The checkpoint of step 1,000 could not be saved in .*/latest: .*File too large"
    with full_disk(), pytest.raises(UserError, match=message) as error:
        Run(tmp_path).checkpoints.save_latest(1000)
    assert "intact" not in str(error.value)


def test_save_where_the_device_is_full_says_so(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_, **__) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "ckpt-4.data-00000-of-00001; No space left on device")

    run = Run(saved)
    monkeypatch.setattr(tf.train.Checkpoint, "_write", no_space)
    monkeypatch.setattr(tf.train.Checkpoint, "write", no_space)
    with pytest.raises(UserError, match=r"No space left on device\. The checkpoint before it is intact: .*ckpt-3\.$"):
        run.checkpoints.save_latest(4)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Lets no snapshot be written before the event."""
    event, write = threading.Event(), Snapshot.write

    def wait_and_write(snapshot: Snapshot, prefix: str) -> None:
        event.wait()
        write(snapshot, prefix)

    monkeypatch.setattr(Snapshot, "write", wait_and_write)
    yield event
    event.set()


def newest(folder: Path, *, best: bool = False) -> tuple[float, int]:
    """Weight and step of a checkpoint, read by another process as far as this test can be one."""
    run = Run(folder)
    run.checkpoints.restore_best() if best else run.checkpoints.restore_latest()
    return run.weight, int(run.progress.step)


def test_save_writes_behind_what_stood_when_it_was_called(saved: Path, held: threading.Event) -> None:
    run = Run(saved)
    run.set_to(40.0, 4)
    run.checkpoints.save(4, best=True)
    run.set_to(50.0, 5)
    assert (newest(saved), newest(saved, best=True)) == ((30, 3), (10, 1))  # nothing is written yet
    held.set()
    run.checkpoints.wait()
    assert (newest(saved), newest(saved, best=True)) == ((40, 4), (40, 4))
    assert run.weight == 50


def test_save_leaves_the_files_that_saving_at_once_leaves(tmp_path: Path) -> None:
    run = Run(tmp_path / "behind")
    at_once = Checkpoints(tmp_path / "at once", run.model, run.optimizer, run.progress)
    for step in (1, 2, 3):
        run.set_to(10.0 * step, step)
        if step == 2:
            at_once.save_best(step)
        at_once.save_latest(step)
        run.checkpoints.save(step, best=step == 2)
    run.checkpoints.wait()
    found, expected = (
        {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        for folder in (tmp_path / "behind", tmp_path / "at once")
    )
    assert found.keys() == expected.keys()
    assert all(found[name] == expected[name] for name in found if not name.endswith("/checkpoint"))  # which has times


def test_save_waits_for_the_one_before_and_raises_its_error_once(saved: Path) -> None:
    run = Run(saved)
    message = r"^The checkpoint of step 4 could not be saved in .*/latest: .*intact: .*/latest/ckpt-3\.$"
    with full_disk(), pytest.raises(UserError, match=message):
        run.checkpoints.save(4)
        run.checkpoints.save(5)
    assert not list((saved / "latest").glob("ckpt-4*"))
    run.set_to(60.0, 6)
    run.checkpoints.save(6)
    run.checkpoints.wait()
    assert newest(saved) == (60, 6)


def test_saving_waits_in_the_end_and_tells_what_failed(saved: Path) -> None:
    run = Run(saved)
    with full_disk(), pytest.raises(UserError, match="step 4 could not be saved"), run.checkpoints.saving():
        run.checkpoints.save(4)
    run.set_to(50.0, 5)
    with pytest.raises(KeyboardInterrupt), run.checkpoints.saving():
        run.checkpoints.save(5)
        raise KeyboardInterrupt
    assert newest(saved) == (50, 5)


def test_restore_waits_for_what_is_being_saved(saved: Path) -> None:
    run = Run(saved)
    run.set_to(40.0, 4)
    run.checkpoints.save(4, best=True)
    run.set_to(0.0)
    run.checkpoints.restore_best()
    assert (run.weight, int(run.progress.step)) == (40, 4)


def test_save_writes_at_once_where_memory_for_a_copy_is_not_free(
    saved: Path, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(saved)
    run.set_to(40.0, 4)
    monkeypatch.setattr("charflow.model.run.checkpoints.free_memory", lambda: 40)  # weights and moments take 24 bytes
    run.checkpoints.save(4)
    assert newest(saved) == (40, 4)


def test_save_deletes_what_a_killed_run_had_begun_to_write(saved: Path) -> None:
    unfinished = saved / "latest" / "ckpt-4_temp"
    unfinished.mkdir()
    (unfinished / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"...")
    Run(saved).checkpoints.save_latest(5)
    assert not unfinished.exists()
