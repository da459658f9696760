"""Two ways to call a SavedModel, ours and somebody else's."""

import gc
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from charflow.export.session import FunctionRunner, SessionRunner, read_graph
from charflow.export.signatures import SIGNATURES
from tests.support import whole_settings

SAMPLING = {
    "prompt": np.array([b"oh my", b""], object),
    **whole_settings(2, max_chars=[12, 3], temperature=0.8, seed=[4, 5], stop=["", "zz"]),
}
REQUESTS = {
    "serving_default": {"prompt": SAMPLING["prompt"]},
    "generate": SAMPLING,
    "next_char": {"prompt": SAMPLING["prompt"]},
    "score": {"text": SAMPLING["prompt"]},
    "stream": {**SAMPLING, "state": np.zeros([2, 81], np.float32), "position": np.zeros(2, np.int64)},
}


class HalfPlusTwo(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def __call__(self, x):
        return {"y": x / 2 + 2}


@pytest.fixture(scope="module")
def half_plus_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TensorFlow Serving's example model: not ours, without defaults or tables."""
    folder = tmp_path_factory.mktemp("half_plus_two") / "1"
    tf.saved_model.save(HalfPlusTwo(), str(folder))
    return folder


@pytest.mark.parametrize("name", SIGNATURES)
def test_runners_agree(session: SessionRunner, functions: FunctionRunner, name: str) -> None:
    by_session, by_function = session(name, REQUESTS[name]), functions(name, REQUESTS[name])
    assert by_session.keys() == by_function.keys()
    for key, value in by_session.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(value, by_function[key], rtol=1e-5, atol=1e-5, err_msg=key)
        else:
            np.testing.assert_array_equal(value, by_function[key], err_msg=key)


@pytest.mark.parametrize("runner", [SessionRunner, FunctionRunner])
def test_runner_calls_a_model_of_somebody_else(half_plus_two: Path, runner: type) -> None:
    model = runner(half_plus_two)
    assert list(model.signatures) == ["serving_default"]
    answer = model("serving_default", {"x": np.array([1, 2, 5], np.float32)})
    assert answer["y"].tolist() == [2.5, 3.0, 4.5]


@pytest.mark.parametrize("runner", [SessionRunner, FunctionRunner])
def test_runner_hides_tensorflow_s_own_signature(plain: Path, runner: type) -> None:
    assert not [name for name in runner(plain).signatures if name.startswith("__")]


def test_function_runner_outlives_its_loading(plain: Path) -> None:
    model = FunctionRunner(plain)
    gc.collect()
    assert model("next_char", {"prompt": np.array([b""], object)})["chars"].shape == (1, 37)


def test_read_graph_sees_ops_inside_functions(half_plus_two: Path) -> None:
    ops = {op for op, _ in read_graph(half_plus_two)}
    assert {"AddV2", "StatefulPartitionedCall"} <= ops


def test_read_graph_gives_attributes_of_functions(tmp_path: Path) -> None:
    class Compiled(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)], jit_compile=True)
        def __call__(self, x):
            return x + 1

    tf.saved_model.save(Compiled(), str(tmp_path / "1"))
    assert [True for _, attributes in read_graph(tmp_path / "1") if attributes["_XlaMustCompile"].b]
