"""Who gets which threads, and that graphs run on them."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pytest
from tensorflow.core.protobuf import config_pb2

from charflow.serving.embedded.core.servable import Servable
from charflow.serving.embedded.core.step_threads import StepThreads
from charflow.serving.embedded.settings_of import load_settings, with_threads
from charflow.serving.settings.flags import ServerFlags


def test_step_that_is_alone_has_all_cores_and_others_a_thread_each() -> None:
    threads = StepThreads(config_pb2.ConfigProto(), cores=4, steps=2)
    assert [pool.num_threads for pool in threads.config.session_inter_op_thread_pool] == [4, 1, 1]
    with ExitStack() as steps:
        assert [steps.enter_context(threads.lease()) for _ in range(5)] == [0, 1, 2, 0, 0]
    with threads.lease() as alone, threads.lease() as beside:  # all came back
        assert (alone, beside) in [(0, 1), (0, 2)]


def test_thread_comes_back_from_a_step_that_failed() -> None:
    threads = StepThreads(config_pb2.ConfigProto(), cores=1, steps=1)
    with threads.lease():
        with pytest.raises(ZeroDivisionError), threads.lease() as pool:
            assert pool == 1
            raise ZeroDivisionError
        with threads.lease() as pool:
            assert pool == 1


def test_configuration_is_copied_with_the_pools_beside_what_it_has() -> None:
    given = config_pb2.ConfigProto(intra_op_parallelism_threads=3)
    threads = StepThreads(given, cores=2, steps=1)
    assert threads.config.intra_op_parallelism_threads == 3
    assert not given.session_inter_op_thread_pool


def test_graphs_answer_on_any_thread(half: str) -> None:
    threads = StepThreads(config_pb2.ConfigProto(), cores=2, steps=2)
    servables = [Servable(half, config=threads.config, threads=threads) for _ in range(2)]  # they share the pools
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda x: servables[x % 2].run({"x:0": np.float32([[x]])}, ["y:0"])[0].item(), range(64))
        assert list(answers) == [0.5 * x + 2 for x in range(64)]
    for servable in servables:
        servable.close()


@pytest.mark.parametrize(("calls", "steps"), [(1, 2), (5, 5), (100, 8)], ids=["as cores", "as calls", "four a core"])
def test_so_many_steps_have_a_thread_of_their_own(calls: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    found = with_threads(load_settings(ServerFlags(model_base_path="/m")), calls)
    assert found.threads
    assert found.session == found.threads.config
    assert [pool.num_threads for pool in found.session.session_inter_op_thread_pool] == [2, *[1] * steps]


def test_operators_own_number_of_threads_stays() -> None:
    settings = load_settings(ServerFlags(model_base_path="/m", tensorflow_inter_op_parallelism=3))
    assert with_threads(settings, 16) is settings
    assert settings.threads is None
    assert settings.session
    assert settings.session.inter_op_parallelism_threads == 3
