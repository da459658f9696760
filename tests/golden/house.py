"""What the documents are made from: a chat, runs, exported versions and a server, by the names that users know.

Everything stands in one folder, is made when it is first asked for, and then once. The weights of what writes text are
a seeded draw, not trained ones: training differs in the last bits from machine to machine, and a text must not.
"""

import contextlib
import io
import json
import shutil
import socket
import subprocess
import sys
import time
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import tensorflow as tf

from charflow.cli.app import run  # the `charflow` command, which ends its process when it is done
from charflow.export import export_run
from charflow.model.decoding.settings import Limits, SamplingSettings
from tests import forked

USER = "mira"
SMALL = ("--units", 16, "--steps", 60, "--evaluations", 2, "--user", USER)
RUNS = {
    "default": (*SMALL, "--window-length", 20),
    "tutorial": (*SMALL, "--preset", "tutorial", "--fraction", 1.0),
    "mixed": (
        *(*SMALL, "--cell", "gru", "--layers", 2, "--dropout", 0.3, "--window-length", 12, "--window-shift", 5),
        *(
            "--optimizer",
            "nadam",
            "--learning-rate",
            0.01,
            "--beta-2",
            0.98,
            "--schedule",
            "cosine",
            "--clip-norm",
            0.5,
        ),
        *("--warmup-steps", 10, "--batch-size", 24, "--best-by", "training", "--seed", 5, "--keep-case"),
        *("--unicode-form", "NFKC", "--min-count", 3, "--fraction", 0.8, "--min-length", 20, "--held-out", 0.2),
        *("--user", "tomas", "--drop-user", "buildbot", "--checkpoint-every", 25),
    ),
}
_PATIENCE = 120.0  # seconds for a server to start, beside other work


def charflow(*words: object, status: int = 0) -> str:
    """Runs the command in this process and returns what it printed on standard output.

    Raises:
        RuntimeError: it ended with another exit status.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        ended = run([str(word) for word in words])
    printed, said = (stream.detach().getvalue().decode() for stream in (out, err))
    if ended != status:
        raise RuntimeError(f"charflow {' '.join(map(str, words))}: exit status {ended}\n{said}")
    return printed


def checked_here() -> Any:
    """Lets exports be checked in this process: to load TensorFlow in another one takes longer than the check."""
    from charflow.export import check

    return patch.object(check, "check_in_fresh_process", check.check)


class House:
    """One folder, and what is made in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.figures: dict[str, Any] = {}
        self._server: subprocess.Popen | None = None

    @cached_property
    def chat(self) -> Path:
        """The bundled sample chat, with broken rows."""
        from charflow.pipeline import write_sample_chat

        path = self.folder / "chat.csv"
        write_sample_chat(path, messages=400)
        return path

    def run(self, name: str) -> Path:
        """A run that was trained just now; its figures are in `figures`."""
        run = self.folder / "runs" / name
        if name not in self.figures:
            self.figures[name] = json.loads(charflow("train", self.chat, "--out", run, *RUNS[name], "--json"))
        return run

    def losses(self, name: str) -> list[float]:
        """The loss of every step of a run, nats per target character."""
        return np.fromfile(self.run(name) / "losses.f32", "<f4").tolist()

    @cached_property
    def fixed(self) -> dict[str, Path]:
        """Copies of the runs, whose best weights are replaced by a seeded draw."""
        return {name: self._fix(name) for name in ("default", "mixed")}

    def _fix(self, name: str) -> Path:
        run = shutil.copytree(self.run(name), self.folder / "fixed" / name)
        (index,) = (run / "checkpoints" / "best").glob("*.index")
        prefix = str(index.with_suffix(""))
        reader = tf.train.load_checkpoint(prefix)
        tensors = {key: reader.get_tensor(key) for key in sorted(reader.get_variable_to_shape_map())}
        weights = [key for key in tensors if key.startswith("optimizer/_trainable_variables/")]
        random = np.random.RandomState(11)
        for key in weights:
            wide = len(tensors[key]) != 16  # what reads characters; what reads the 16 units must forget, or be chaotic
            tensors[key] = random.normal(scale=1.5 if wide else 0.4, size=tensors[key].shape).astype(np.float32)
        tensors[weights[-2]] *= 5  # logits that are sure of the next character
        tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=list(tensors),
            shape_and_slices=[""] * len(tensors),
            tensors=[tf.constant(value) for value in tensors.values()],
        )
        return run

    @cached_property
    def models(self) -> Path:
        """Version 1 as `charflow export` makes it by default, version 2 different in all that can differ."""
        base = self.folder / "models" / "m"
        with checked_here():
            self.figures["export"] = json.loads(charflow("export", self.fixed["default"], "--to", base, "--json"))
        export_run(
            self.fixed["default"],
            base,
            version=2,
            settings=SamplingSettings(max_chars=30, temperature=0.9, top_k=7, top_p=0.8, seed=-3, stop="e"),
            context="window",
            limits=Limits(prompt_chars=50, completion_chars=60),
        )
        return base

    @cached_property
    def config(self) -> Path:
        """What the server is told to serve: both versions."""
        path = self.folder / "server.config"
        text = (self.models / "models.config").read_text(encoding="utf-8")
        path.write_text(text.replace("num_versions: 1", "num_versions: 2"), encoding="utf-8")
        return path

    @cached_property
    def addresses(self) -> dict[str, str]:
        """Where the embedded server answers gRPC and REST; it serves `models`."""
        from charflow.serving import Client, ServingError

        grpc, rest = (f"127.0.0.1:{_free_port()}" for _ in range(2))
        flags = {
            "backend": "embedded",
            "port": grpc.split(":")[1],
            "rest_api_port": rest.split(":")[1],
            "model_config_file": self.config,
        }
        words = [f"--{name}={value}" for name, value in flags.items()]
        self._server = forked.Popen(
            [sys.executable, "-m", "charflow", "serve", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        began = time.monotonic()
        while True:
            try:
                with Client(rest, "rest", model="m", timeout=1, retries=0) as client:
                    if [version.state for version in client.status()] == ["AVAILABLE", "AVAILABLE"]:
                        return {"grpc": grpc, "rest": rest}
            except ServingError:
                if self._server.poll() is not None or time.monotonic() - began > _PATIENCE:
                    raise
            time.sleep(0.1)

    def close(self) -> None:
        """Stops the server."""
        if self._server:
            self._server.terminate()
            self._server.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
