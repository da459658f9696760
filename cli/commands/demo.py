"""`charflow demo`: the whole way, on the sample chat that charflow writes itself."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from charflow.cli.commands.explore import explore
from charflow.cli.commands.export import export
from charflow.cli.commands.train import train
from charflow.cli.terminal import console
from charflow.pipeline.bounds import Bounds
from charflow.pipeline.settings import checked

_USER = "mira"
_MESSAGES = 6000
_PROMPT = "oh my dears, "
_MODEL = "demo"

# Runs in a process of its own: all it needs is TensorFlow and the exported folder.
_COMPLETE = """
import sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
for temperature in (0.2, 0.5, 1.0, 1.2):
    text = model.generate(
        tf.constant([sys.argv[2]]), max_chars=tf.constant([200]), temperature=tf.constant([temperature]),
        seed=tf.constant([7], tf.int64),
    )["text"].numpy()[0].decode()
    print(f"--- temperature {temperature} ---\\n{sys.argv[2]}{text}\\n")
"""


@checked
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")] = Path("demo"),
    seconds: Annotated[float, typer.Option(metavar="SECONDS", help="Time to train."), Bounds(above=0)] = 60.0,
) -> None:
    """Write a sample chat, explore it, train on one of its users, export, check, complete a prompt, and serve."""
    from charflow.pipeline.places import check_new_folder
    from charflow.pipeline.sample_chat import write_sample_chat

    check_new_folder(out, "the demo")
    out.mkdir(parents=True, exist_ok=True)
    chat = out / "chat.csv"
    write_sample_chat(chat, messages=_MESSAGES)
    _step(f"charflow explore {chat} --user {_USER} --plot {out / 'users.png'}")
    explore([str(chat)], user=_USER, plot=out / "users.png")
    _step(f"charflow train {chat} --user {_USER} --out {out / 'run'} --time-limit {seconds:g}")
    train([str(chat)], out=out / "run", user=[_USER], time_limit=seconds, no_cache=True)
    _step(f"charflow export {out / 'run'} --to {out / 'model'}")
    export(out / "run", to=out / "model")
    _step("a fresh process that has only TensorFlow and the exported model")
    _complete(out / "model" / "1")
    _serve(out / "model")
    console.out.print(f"Look at {out / 'users.png'} and {out / 'run' / 'curves.png'}.")


def _step(title: str) -> None:
    console.out.print(console.Copied(f"\n$ {title}"), style="bold")


def _complete(version_folder: Path) -> None:
    from charflow.pipeline.errors import UserError

    done = subprocess.run(
        [sys.executable, "-c", _COMPLETE, str(version_folder), _PROMPT],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    if done.returncode:
        raise UserError(f"The exported model could not be used: {done.stderr.strip().splitlines()[-1]}")
    console.out.print(done.stdout, end="")


def _serve(base: Path) -> None:
    """Serves the model for as long as it takes to ask it through both doors."""
    from charflow.pipeline.errors import UserError
    from charflow.serving import Client

    grpc, rest = _free_ports()
    flags = [f"--model_base_path={base.resolve()}", f"--model_name={_MODEL}"]
    flags += [f"--port={grpc}", f"--rest_api_port={rest}"]
    _step(f"charflow serve --backend embedded {' '.join(flags)}")
    texts = []
    with _server(["--backend=embedded", *flags]):
        doors = {
            "gRPC": Client(f"127.0.0.1:{grpc}", protocol="grpc", model=_MODEL),
            "REST": Client(f"127.0.0.1:{rest}", protocol="rest", model=_MODEL),
        }
        for door, client in doors.items():
            with client:
                texts.append(client.generate(_PROMPT, max_chars=100, seed=7).text)
            console.out.print(f"\n{door}, seed 7", style="bold")
            console.out.print(f"{_PROMPT}{texts[-1]}")
    if texts[0] != texts[1]:
        raise UserError("gRPC and REST gave different texts for the same seed.")
    console.out.print("\nThe same text through both. The server has ended.")


@contextmanager
def _server(arguments: list[str]) -> Iterator[None]:
    """Runs `charflow serve` beside this process, and shows what it prints until it is ready."""
    from charflow.pipeline.errors import UserError

    command = [sys.executable, "-m", "charflow", "serve", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            for line in process.stdout:
                console.out.print(console.Copied(line), end="")
                if line.startswith("Try:"):
                    break
            else:
                raise UserError(f"The server did not start: {process.stderr.read().strip().splitlines()[-1]}")
            yield
        finally:
            process.terminate()
            process.communicate()


def _free_ports() -> tuple[int, int]:
    """Finds two ports that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return first.getsockname()[1], second.getsockname()[1]
