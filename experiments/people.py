"""Makes runs for the people of a real chat, tells their authors apart, and serves all of them. Prints Markdown tables.

    python experiments/people.py CHAT OUT [--drop-user ID] [--min-messages 780] [--base-seconds 90] [--seconds 10]
        [--among 10]

CHAT is a file of messages; OUT a folder for what is made, which a second call goes on with. `--drop-user` leaves a bot
out. `charflow who --held-out` then tells `--among` of the people apart, those of every size, beside n-grams; and one
server has the models of all, exported without their checks: its memory, its start, and 16 clients that ask them by
turns for 100 characters, without batching and with it. Client and server share the machine.
"""

import argparse
import asyncio
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from charflow.export.people import People
from charflow.model.run.run_dir import runs_in
from charflow.serving import AsyncClient
from charflow.serving.layout import MODELS
from serving import BATCHING, PROMPT, clients, percentiles, server  # beside this script, where Python looks first

_CLIENTS, _SECONDS = 16, 15.0


def charflow(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "charflow", *map(str, arguments)], check=True)


def train(chat: str, out: Path, options: argparse.Namespace) -> None:
    base, dropped = out / "base", ["--drop-user", options.drop_user] if options.drop_user else []
    if not (base / "result.json").exists():
        limit = ["--min-count", 20, "--time-limit", options.base_seconds]
        charflow("train", chat, *dropped, *limit, "--out", base, *(["--resume"] if base.exists() else []))
    each = ["--each-user", "--min-messages", options.min_messages, "--from", base, "--time-limit", options.seconds]
    charflow("train", chat, *dropped, *each, "--out", out / "people")


def tell(out: Path, among: int) -> None:
    """Tells so many people apart, whose runs are taken from all sizes alike."""
    runs = sorted(runs_in(out / "people"), key=lambda run: run.corpus_facts()["characters"])
    some = out / "some"
    some.mkdir(exist_ok=True)
    for run in runs[:: max(1, len(runs) // among)][:among]:
        link = some / run.path.name
        if not link.exists():
            link.symlink_to(run.path.resolve())
    charflow("who", "--held-out", "--among", some)


def serve(out: Path) -> None:
    people = People(out / "people", out / "models")
    if not (people.base / MODELS).exists():
        began = time.monotonic()
        for _ in people.export():
            pass
        print(f"\nExported {len(people.runs)} models in {time.monotonic() - began:.0f} s.\n")
    names = re.findall(r'name: "(.*)"', (people.base / MODELS).read_text(encoding="utf-8"))
    print("| models | batching | start | memory | requests/s | p50 | p99 | failed |\n|---|---|---|---|---|---|---|---|")
    for served in (names[:1], names):
        config = out / "served.config"
        entries = [
            f'config {{ name: "{name}" base_path: "{people.base.resolve() / name}" model_platform: "tensorflow" }}'
            for name in served
        ]
        config.write_text(f"model_config_list {{ {' '.join(entries)} }}")
        for batching in ([], ["--enable_batching", f"--batching_parameters_file={BATCHING}"]):
            began = time.monotonic()
            with server(people.base, f"--model_config_file={config.resolve()}", *batching) as (grpc, _, process):
                start = time.monotonic() - began
                latencies, errors = asyncio.run(ask(grpc, served))
                status = Path(f"/proc/{process.pid}/status").read_text()
            memory = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1e6
            print(
                f"| {len(served)} | {'on' if batching else 'off'} | {start:.1f} s | {memory:.2f} GB | "
                f"{len(latencies) / _SECONDS:,.0f} | {percentiles(latencies)} | {sum(errors.values())} |"
            )


async def ask(address: str, names: list[str]) -> tuple[list[float], Any]:
    async with AsyncExitStack() as open_clients:
        each = [await open_clients.enter_async_context(AsyncClient(address, model=name, retries=0)) for name in names]

        def make(number: int) -> Callable[[int], Awaitable[Any]]:
            return lambda turn: each[(number + turn) % len(each)].generate(
                PROMPT, max_chars=100, stop_at_end=False, seed=1000 * number + turn
            )

        return await clients(_CLIENTS, _SECONDS, make)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chat", metavar="CHAT")
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--drop-user")
    parser.add_argument("--min-messages", type=int, default=780)
    parser.add_argument("--base-seconds", type=float, default=90.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--among", type=int, default=10)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} CPUs\n")
    train(arguments.chat, arguments.out, arguments)
    tell(arguments.out, arguments.among)
    serve(arguments.out)


if __name__ == "__main__":
    main()
