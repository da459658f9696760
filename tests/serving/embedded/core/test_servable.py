"""SavedModels of all kinds, loaded and run, whole and damaged."""

import resource
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from charflow.serving import errors
from charflow.serving.embedded.core.deadline import Deadline
from charflow.serving.embedded.core.servable import Servable
from tests.serving.embedded.saved_models import save_graph, save_half, signature, v1


@pytest.fixture
def load() -> Iterator[Callable[..., Servable]]:
    """Loads versions, and closes them after the test."""
    loaded: list[Servable] = []

    def load(path: str, **options: Any) -> Servable:
        loaded.append(Servable(path, **options))
        return loaded[-1]

    yield load
    for servable in loaded:
        servable.close()


def run(servable: Servable, signature: str = "serving_default", **inputs: Any) -> dict[str, np.ndarray]:
    found = servable.signatures[signature]
    feeds = {found.inputs[name].tensor: np.asarray(value) for name, value in inputs.items()}
    fetched = servable.run(feeds, [spec.tensor for spec in found.outputs.values()])
    return dict(zip(found.outputs, fetched, strict=True))


@pytest.mark.parametrize("fixture", ["half", "half_resource"])
def test_servable_runs_a_tf1_graph(fixture: str, load: Callable[..., Servable], request: pytest.FixtureRequest) -> None:
    servable = load(request.getfixturevalue(fixture))
    np.testing.assert_array_equal(run(servable, x=np.float32([[2], [-4]]))["y"], np.float32([[3], [0]]))


def test_servable_runs_a_tf2_module(load: Callable[..., Servable], module: str) -> None:
    servable = load(module)
    outputs = run(servable, x=np.float32([1, 2]))
    np.testing.assert_array_equal(outputs["up"], np.float32([3, 6]))
    np.testing.assert_array_equal(outputs["down"], np.float32([-3, -6]))
    assert "__saved_model_init_op" not in servable.signatures
    assert "__saved_model_init_op" in servable.signature_defs


def test_servable_runs_texts_and_gives_arrays_for_scalars_too(load: Callable[..., Servable], shout: str) -> None:
    outputs = run(load(shout), text=np.array(["да".encode(), b"no"], object))
    assert outputs["loud"].tolist() == ["ДА".encode(), b"NO"]
    assert all(isinstance(array, np.ndarray) for array in outputs.values())
    assert (outputs["joined"].shape, outputs["joined"].dtype) == ((), object)
    assert outputs["joined"].item() == "ДА NO".encode()
    assert (outputs["count"].shape, outputs["count"].dtype, outputs["count"].item()) == ((), np.int32, 2)


def test_servable_feeds_a_rank_its_placeholder_does_not_have(load: Callable[..., Servable], half: str) -> None:
    np.testing.assert_array_equal(run(load(half), x=np.float32([2, 4, 6]))["y"], np.float32([3, 4, 5]))


def test_servable_fetches_a_tensor_under_two_names(load: Callable[..., Servable], half: str) -> None:
    outputs = run(load(half), "twice", x=np.float32([[2]]))
    np.testing.assert_array_equal(outputs["y"], outputs["z"])
    assert outputs["all"].shape == ()


def test_servable_gives_the_kernels_error(load: Callable[..., Servable], half: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"Matrix size-incompatible: In\[0\]: \[2,3\], In\[1\]: \[2,3\]"):
        run(load(half), "matmul", p=np.ones([2, 3], np.float32), q=np.ones([2, 3], np.float32))


def test_servable_refuses_a_tensor_the_graph_does_not_have(load: Callable[..., Servable], half: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"The graph has no tensor nowhere:0\."):
        load(half).run({}, ["nowhere:0"])


@pytest.mark.parametrize("tags", [("gpu",), ("serve", "gpu")], ids=" ".join)
def test_servable_refuses_other_tags(tags: tuple[str, ...], half: str) -> None:
    message = rf"^Could not find meta graph def matching supplied tags: \{{ {' '.join(tags)} \}}"
    with pytest.raises(errors.NotFound, match=message):
        Servable(half, tags=tags)


def test_servable_finds_the_graph_with_the_tags_asked_for(load: Callable[..., Servable], tmp_path: Path) -> None:
    path = save_half(tmp_path / "1", tags=("serve", "gpu"))
    assert run(load(path, tags=("gpu", "serve")), x=np.float32([[2]]))["y"].tolist() == [[3]]


def cut(name: str, size: int) -> Callable[[Path], object]:
    return lambda path: (path / name).write_bytes((path / name).read_bytes()[:size])


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (shutil.rmtree, errors.NotFound, r"^\S+/1: SavedModel file does not exist at: \S+/1/\{saved_model"),
        (lambda path: (path / "saved_model.pb").unlink(), errors.NotFound, "SavedModel file does not exist"),
        (lambda path: (path / "saved_model.pb").write_bytes(b"\xff junk"), errors.DataLoss, "Cannot parse file"),
        (cut("saved_model.pb", 500), errors.DataLoss, "Cannot parse file"),
        (cut("variables/variables.data-00000-of-00001", 3), errors.OutOfRange, "Read less bytes than requested"),
        (cut("variables/variables.index", 20), errors.DataLoss, "file is too short to be an sstable"),
        (lambda path: shutil.rmtree(path / "variables"), errors.Internal, "cannot be loaded: ValueError: .*checkpoint"),
    ],
    ids=["no folder", "no graph", "junk graph", "cut graph", "cut variables", "cut index", "no variables"],
)
def test_servable_tells_what_is_wrong_with_a_damaged_model(
    damage: Callable[[Path], object], error: type[errors.ServingError], message: str, half: str, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(half, tmp_path / "1"))
    damage(path)
    with pytest.raises(error, match=message):
        Servable(str(path))


def test_run_ends_at_the_deadline(load: Callable[..., Servable], loop: str) -> None:
    servable = load(loop)
    spec = servable.signatures["serving_default"]
    began = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded, match=r"^Deadline exceeded: "):
        servable.run(
            {spec.inputs["n"].tensor: np.int64([10**12])},
            [spec.outputs["counted"].tensor],
            deadline=Deadline.after(0.2),
        )
    assert 0.2 <= time.monotonic() - began < 5
    assert run(servable, n=np.int64([7]))["counted"].tolist() == [7]  # and the servable lives on


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_run_does_not_begin_after_the_deadline(seconds: float, load: Callable[..., Servable], half: str) -> None:
    with pytest.raises(errors.DeadlineExceeded, match="the deadline had passed before the model could run"):
        load(half).run({"x:0": np.float32([[1]])}, ["y:0"], deadline=Deadline.after(seconds))


def test_run_answers_many_threads_each_with_its_own(load: Callable[..., Servable], half: str) -> None:
    servable, start = load(half), threading.Barrier(16)

    def ask(number: int) -> bool:
        start.wait()
        for step in range(30):
            x = np.full([number % 3 + 1, 1], number + step, np.float32)
            np.testing.assert_array_equal(run(servable, x=x)["y"], x / 2 + 2)
        return True

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(16)))


def test_close_frees_graph_and_session(half: str) -> None:
    servable = Servable(half)
    held = weakref.ref(servable._graph), weakref.ref(servable._session)
    servable.close()
    assert [reference() for reference in held] == [None, None]


@pytest.mark.slow
def test_close_frees_the_variables(tmp_path: Path) -> None:
    """Six versions of 16 MiB would need 96 MiB if closing kept them."""
    with tf.Graph().as_default(), v1.Session() as session:
        weights = v1.get_variable("w", [4 * 2**20], initializer=v1.zeros_initializer(), use_resource=False)
        session.run(v1.global_variables_initializer())
        x = v1.placeholder(tf.float32, [], "x")
        path = save_graph(
            tmp_path / "1", session, {"serving_default": signature({"x": x}, {"total": tf.reduce_sum(weights) + x})}
        )

    def memory() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()  # bytes that are resident

    kept = []  # the objects, so that only closing can free what they hold
    before = 0
    for number in range(8):
        kept.append(Servable(path))
        kept[-1].close()
        if number == 1:
            before = memory()
    assert memory() - before < 48 * 2**20


def test_servable_gives_back_no_texts_of_more_dimensions_than_can_be_fetched(
    load: Callable[..., Servable], tmp_path: Path
) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        sizes = v1.placeholder(tf.int32, [None], "sizes")
        texts = tf.fill(sizes, "a")
        path = save_graph(tmp_path / "1", session, {"serving_default": signature({"sizes": sizes}, {"texts": texts})})
    servable = load(path)
    assert run(servable, sizes=np.ones(32, np.int32))["texts"].shape == (1,) * 32
    with pytest.raises(errors.InvalidArgument, match="an output has more than 32 dimensions"):
        run(servable, sizes=np.ones(33, np.int32))  # unguarded, the process would end here
