"""`charflow complete`: complete prompts with a served model."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charflow.cli import options
from charflow.cli.modes import mode
from charflow.cli.prompts import Prompts, heading, read_prompts
from charflow.cli.terminal import console
from charflow.cli.terminal.grpc_log import quiet_grpc
from charflow.model.decoding.settings import SamplingSettings
from charflow.pipeline.marks import REPLY, asked, begun
from charflow.pipeline.settings import checked

if TYPE_CHECKING:
    from charflow.serving import Client, Completion


@checked
@mode("stream", ignores=("json",))
@mode("stop_at_end", given=False, ignores=("max_messages",))
@options.settings(SamplingSettings, describe=lambda told: f"{told} [default: the model's]")
def complete(
    prompt: Prompts = None,
    server: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Its port. [default: 127.0.0.1:8500; 8501 with --rest]")
    ] = None,
    rest: Annotated[bool, typer.Option("--rest", help="Call its REST port, not gRPC.")] = False,
    model: Annotated[str, typer.Option(metavar="NAME", help="The name it is served under.")] = "default",
    version: Annotated[int | None, typer.Option(metavar="N", help="This version. [default: the latest]")] = None,
    label: Annotated[str | None, typer.Option(metavar="L", help="The version with this label.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print the text as it is written.")] = False,
    changes: options.Changes = options.NO_CHANGES,
    reply_to: options.ReplyTo = None,
    count: options.TextCount = 1,
    timeout: Annotated[float, typer.Option(metavar="S", help="Seconds for a call, its retries included.")] = 60.0,
    tls: options.Encrypt = False,
    ca: options.Authority = None,
    cert: options.Certificate = None,
    key: options.PrivateKey = None,
    json: options.Json = False,
) -> None:
    """Print completions that a model server writes."""
    prompts = read_prompts(prompt)
    if reply_to is not None:
        prompts = [asked(reply_to, text) for text in prompts]
    address = server or ("127.0.0.1:8501" if rest else "127.0.0.1:8500")
    quiet_grpc()
    from charflow.pipeline.errors import UserError
    from charflow.serving import Client, Tls
    from charflow.serving.client.arguments import setting_columns

    with _told(address):
        setting_columns(changes, len(prompts) * count)  # before anything is asked of a server
        certificates = Tls(ca=ca, cert=cert, key=key) if tls or ca or cert or key else None
        protocol: Any = "rest" if rest else "grpc"
        with Client(
            address, protocol, model=model, version=version, label=label, timeout=timeout, tls=certificates
        ) as client:
            if reply_to is not None and client.score(REPLY).unknown_chars:
                raise UserError(f"{address}: the model has not learned to answer: leave --reply-to out.")
            settings = _settings(client, changes)
            if stream:
                _print_chunks(client, prompts, settings, count)
            else:
                _print_all(client, prompts, settings, count, json=json)


@contextmanager
def _told(address: str) -> Iterator[None]:
    """Adds to errors what the command line can do about them."""
    from charflow.pipeline.errors import UserError, reason
    from charflow.serving import ArgumentError, NotFound, ServingError, Unreachable

    try:
        yield
    except ArgumentError as error:
        raise UserError(error.told(options.spelled)) from error
    except Unreachable as error:
        raise UserError(error.for_command()) from error
    except NotFound as error:
        raise UserError(f"{address}: {reason(error)}. Pass --model and --version as the server has them.") from error
    except ServingError as error:
        where = "" if error.message.startswith(address) else f"{address}: "
        raise UserError(f"{where}{reason(error)}.") from error


def _settings(client: "Client", given: dict[str, Any]) -> dict[str, Any]:
    """Fills in the model's defaults."""
    from charflow.serving.client.calls import with_defaults

    defaults = with_defaults({}, client.metadata().signature("generate"), 1)
    return {name: tensor.rows[0] for name, tensor in defaults.items()} | given


def _print_all(client: "Client", prompts: list[str], settings: dict[str, Any], count: int, *, json: bool) -> None:
    rows = [prompt for prompt in prompts for _ in range(count)]
    began = time.perf_counter()
    texts = client.generate(rows, **settings)
    seconds = time.perf_counter() - began
    _warn_of_limit(texts, settings["max_chars"])
    written = sum(text.length for text in texts)
    seeds = range(settings["seed"], settings["seed"] + len(rows))  # as the client gives them
    if json:
        console.print_json(
            {
                "settings": settings,
                "completions": [
                    {"prompt": row, "seed": seed, **asdict(text)}
                    for row, seed, text in zip(rows, seeds, texts, strict=True)
                ],
                "characters": written,
                "characters_per_second": written / seconds,
            }
        )
        return
    for index, (row, seed, text) in enumerate(zip(rows, seeds, texts, strict=True)):
        if len(rows) > 1:
            console.err.print(heading(index // count, len(prompts), seed=seed))
        console.generated(f"{begun(row)}{text.text}\n")


def _warn_of_limit(texts: "list[Completion]", asked: int) -> None:
    """Says that the served model ended texts before they had the length that was asked for; it does not itself."""
    cut = [text.length for text in texts if text.finish_reason == "length" and text.length < asked]
    if cut:
        console.remark(
            [f"this model writes at most {max(cut):,} characters at once, fewer than {asked:,}: --stream goes on."]
        )


def _print_chunks(client: "Client", prompts: list[str], settings: dict[str, Any], count: int) -> None:
    for number, prompt in enumerate(prompts):
        for index in range(count):
            seed = settings["seed"] + number * count + index
            if len(prompts) * count > 1:
                console.err.print(heading(number, len(prompts), seed=seed))
            console.generated(begun(prompt))
            for piece in client.stream(prompt, **{**settings, "seed": seed}):
                console.generated(piece)
            console.generated("\n")
