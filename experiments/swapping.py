"""Calls a server for a while in which versions of a model come, one of them corrupt. Prints a Markdown table.

    python experiments/swapping.py MODELS [--seconds 60] [--clients 32]

MODELS holds the versions of an exported run, such as models/a. Client and server share the machine.
"""

import argparse
import asyncio
import os
import re
import shutil
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from charflow.benchmarks.machine import peak_bytes
from charflow.benchmarks.model_server import EMBEDDED, NAME, programs, running
from charflow.benchmarks.serving import newest
from charflow.serving import AsyncClient, ServingError

PROMPT = "how do i "


def percentiles(seconds: list[float]) -> str:
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    return f"{p50:,.0f} ms | {p99:,.0f} ms"


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


def swap(base: Path, seconds: float, count: int) -> None:
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
                AsyncClient(grpc, model=NAME, retries=0) as by_grpc,
                AsyncClient(rest, protocol="rest", model=NAME, retries=0) as by_rest,
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
        with running(programs()[EMBEDDED], versions, *flags) as server:
            threading.Thread(target=publish, daemon=True).start()
            latencies, errors = asyncio.run(load(server.grpc, server.rest))
            with urllib.request.urlopen(f"http://{server.rest}/v1/models/{NAME}") as answer:
                status = answer.read().decode()
            peak = peak_bytes(server.pid)
        print("| clients | seconds | calls | calls/s | p50 | p99 | failed |\n|---|---|---|---|---|---|---|")
        print(
            f"| {count} | {seconds:.0f} | {len(latencies):,} | {len(latencies) / seconds:,.0f} | "
            f"{percentiles(latencies)} | {dict(errors) or 'none'} |\n"
        )
        states = re.findall(r'"version": "(\d+)",\s+"state": "(\w+)"', status)
        print("Versions at the end: " + ", ".join(f"{number} {state}" for number, state in states))
        print(f"Peak memory of the server: {peak / 1e9:.2f} GB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", metavar="MODELS", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=32)
    arguments = parser.parse_args()
    swap(arguments.models.resolve(), arguments.seconds, arguments.clients)


if __name__ == "__main__":
    main()
