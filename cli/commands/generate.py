"""`charflow generate`: complete prompts with a trained run, in process."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from charflow.cli import options
from charflow.cli.modes import mode
from charflow.cli.prompts import Prompts, heading, read_prompts
from charflow.cli.terminal import console
from charflow.cli.terminal.tensorflow_log import load_tensorflow
from charflow.cli.terminal.waiting import waiting
from charflow.model.decoding.settings import SamplingSettings
from charflow.pipeline.errors import counted
from charflow.pipeline.marks import begun
from charflow.pipeline.settings import checked

if TYPE_CHECKING:
    from charflow.model.decoding.generator import GeneratedText, Generator

_AT_ONCE = 64  # texts in a batch: more are hardly faster, and show nothing for longer


@checked
@mode("stop_at_end", given=False, ignores=("max_messages",))
@options.settings(SamplingSettings, defaults=True)
def generate(
    run: options.RunFolder,
    prompt: Prompts = None,
    prompts_file: Annotated[
        Path | None, typer.Option("--prompts", metavar="FILE", help="A prompt a line, UTF-8.")
    ] = None,
    changes: options.Changes = options.NO_CHANGES,
    reply_to: options.ReplyTo = None,
    count: options.TextCount = 1,
    context: options.Context = "stream",
    unknown: Annotated[
        str,
        typer.Option(
            metavar="warn|skip|error",
            help="Prompts with characters the model has never seen.",
            autocompletion=options.offers("warn", "skip", "error"),
        ),
        Literal["warn", "skip", "error"],
    ] = "warn",
    xla: Annotated[
        bool, typer.Option("--xla", help="Compile for 1 to 4 texts at once, without samplers: pays for long texts.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Print completions, character by character."""
    load_tensorflow()
    from charflow.model.decoding.generator import Generator
    from charflow.pipeline.errors import quoted, quoted_list

    settings = SamplingSettings(**changes)
    with waiting("loading"):
        generator = Generator.load(run, context=context, xla=xla)  # type: ignore[arg-type]  # it checks the name
    texts = read_prompts(prompt, prompts_file)
    asked = texts if reply_to is None else [generator.asked(reply_to, text) for text in texts]
    prompts = [_without_unknown(generator, text, unknown) for text in asked]
    if never := generator.unknown_chars(settings.stop):
        console.remark([f"the model never writes {quoted_list(never)}: --stop {quoted(settings.stop)} ends no text."])
    settings.seeds(len(prompts) * count)  # before the first text, rather than at the last
    rows = min(len(prompts) * count, _AT_ONCE)
    with waiting("compiling"):  # so that what is timed is the decoding
        generator.generate([""] * rows, **asdict(settings) | {"max_chars": 1})
    if json:
        _print_json(generator, prompts, settings, count)
        return
    _print_texts(generator, prompts, settings, count)


def _without_unknown(generator: "Generator", prompt: str, unknown: str) -> str:
    from charflow.pipeline.errors import UserError, quoted_list

    missing = generator.unknown_chars(prompt)
    if not missing:
        return prompt
    names = quoted_list(missing)
    if unknown == "error":
        raise UserError(f"The model has never seen {names}: change the prompt, or pass --unknown warn or skip.")
    read_as = "left out" if unknown == "skip" else "read as [UNK]"
    console.say(f"the model has never seen {names}: {read_as}.")
    if unknown == "warn":
        return prompt
    kept = "".join(char for char in prompt if char not in missing)
    if not (left := generator.unknown_chars(kept)):
        return kept
    return "".join(char for char in generator.normalise(kept) if char not in left)


def _rows(prompts: list[str], settings: SamplingSettings, count: int) -> list[tuple[str, int]]:
    """Each prompt as often as is wanted, with the seed of each text."""
    rows = [prompt for prompt in prompts for _ in range(count)]
    return list(zip(rows, settings.seeds(len(rows)), strict=True))


def _completed(
    generator: "Generator", rows: list[tuple[str, int]], settings: SamplingSettings
) -> "Iterator[GeneratedText]":
    """Writes all texts, many at once: a batch takes hardly longer than one of its rows."""
    for start in range(0, len(rows), _AT_ONCE):
        batch = rows[start : start + _AT_ONCE]
        yield from generator.generate([row for row, _ in batch], **{**asdict(settings), "seed": batch[0][1]})


def _print_texts(generator: "Generator", prompts: list[str], settings: SamplingSettings, count: int) -> None:
    rows = _rows(prompts, settings, count)
    written, began = 0, time.perf_counter()
    if len(rows) == 1:  # somebody may watch it being written
        console.generated(begun(prompts[0]))
        for piece in generator.stream(prompts[0], **asdict(settings)):
            written += len(piece)
            console.generated(piece)
        console.generated("\n")
    else:
        for index, ((row, seed), text) in enumerate(zip(rows, _completed(generator, rows, settings), strict=True)):
            written += text.length
            console.err.print(heading(index // count, len(prompts), seed=seed))
            console.generated(f"{begun(row)}{text.text}\n")
    if console.err.is_terminal:
        seconds = max(time.perf_counter() - began, 1e-9)
        console.err.print(f"{counted(written, 'character')}, {written / seconds:,.0f} a second")


def _print_json(generator: "Generator", prompts: list[str], settings: SamplingSettings, count: int) -> None:
    rows = _rows(prompts, settings, count)
    began = time.perf_counter()
    texts = list(_completed(generator, rows, settings))
    seconds = time.perf_counter() - began
    written = sum(text.length for text in texts)
    console.print_json(
        {
            "settings": asdict(settings),
            "completions": [
                {"prompt": row, "seed": seed, **asdict(text)} for (row, seed), text in zip(rows, texts, strict=True)
            ],
            "characters": written,
            "characters_per_second": written / seconds,
        }
    )
