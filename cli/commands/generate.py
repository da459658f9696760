"""`charflow generate`: complete prompts with a trained run, in process."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from charflow.cli import options
from charflow.cli.prompts import Prompts, heading, read_prompts
from charflow.cli.terminal import console
from charflow.cli.terminal.tensorflow_log import load_tensorflow
from charflow.cli.terminal.waiting import waiting
from charflow.pipeline.errors import counted
from charflow.pipeline.settings import checked

if TYPE_CHECKING:
    from charflow.model.decoding.generator import Generator
    from charflow.model.decoding.settings import SamplingSettings


@checked
@options.with_samplers("{help}; {note}.")
def generate(
    run: options.RunFolder,
    prompt: Prompts = None,
    prompts_file: Annotated[
        Path | None, typer.Option("--prompts", metavar="FILE", help="A prompt a line, UTF-8.")
    ] = None,
    length: Annotated[int, typer.Option(metavar="N", help="Characters to write.")] = 400,
    temperature: Annotated[float, typer.Option(metavar="T", help="1 is the model, lower is safer, 0 greedy.")] = 0.5,
    samplers: options.Samplers = options.NO_SAMPLERS,
    seed: Annotated[int, typer.Option(metavar="N", help="Same seed, same text.")] = 0,
    stop: Annotated[str, typer.Option(metavar="TEXT", help="End after writing this.")] = "",
    count: options.TextCount = 1,
    context: options.Context = "stream",
    unknown: Annotated[
        str,
        typer.Option(metavar="warn|skip|error", help="Prompts with characters the model has never seen."),
        Literal["warn", "skip", "error"],
    ] = "warn",
    json: options.Json = False,
) -> None:
    """Print completions, character by character."""
    load_tensorflow()
    from charflow.model.decoding.generator import Generator
    from charflow.model.decoding.settings import SamplingSettings
    from charflow.pipeline.errors import quoted, quoted_list

    settings = SamplingSettings(max_chars=length, temperature=temperature, **samplers, seed=seed, stop=stop)
    with waiting("loading"):
        generator = Generator.load(run, context=context)  # type: ignore[arg-type]  # it checks the name
    prompts = [_without_unknown(generator, text, unknown) for text in read_prompts(prompt, prompts_file)]
    if never := generator.unknown_chars(stop):
        console.remark([f"the model never writes {quoted_list(never)}: --stop {quoted(stop)} ends no text."])
    settings.seeds(len(prompts) * count)  # before the first text, rather than at the last
    with waiting("compiling"):
        generator.generate("", max_chars=1)  # traces the graph, so that what is timed is the decoding
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


def _print_texts(
    generator: "Generator",
    prompts: list[str],
    settings: "SamplingSettings",
    count: int,
) -> None:
    several = len(prompts) * count > 1
    written, seconds = 0, 0.0
    for place, prompt in enumerate(prompts):
        for index in range(count):
            seed = settings.seed + place * count + index
            if several:
                console.err.print(heading(place, len(prompts), seed=seed))
            console.generated(prompt)
            began = time.perf_counter()
            for piece in generator.stream(prompt, **{**asdict(settings), "seed": seed}):
                seconds += time.perf_counter() - began
                written += len(piece)
                console.generated(piece)
                began = time.perf_counter()
            console.generated("\n")
    if console.err.is_terminal:
        console.err.print(f"{counted(written, 'character')}, {written / max(seconds, 1e-9):,.0f} a second")


def _print_json(generator: "Generator", prompts: list[str], settings: "SamplingSettings", count: int) -> None:
    rows = [prompt for prompt in prompts for _ in range(count)]
    seeds = settings.seeds(len(rows))
    began = time.perf_counter()
    texts = [
        generator.generate(row, **{**asdict(settings), "seed": seed})[0] for row, seed in zip(rows, seeds, strict=True)
    ]
    seconds = time.perf_counter() - began
    written = sum(text.length for text in texts)
    console.print_json(
        {
            "settings": asdict(settings),
            "completions": [
                {"prompt": row, "seed": seed, **asdict(text)}
                for row, seed, text in zip(rows, seeds, texts, strict=True)
            ],
            "characters": written,
            "characters_per_second": written / seconds,
        }
    )
