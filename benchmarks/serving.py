"""What a served model costs over the same model in process: one caller, many callers, the start, the memory.

`charflow bench serve` prints it. Callers and server share the machine.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from charflow.benchmarks.comparison import LIMIT, OURS, PEER, Candidate, Comparison, Kind, Way, by_turns
from charflow.benchmarks.machine import peak_bytes, processor_seconds
from charflow.benchmarks.model_server import EMBEDDED, NAME, RunningServer, programs, running
from charflow.export.publish import export_run
from charflow.model.training.train import train
from charflow.pipeline.cores import usable_cores
from charflow.pipeline.errors import UserError
from charflow.pipeline.sample_chat import write_sample_chat
from charflow.serving import AsyncClient, Client
from charflow.serving.embedded.core.inference import Loaded, predict
from charflow.serving.embedded.core.servable import Servable
from charflow.serving.layout import BATCHING

CHARS = 100  # of a text
CALLERS = 64
_PROMPT = "how do i "
_ROWS = 32  # of the largest batch that is computed, as batching.config has it
_CALLS = 20  # of a turn, by one caller
_SECONDS = 3.0  # of a turn, by many


def export_new(folder: Path) -> Path:
    """Exports a network of the default's sizes that has learned nothing; gives the folder of its versions."""
    write_sample_chat(folder / "chat.csv", messages=2_000)
    run = train(folder / "chat.csv", folder / "run", steps=1, cached=False)
    return export_run(run, folder / "models").parent


def measure_serving(base: Path, *, turns: int) -> Iterator[Comparison]:
    """Serves the newest version in a folder without and with batching, and calls it.

    Raises:
        UserError: there is none, or a server does not start.
    """
    version = newest(base)
    batching = ("--enable_batching", f"--batching_parameters_file={base / BATCHING}")
    with ExitStack() as stack:
        alone, batched = (
            {name: stack.enter_context(running(program, base, *flags)) for name, program in programs().items()}
            for flags in ((), batching)
        )
        model = InProcess(version)
        yield _one_caller("generate", alone, batched, model, turns)
        yield _one_caller("next_char", alone, batched, model, turns)
        yield from _many_callers(alone, batched, model, turns)
        yield from _start_and_memory([alone, batched])


def newest(base: Path) -> Path:
    """The newest version of an exported model.

    Raises:
        UserError: there is none.
    """
    versions = [path for path in base.iterdir() if path.name.isdecimal()] if base.is_dir() else []
    if not versions:
        raise UserError(f"{base}: no version of a model there: name the folder that charflow export wrote to.")
    return max(versions, key=lambda path: int(path.name))


class InProcess:
    """The exported model in this process: by the session that the embedded server has, and by TensorFlow's functions.

    Args:
        version: folder of the SavedModel.
    """

    def __init__(self, version: Path) -> None:
        servable = Servable(str(version))
        self._loaded, self._defaults = Loaded(servable.signatures, servable), servable.signatures["generate"].defaults
        self._functions = tf.saved_model.load(str(version)).signatures

    def feeds(self, signature: str, rows: int = 1) -> dict[str, np.ndarray]:
        """What asks for texts of `CHARS` characters, or for the next character, as the clients below do."""
        prompt = {"prompt": np.array([_PROMPT.encode()] * rows, object)}
        if signature == "next_char":
            return prompt
        own = {"max_chars": np.array([CHARS], np.int32), "stop_at_end": np.array([False])}
        columns = {**{name: np.asarray(value) for name, value in self._defaults.items()}, **own}
        return {**prompt, **{name: np.repeat(value[:1], rows, axis=0) for name, value in columns.items()}}

    def by_session(self, signature: str, rows: int = 1) -> Callable[[], Any]:
        """What runs a signature as the embedded server does."""
        feeds = self.feeds(signature, rows)
        return lambda: predict(self._loaded, signature, lambda _: feeds)

    def by_function(self, signature: str) -> Callable[[], Any]:
        """What runs a signature as a program of TensorFlow does."""
        feeds = {name: tf.constant(value) for name, value in self.feeds(signature).items()}
        return lambda: [value.numpy() for value in self._functions[signature](**feeds).values()]


def _one_caller(
    signature: str,
    alone: Mapping[str, RunningServer],
    batched: Mapping[str, RunningServer],
    model: InProcess,
    turns: int,
) -> Comparison:
    ways: list[tuple[str, Kind, Callable[[], Any]]] = []
    for name, server in alone.items():
        kind = OURS if name == EMBEDDED else PEER
        ways += [
            (f"{name}, gRPC", kind, _caller(server.grpc, "grpc", signature)),
            (f"{name}, REST", kind, _caller(server.rest, "rest", signature)),
            (f"{name}, gRPC, batching on", kind, _caller(batched[name].grpc, "grpc", signature)),
        ]
    ways += [
        ("tf.saved_model.load, in process", PEER, model.by_function(signature)),
        ("the server's session, in process", LIMIT, model.by_session(signature)),
    ]
    what = f"a text of {CHARS} characters" if signature == "generate" else "the probabilities of a character"
    return Comparison(
        what=f"{signature}, one caller",
        unit="calls/s",
        about=f"Each call asks for {what} and is made when the one before is answered; beside it the same signature "
        "without a server.",
        ways=by_turns(
            [Candidate(name=name, kind=kind, work=partial(_repeat, call), amount=_CALLS) for name, kind, call in ways],
            turns,
        ),
    )


def _repeat(call: Callable[[], Any]) -> None:
    for _ in range(_CALLS):
        call()


def _caller(address: str, protocol: Any, signature: str) -> Callable[[], Any]:
    client = Client(address, protocol, model=NAME, retries=0)
    if signature == "next_char":
        return lambda: client.next_char(_PROMPT)
    return lambda: client.generate(_PROMPT, max_chars=CHARS, stop_at_end=False)


def _many_callers(
    alone: Mapping[str, RunningServer], batched: Mapping[str, RunningServer], model: InProcess, turns: int
) -> Iterator[Comparison]:
    ways: list[tuple[str, Kind, _Metered]] = []
    for name in alone:
        kind = OURS if name == EMBEDDED else PEER
        for server, how in ((batched[name], "on"), (alone[name], "off")):
            meter = _Metered(partial(_together, server.grpc), partial(processor_seconds, server.pid))
            ways.append((f"{name}, batching {how}", kind, meter))
    in_process = _Metered(lambda: _batches_per_second(model) * _ROWS, time.process_time)
    ways.append((f"batches of {_ROWS}, in process", LIMIT, in_process))
    yield Comparison(
        what=f"generate, {CALLERS} callers",
        unit="texts/s",
        about=f"Over gRPC, {CHARS} characters a text, each caller asking again when it is answered; the callers are "
        "one process of asyncio. The limit has none: full batches, computed in as many threads as there are cores.",
        ways=by_turns([Candidate(name=name, kind=kind, work=meter, amount=None) for name, kind, meter in ways], turns),
    )
    yield Comparison(
        what=f"generate, {CALLERS} callers: processor time",
        unit="ms a text",
        about="Of the server's process alone, in the same turns, on all cores together; the limit's has no server.",
        less_is_better=True,
        ways=tuple(Way(name=name, kind=kind, figures=tuple(meter.spent[-turns:])) for name, kind, meter in ways),
    )


class _Metered:
    """Work that gives texts a second, and what each call of it took of the processor: ms a text, in `spent`."""

    def __init__(self, work: Callable[[], float], processor: Callable[[], float]) -> None:
        self._work, self._processor = work, processor
        self.spent: list[float] = []

    def __call__(self) -> float:
        began = self._processor()
        texts = self._work()
        self.spent.append(1000 * (self._processor() - began) / max(1.0, texts * _SECONDS))
        return texts


def _together(address: str) -> float:
    return asyncio.run(_texts_per_second(address))


async def _texts_per_second(address: str) -> float:
    """Lets all callers ask until the time is up, and counts what was answered by then."""
    loop = asyncio.get_running_loop()
    async with AsyncClient(address, model=NAME, retries=0) as client:
        await client.generate(_PROMPT, max_chars=1)  # the model's own settings are read here
        end, texts = loop.time() + _SECONDS, 0

        async def caller(number: int) -> None:
            nonlocal texts
            while loop.time() < end:
                await client.generate(_PROMPT, max_chars=CHARS, stop_at_end=False, seed=number)
                texts += loop.time() < end

        await asyncio.gather(*map(caller, range(CALLERS)))
    return texts / _SECONDS


def _batches_per_second(model: InProcess) -> float:
    call, batches = model.by_session("generate", _ROWS), [0] * usable_cores()
    stopped = threading.Event()

    def work(thread: int) -> None:
        while not stopped.is_set():
            call()
            batches[thread] += not stopped.is_set()

    threads = [threading.Thread(target=work, args=[k]) for k in range(len(batches))]
    for thread in threads:
        thread.start()
    stopped.wait(_SECONDS)
    stopped.set()
    for thread in threads:
        thread.join()
    return sum(batches) / _SECONDS


def _start_and_memory(servers: Sequence[Mapping[str, RunningServer]]) -> Iterator[Comparison]:
    yield Comparison(
        what="starting a server",
        unit="s",
        about="From the start of the process until the model is available, Python's and TensorFlow's import and the "
        "model's warm-up included.",
        less_is_better=True,
        ways=_of_servers(servers, lambda server: server.seconds),
    )
    yield Comparison(
        what="memory of a server",
        unit="MB",
        about="The most that each server's process had in memory, after all of the calls above.",
        less_is_better=True,
        ways=_of_servers(servers, lambda server: peak_bytes(server.pid) / 1e6),
    )


def _of_servers(
    servers: Sequence[Mapping[str, RunningServer]], figure: Callable[[RunningServer], float]
) -> tuple[Way, ...]:
    return tuple(
        Way(
            name=name,
            kind=OURS if name == EMBEDDED else PEER,
            figures=tuple(figure(each[name]) for each in servers),
        )
        for name in servers[0]
    )
