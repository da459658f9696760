"""No function of charflow's is rewritten by AutoGraph: that cost 5 seconds of a processor before a first step.

What needs a loop or a branch in the graph says so with `tf.while_loop` and `tf.cond`. Whoever traces a function gives
`autograph=False`, whoever maps a dataset decorates what it maps.
"""

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.python.autograph.impl import api

from charflow.benchmarks import limits
from charflow.cli.app import run
from charflow.export import export_run


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions that AutoGraph rewrote."""
    names: list[str] = []
    convert = api._convert_actual

    def noting(entity: Any, program_context: Any) -> Any:
        names.append(f"{entity.__module__}.{entity.__qualname__}")
        return convert(entity, program_context)

    monkeypatch.setattr(api, "_convert_actual", noting)
    return names


def charflow(*words: object) -> None:
    assert run([*map(str, words), "--json"]) == 0


def test_no_function_is_rewritten_by_autograph(sample_chat: str, tmp_path: Path, converted: list[str]) -> None:
    kept, streamed, corpus = (tmp_path / name for name in ("kept", "streamed", "corpus"))
    small = ("--units", 4, "--steps", 2, "--window-length", 8, "--batch-size", 4, "--user", "mira", "--no-cache")
    charflow("explore", sample_chat, "--user", "mira")
    charflow("train", sample_chat, "--out", kept, *small)
    charflow("generate", kept, "oh", "--length", 3)
    export_run(kept, tmp_path / "models")
    charflow("prepare", sample_chat, "--to", corpus, "--user", "mira")
    charflow("train", corpus, "--streaming", "--out", streamed, "--cell", "gru", *small[:-3])
    assert [name for name in converted if name.startswith("charflow.")] == []  # the rest is TensorFlow's


def test_measurement_of_the_peak_is_not_rewritten_by_autograph(
    monkeypatch: pytest.MonkeyPatch, converted: list[str]
) -> None:
    monkeypatch.setattr(limits, "_SIDE", {"CPU": 8})
    limits.product_flops("CPU")()
    assert converted == []


def test_functions_that_are_rewritten_would_be_noticed(converted: list[str]) -> None:
    def doubled(x: Any) -> Any:
        return x * 2

    assert tf.function(doubled)(1) == 2
    assert converted == [f"{__name__}.{doubled.__qualname__}"]
