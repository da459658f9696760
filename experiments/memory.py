"""Shows what a memory of counts wins, and what it costs. Prints Markdown tables.

    python experiments/memory.py CSV --user ID [--user ID]… [--base-steps 1500] [--steps 300] [--seed 0]

One run learns everybody; runs of each person then start from it, and alone, without a memory and with one. The counts
of everybody join the weights of the run with the person's, so that both are judged beside the same network. Held-out
bits per character of the person's last messages.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from charflow.model.config import Config
from charflow.model.decoding.decoder import Decoder, make_decoder
from charflow.model.decoding.generator import Generator, load_network
from charflow.model.decoding.settings import Limits
from charflow.model.decoding.text_model import TextModel
from charflow.model.distributed.strategy import make_strategy
from charflow.model.evaluation.evaluation import MOST_SCORED, Evaluator, evaluate_held_out
from charflow.model.evaluation.memory_fit import MemoryFit
from charflow.model.memory.memory import Memory
from charflow.model.run.run_dir import RunDir
from charflow.model.run.run_memory import count_text, make_memory
from charflow.model.training.configure import configure
from charflow.model.training.start import start_run
from charflow.model.training_text import TrainingText, read_text
from charflow.pipeline.corpus.cache import CorpusCache
from charflow.pipeline.vocabulary import CharacterLookup

KINDS = ("person", "everybody")
BATCHES = (1, 8, 64)
CHARS, TURNS = 400, 7


class Silent:
    """Hears nothing."""

    def __getattr__(self, _: str) -> Any:
        return lambda *args, **kwargs: None


def settings(
    args: argparse.Namespace, *, users: tuple[str, ...] = (), corpus: dict | None = None, **training: Any
) -> Config:
    changes = {"seed": args.seed, "start_from": "none", **training}
    return configure([args.csv], {"corpus": {"users": users, **(corpus or {})}, "training": changes})


def train(config: Config, folder: Path, cache: CorpusCache) -> tuple[TrainingText, float]:
    """Trains; gives the text and the held-out bits per character."""
    text = read_text(config.data, config, cache=cache)
    result = start_run(config, text, RunDir(folder), make_strategy("one-device"), Silent())
    assert result.held_out
    return text, result.held_out.bits_per_char


def join(run: Path, text: TrainingText, config: Config) -> tuple[float, Memory, float]:
    """Joins counts to a run's weights: bits, the memory, and the processor's seconds that it took to make it."""
    decoder = decoder_of(run)
    began = time.process_time()
    counts = count_text(text, config.training, RunDir(run / "no run"))
    assert counts
    memory = make_memory(counts, text.vocabulary.size)
    seconds = time.process_time() - began
    MemoryFit(decoder, memory, text)()
    found = evaluate_held_out(Evaluator(decoder_of(run, memory)), text, MOST_SCORED)
    assert found
    return found.bits_per_char, memory, seconds


def decoder_of(run: Path, memory: Memory | None = None) -> Decoder:
    config, vocabulary = RunDir(run).load()
    network = load_network(RunDir(run))
    return make_decoder(network, "stream", config.training.window_length, vocabulary.never_written, memory)


def speeds(run: Path, memory: Memory) -> list[tuple[int, float, float]]:
    """Characters in a processor's second without and with the memory for each batch, the best of some by turns."""
    config, vocabulary = RunDir(run).load()
    limits = Limits(prompt_chars=64, completion_chars=256)
    writers = [
        Generator(TextModel(decoder_of(run, each), CharacterLookup(vocabulary), config.corpus.text, limits), vocabulary)
        for each in (None, memory)
    ]
    rows = []
    for batch in BATCHES:
        best = [0.0, 0.0]
        for _ in range(TURNS + 1):  # the first traces
            for place, writer in enumerate(writers):
                began = time.process_time()
                written = writer.generate(["how do i "] * batch, max_chars=CHARS, seed=1, stop_at_end=False)
                length = sum(text.length for text in written)
                best[place] = max(best[place], length / (time.process_time() - began))
        rows.append((batch, *best))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv")
    parser.add_argument("--user", action="append", required=True)
    parser.add_argument("--base-steps", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(args, Path(folder))


def measure(args: argparse.Namespace, folder: Path) -> None:
    cache = CorpusCache(folder / "cache")
    everybody = settings(args, corpus={"min_count": 20}, steps=args.base_steps)
    train(everybody, folder / "base", cache)
    print("| person (characters) | starts from | off | person | everybody | build, processor s | contexts | MB |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for user in args.user:
        for start in ("none", str(folder / "base")):
            runs = {kind: folder / f"{user}-{Path(start).name}-{kind}" for kind in ("off", "person")}
            own = {"steps": args.steps, "patience": 3, "evaluations": 12, "start_from": start}
            configs = {
                kind: settings(
                    args,
                    users=(user,),
                    corpus={"min_count": everybody.corpus.min_count},
                    memory=kind,
                    **own,
                )
                for kind in ("off", *KINDS)
            }
            text, off = train(configs["off"], runs["off"], cache)
            train(configs["person"], runs["person"], cache)
            found = [
                join(runs["person"], read_text([args.csv], configs[kind], cache=cache), configs[kind]) for kind in KINDS
            ]
            bits, memories, seconds = zip(*found, strict=True)
            print(
                f"| {user} ({text.train_characters:,}) | {'everybody' if start != 'none' else 'nothing'} | {off:.3f} | "
                + " | ".join(f"{each:.3f}" for each in bits)
                + f" | {', '.join(f'{each:.0f}' for each in seconds)} | "
                + f"{', '.join(f'{each.n_nodes:,}' for each in memories)} | "
                + f"{', '.join(f'{each.n_bytes / 1e6:.0f}' for each in memories)} |",
                flush=True,
            )
    print("\n| rows | characters in a processor's second without | with | |\n| ---: | ---: | ---: | ---: |")
    for batch, without, joined in speeds(runs["person"], memories[-1]):
        print(f"| {batch} | {without:,.0f} | {joined:,.0f} | {joined / without:.0%} |", flush=True)


if __name__ == "__main__":
    main()
