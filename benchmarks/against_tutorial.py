"""Compares charflow with the tutorial recipe: same data, same machine, same run. Prints a Markdown table.

    python benchmarks/against_tutorial.py CSV --user ID [--steps 100] [--chars 4000]

Three stages: from CSV to windows, training steps of the recipe's own network (LSTM 128, 40 characters, batch 128),
and generated characters. Each charflow figure stands beside what the machine could do at most.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tutorial_recipe as recipe  # type: ignore[import-not-found]  # beside this script, where Python looks first

from charflow.model.config import NetworkConfig
from charflow.model.decoding.decoder import make_decoder
from charflow.model.network.network import Network
from charflow.model.presets import preset
from charflow.model.training.optimizer import make_optimizer
from charflow.model.training.samples import SampleWriter
from charflow.model.training_text import TextInMemory
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.windows import make_windows

BATCH = 128


def timed(work: Callable[[], Any], *, repeats: int = 5) -> float:
    """Median seconds of several calls after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def windows_stage(csv: str, user: str) -> tuple[list[str], dict[str, Any]]:
    began = time.perf_counter()
    text = recipe.read_text(csv, user)
    chars, x, y = recipe.make_arrays(text)
    recipe_seconds = time.perf_counter() - began
    began = time.perf_counter()
    corpus = Corpus.from_csv(csv, user=user, held_out=0.0)
    windows = sum(int(inputs.shape[0]) for inputs, _ in make_windows(corpus.ids, batch_size=1024, shuffle_seed=0))
    seconds = time.perf_counter() - began
    rows = [
        f"| CSV to all windows | {recipe_seconds:.2f} s | {seconds:.2f} s | {recipe_seconds / seconds:.1f}x |",
        f"| memory of {windows:,} windows | {(x.nbytes + y.nbytes) / 1e6:,.0f} MB | {corpus.ids.nbytes / 1e6:.2f} MB |"
        f" {(x.nbytes + y.nbytes) / corpus.ids.nbytes:,.0f}x |",
    ]
    return rows, {"chars": chars, "x": x, "y": y, "text": text, "corpus": corpus}


def training_stage(data: dict[str, Any], steps: int) -> tuple[list[str], dict[str, Any]]:
    x, y, corpus = data["x"][: steps * BATCH], data["y"][: steps * BATCH], data["corpus"]
    model = recipe.build_model(len(data["chars"]))
    recipe_rate = len(x) / timed(lambda: model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0), repeats=3)

    network = Network(NetworkConfig(units=128), corpus.vocabulary.size, targets="next", seed=0)
    optimizer = make_optimizer(preset("tutorial").training)
    optimizer.build(network.model.trainable_variables)
    batches = iter(make_windows(corpus.ids, batch_size=BATCH, shuffle_seed=0, epochs=None, drop_remainder=True))

    @tf.function
    def train() -> tf.Tensor:
        total = 0.0
        for step in tf.range(tf.constant(steps, tf.int64)):
            inputs, targets = next(batches)
            loss, gradients = network.loss_and_gradients(inputs, targets, step)
            optimizer.apply([gradient / BATCH for gradient in gradients])
            total += loss
        return total

    rate = steps * BATCH / timed(lambda: train().numpy(), repeats=3)
    # Multiply-adds of the recurrent product, forwards once and backwards twice; one-hot inputs are row look-ups.
    flops = rate * recipe.LENGTH * 3 * 2 * 128 * 4 * 128
    a = tf.random.normal([2048, 2048])
    peak = 2 * 2048**3 / timed(lambda: (a @ a).numpy())
    rows = [
        f"| training, windows/s | {recipe_rate:,.0f} | {rate:,.0f} | {rate / recipe_rate:.1f}x |",
        f"| … of the machine's {peak / 1e9:.0f} GFLOP/s (a 2,048 matrix product) |"
        f" {flops / rate * recipe_rate / peak:.0%} | {flops / peak:.0%} | |",
    ]
    return rows, {"model": model, "network": network}


def generation_stage(data: dict[str, Any], models: dict[str, Any], chars: int) -> list[str]:
    began = time.perf_counter()
    recipe.generate(models["model"], data["chars"], data["text"][:40], 40, 0.5)
    recipe_rate = 40 / (time.perf_counter() - began)
    rows = []
    for context in ("stream", "window"):
        decoder = make_decoder(models["network"], context, recipe.LENGTH)
        write = SampleWriter(decoder, TextInMemory(data["corpus"]), seed=0, temperatures=(0.5,), chars=chars)
        rate = chars / timed(lambda write=write: list(write(0, epoch=0.0)))
        rows.append(
            f"| generation, characters/s ({context}) | {recipe_rate:,.0f} | {rate:,.0f} | {rate / recipe_rate:,.0f}x |"
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv")
    parser.add_argument("--user", required=True)
    parser.add_argument("--steps", type=int, default=100, help="training steps a repetition")
    parser.add_argument("--chars", type=int, default=4000, help="generated characters a repetition")
    arguments = parser.parse_args()
    rows, data = windows_stage(arguments.csv, arguments.user)
    training, models = training_stage(data, arguments.steps)
    generation = generation_stage(data, models, arguments.chars)
    print(f"{os.cpu_count()} cores ({platform.machine()}), TensorFlow {tf.__version__}\n")
    print("| | tutorial recipe | charflow | ratio |\n| --- | ---: | ---: | ---: |")
    print("\n".join(rows + training + generation))


if __name__ == "__main__":
    main()
