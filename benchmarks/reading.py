"""Measures the way from a chat CSV to ids, step by step, beside pandas and pyarrow. Prints a Markdown table.

    python benchmarks/reading.py CSV [--repeats 5]

pandas and pyarrow (where it is installed) read the two columns, and no more: that is the limit. Each figure is the
least of some repeats after one that is not counted: seconds, and seconds of all processors together.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd

from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.corpus.kept_texts import kept_texts
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.formats.messages import read_messages

_COLUMNS = ["fromUser.id", "text"]


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """The least seconds, and processor seconds, of several calls after one that is not counted."""
    work()
    times, processor = [], []
    for _ in range(repeats):
        began, began_processor = time.perf_counter(), time.process_time()
        work()
        times.append(time.perf_counter() - began)
        processor.append(time.process_time() - began_processor)
    return min(times), min(processor)


def read_to_the_end(batches: Iterable[Any]) -> None:
    for _ in batches:
        pass


def with_pyarrow(csv: str) -> Callable[[], Any] | None:
    try:
        from pyarrow import csv as arrow
    except ImportError:
        return None
    parse = arrow.ParseOptions(newlines_in_values=True)
    convert = arrow.ConvertOptions(include_columns=_COLUMNS)
    return lambda: arrow.read_csv(csv, parse_options=parse, convert_options=convert)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    csv, messages = arguments.csv, read_messages(arguments.csv)
    characters = Corpus.from_csv(csv).characters
    steps = {
        "two columns, pandas": lambda: pd.read_csv(csv, usecols=_COLUMNS),
        "two columns, pyarrow": with_pyarrow(csv),
        "every row checked": lambda: read_messages(csv),
        "two columns, CsvDataset": lambda: read_to_the_end(messages.dataset()),
        "… filtered and lowercased by TensorFlow": lambda: read_to_the_end(kept_texts(messages, CorpusSettings())),
        "chat to ids": lambda: Corpus.from_csv(csv),
    }
    print(
        f"{Path(csv).stat().st_size / 1e6:.0f} MB of CSV, {characters:,} characters, {messages.rows:,} rows; ", end=""
    )
    print(f"{os.cpu_count()} CPUs ({platform.machine()})\n")
    print("| step | seconds | processor seconds | characters/s |\n| --- | ---: | ---: | ---: |")
    for name, work in steps.items():
        if work:
            seconds, processor = timed(work, arguments.repeats)
            print(f"| {name} | {seconds:.3f} | {processor:.3f} | {characters / seconds:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
