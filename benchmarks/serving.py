"""Measures the embedded server with an exported model. Prints Markdown tables.

    python benchmarks/serving.py loaders MODEL_BASE     # a session against the functions of tf.saved_model.load
    python benchmarks/serving.py batching MODEL_BASE    # 64 clients, with and without batching, in one run
    python benchmarks/serving.py swap MODEL_BASE        # 32 clients while versions come, one of them corrupt

MODEL_BASE holds the versions of an exported run, such as models/a. Client and server share the machine.
"""

import argparse
import asyncio
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from charflow.serving import AsyncClient, ServingError

BATCHING = Path(__file__).parents[1] / "deploy" / "serving" / "batching.config"  # as `export` writes it
PROMPT = "how do i "


def newest(base: Path) -> Path:
    return max((path for path in base.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def server(base: Path, *flags: str) -> Iterator[tuple[str, str, subprocess.Popen[str]]]:
    """Runs charflow-model-server; gives the addresses of gRPC and REST, and the process."""
    ports = free_port(), free_port()
    command = [
        sys.executable, "-c", "from charflow.serving.launch.model_server import main; main()", "--model_name=m",
        f"--model_base_path={base}", f"--port={ports[0]}", f"--rest_api_port={ports[1]}", *flags,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Try:"):
                break
        else:
            raise SystemExit(f"The server did not start: {' '.join(command)}")
        yield f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}", process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def percentiles(seconds: list[float]) -> str:
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    return f"{p50:,.0f} ms | {p99:,.0f} ms"


def loaders(base: Path) -> None:
    """Calls a second, through the session the server uses and through TensorFlow's functions, by threads."""
    from charflow.serving.embedded.core.inference import Loaded, predict
    from charflow.serving.embedded.core.servable import Servable

    path = str(newest(base))
    servable = Servable(path)
    loaded = Loaded(servable.signatures, servable)
    feeds: dict[str, dict[str, Any]] = {
        "next_char": {"prompt": np.array([PROMPT.encode()], object)},
        "generate": {
            "prompt": np.array([PROMPT.encode()], object),
            **servable.signatures["generate"].defaults,
            "max_chars": np.array([100], np.int32),
            "stop_at_end": np.array([False]),  # here and below, so that all texts have the same length
        },
    }
    functions = tf.saved_model.load(path)

    def by_session(name: str) -> Callable[[], Any]:
        return lambda: predict(loaded, name, lambda _: feeds[name])

    def by_function(name: str) -> Callable[[], Any]:
        function = functions.signatures[name]
        return lambda: {
            key: value.numpy() for key, value in function(**{k: tf.constant(v) for k, v in feeds[name].items()}).items()
        }

    print("| signature | threads | functions, calls/s | session, calls/s | ratio |\n|---|---|---|---|---|")
    for name, calls in (("next_char", 2000), ("generate", 200)):
        for threads in (1, 8):
            rates = [rate(make(name), calls, threads) for make in (by_function, by_session)]
            print(f"| {name} | {threads} | {rates[0]:,.0f} | {rates[1]:,.0f} | {rates[1] / rates[0]:.1f}x |")


def rate(call: Callable[[], Any], calls: int, threads: int) -> float:
    """Median of three."""
    call()
    rates = []
    for _ in range(3):
        workers = [threading.Thread(target=lambda: [call() for _ in range(calls // threads)]) for _ in range(threads)]
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        rates.append(calls / (time.perf_counter() - began))
    return float(np.median(rates))


async def clients(
    count: int, seconds: float, make: Callable[[int], Callable[[int], Awaitable[Any]]]
) -> tuple[list[float], Counter[str]]:
    """Lets `count` clients call one after the other until the time is up; latencies in seconds, and errors."""
    latencies: list[float] = []
    errors: Counter[str] = Counter()
    end = time.monotonic() + seconds

    async def client(number: int) -> None:
        call, turn = make(number), 0
        while time.monotonic() < end:
            began = time.monotonic()
            try:
                await call(turn)
                latencies.append(time.monotonic() - began)
            except ServingError as error:
                errors[f"{error.code}: {error.message[:200]}"] += 1
            turn += 1

    await asyncio.gather(*(client(number) for number in range(count)))
    return latencies, errors


def batching(base: Path, *, seconds: float = 15.0, count: int = 64) -> None:
    """Generates 100 characters a call for 64 clients, by turns without and with batching."""

    async def load(address: str) -> tuple[list[float], Counter[str]]:
        async with AsyncClient(address, model="m", retries=0) as client:
            await client.generate(PROMPT, max_chars=8, seed=0)

            def make(number: int) -> Callable[[int], Awaitable[Any]]:
                return lambda turn: client.generate(PROMPT, max_chars=100, stop_at_end=False, seed=1000 * number + turn)

            return await clients(count, seconds, make)

    kinds = {"none": [], BATCHING.name: ["--enable_batching", f"--batching_parameters_file={BATCHING}"]}
    print("| batching | calls/s | characters/s | p50 | p99 | errors |\n|---|---|---|---|---|---|")
    for _ in range(2):
        for name, flags in kinds.items():
            with server(base, *flags) as (address, _, _):
                latencies, errors = asyncio.run(load(address))
            per_second = len(latencies) / seconds
            print(
                f"| {name} | {per_second:,.0f} | {100 * per_second:,.0f} | {percentiles(latencies)} | "
                f"{dict(errors) or 'none'} |"
            )


def swap(base: Path, *, seconds: float = 60.0, count: int = 32) -> None:
    """Mixed calls over gRPC and REST while versions 2, 3 (corrupt) and 4 are published."""
    source = newest(base)
    with tempfile.TemporaryDirectory() as folder:
        versions = Path(folder)
        shutil.copytree(source, versions / "1")

        def publish() -> None:
            for number, corrupt in ((2, False), (3, True), (4, False)):
                time.sleep(seconds / 4)
                beside = versions / f".{number}"
                shutil.copytree(source, beside)
                if corrupt:
                    (beside / "saved_model.pb").write_bytes(b"not a model")
                beside.rename(versions / str(number))

        async def load(grpc: str, rest: str) -> tuple[list[float], Counter[str]]:
            async with (
                AsyncClient(grpc, model="m", retries=0) as by_grpc,
                AsyncClient(rest, protocol="rest", model="m", retries=0) as by_rest,
            ):

                def make(number: int) -> Callable[[int], Awaitable[Any]]:
                    client = by_rest if number % 4 == 0 else by_grpc
                    calls: list[Callable[[int], Awaitable[Any]]] = [
                        lambda turn: client.generate(PROMPT, max_chars=50, stop_at_end=False, seed=turn),
                        lambda turn: client.complete(PROMPT),
                        lambda turn: client.next_char(PROMPT),
                        lambda turn: client.score([PROMPT, "hello there"]),
                    ]
                    return lambda turn: calls[(number + turn) % len(calls)](turn)

                return await clients(count, seconds, make)

        flags = ["--max_num_load_retries=1", "--load_retry_interval_micros=2000000"]
        with server(versions, *flags) as (grpc, rest, process):
            threading.Thread(target=publish, daemon=True).start()
            latencies, errors = asyncio.run(load(grpc, rest))
            status = subprocess.run(
                ["curl", "-s", f"http://{rest}/v1/models/m"], capture_output=True, text=True, check=True
            ).stdout
            peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        print("| clients | seconds | calls | calls/s | p50 | p99 | failed |\n|---|---|---|---|---|---|---|")
        print(
            f"| {count} | {seconds:.0f} | {len(latencies):,} | {len(latencies) / seconds:,.0f} | "
            f"{percentiles(latencies)} | {dict(errors) or 'none'} |\n"
        )
        states = re.findall(r'"version": "(\d+)",\s+"state": "(\w+)"', status)
        print("Versions at the end: " + ", ".join(f"{number} {state}" for number, state in states))
        if peak:
            print(f"Peak memory of the server: {int(peak[1]) / 1e6:.2f} GB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["loaders", "batching", "swap"])
    parser.add_argument("base", type=Path)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, TensorFlow {tf.__version__}\n")
    {"loaders": loaders, "batching": batching, "swap": swap}[arguments.what](arguments.base.resolve())


if __name__ == "__main__":
    main()
