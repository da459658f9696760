"""With --enable_batching every caller gets the answer that it would get alone."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from tests.serving.processes.server_process import ServerProcess, starting
from tests.support import USUAL, whole_settings

PARAMETERS = """
max_batch_size { value: 16 }
batch_timeout_micros { value: 20000 }
num_batch_threads { value: 2 }
max_enqueued_batches { value: 100 }
allowed_batch_sizes: 4
allowed_batch_sizes: 16
"""
ROWS = [
    {"prompt": np.array([f"{word} "], object)} | whole_settings(**USUAL, seed=seed, temperature=0.8, max_chars=9 + seed)
    for seed, word in enumerate(["how", "do", "i", "🌻", "", "oh my", "a", "z"] * 3)
]


@pytest.fixture(scope="module")
def batched(binary: str, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with batching of the first version of `chat` and of `half_plus_two`."""
    folder = tmp_path_factory.mktemp("batched")
    config, parameters, monitoring = (folder / name for name in ("models.config", "batching.config", "monitoring"))
    config.write_text(
        f"""model_config_list {{
          config {{
            name: "chat" base_path: "{models}/chat" model_platform: "tensorflow"
            model_version_policy {{ specific {{ versions: 1 }} }}
          }}
          config {{ name: "half" base_path: "{models}/half_plus_two" model_platform: "tensorflow" }}
          config {{ name: "shapes" base_path: "{models}/shapes" model_platform: "tensorflow" }}
        }}"""
    )
    parameters.write_text(PARAMETERS)
    monitoring.write_text("prometheus_config { enable: true }")
    with starting(folder, binary) as start:
        yield start(
            model_config_file=config,
            enable_batching=True,
            batching_parameters_file=parameters,
            monitoring_config_file=monitoring,
        )


def generate(server: ServerProcess, row: dict[str, np.ndarray], protocol: str) -> dict[str, Any]:
    if protocol == "rest":
        plain = {name: value.tolist() for name, value in row.items()}
        return server.columns("chat/versions/1", plain, signature="generate")
    return server.ask("chat", row, signature="generate", version=1)


def sample_of(server: ServerProcess, name: str) -> float:
    page = server.http.get("/monitoring/prometheus/metrics").text
    found = re.search(rf"^{re.escape(name)}{{[^}}]*}} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_batched_requests_are_answered_as_unbatched_ones(
    server: ServerProcess, batched: ServerProcess, protocol: str
) -> None:
    batches = ":tensorflow:serving:batching_session:processed_batch_size_count"
    before = sample_of(batched, batches)
    with ThreadPoolExecutor(len(ROWS)) as pool:
        answers = list(pool.map(lambda row: generate(batched, row, protocol), ROWS))
    ran = sample_of(batched, batches) - before
    assert 0 < ran < len(ROWS)  # some ran together
    for row, answer in zip(ROWS, answers):
        expected = generate(server, row, protocol)
        assert answer["text"] == expected["text"], row
        assert answer["log_prob"] == pytest.approx(expected["log_prob"], rel=1e-4, abs=1e-4)


def test_batched_requests_keep_their_own_errors(batched: ServerProcess) -> None:
    calls: list[Any] = [[1.0], [2.0, 3.0], 5.0, [4.0] * 17] * 4

    def ask(x: Any) -> Any:
        try:
            return batched.ask("half", {"x": x})["y"]
        except grpc.RpcError as error:
            return error.code().name

    with ThreadPoolExecutor(len(calls)) as pool:
        assert list(pool.map(ask, calls)) == [[2.5], [3.0, 3.5], "INVALID_ARGUMENT", "INVALID_ARGUMENT"] * 4


def test_batched_requests_refuse_unequal_rows(batched: ServerProcess) -> None:
    with pytest.raises(grpc.RpcError, match="equal 0th-dimension size") as caught:
        batched.predict("chat", {"prompt": ["a", "b"], **whole_settings()}, signature="generate")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_batched_request_that_fails_in_its_kernel_says_so(batched: ServerProcess) -> None:
    response = batched.post("shapes:predict", {"instances": [[1.0, 2.0]]})
    assert (response.status_code, "Matrix size" in response.json()["error"]) == (400, True)
    assert batched.columns("shapes", {"x": [[1.0, 2.0, 3.0]]}) == [6.0]
