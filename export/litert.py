"""Exports one decoding step of a run for LiteRT, once TensorFlow Lite: for phones, small boards, browsers.

`Decoder.step` is what is converted, with the memory of counts where the run has one. `litert_runner` reads and draws
around it, and is copied beside the models. S is the size of a state, V the vocabulary size, N a number of characters.
"""

import json
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from charflow.export.new_folder import filled
from charflow.model.decoding.decoder import Decoder
from charflow.model.decoding.generator import load_decoder
from charflow.model.evaluation.evaluation import RUN_UP
from charflow.model.evaluation.run_evaluation import held_out_text
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.corpus.kept_texts import opening
from charflow.pipeline.errors import SettingError, UserError
from charflow.pipeline.marks import END, UNKNOWN_ID
from charflow.pipeline.settings import checked
from charflow.pipeline.vocabulary import REPLACEMENT, Vocabulary

FLOAT32, INT8, FACTS, RUNNER = "model.tflite", "model_int8.tflite", "model.json", "run.py"
_SCORED = 1 << 13  # held-out characters: each is a call of the interpreter


@dataclass(frozen=True)
class OnDevice:
    """One of the files beside the run that it was made of.

    Attributes:
        name: of the file, or of the run.
        n_bytes: its size; of a run that of the weights and of what is remembered.
        bits: per character, on the first of the run's held-out characters; None where these are not to be had, or
            ai-edge-litert is not installed.
    """

    name: str
    n_bytes: int
    bits: float | None


@checked
def export_litert(run_dir: RunDir | Path | str, folder: Path | str) -> Path:
    """Writes one decoding step, ids int32 [1] and state float32 [1, S] to logits [1, V] and state, as .tflite files.

    `model.tflite` has float32 weights, `model_int8.tflite` int8 ones (the arithmetic between them stays float32);
    `model.json` has the vocabulary and how prompts are read, `run.py` writes with them.

    Args:
        run_dir: the run, of which the best checkpoint is taken.
        folder: new or empty.

    Returns:
        The folder.

    Raises:
        UserError: there is no run, its checkpoint is damaged, it has learned to answer, or the folder holds something,
            or cannot be written; then nothing is left behind.
    """
    run, folder = run_dir if isinstance(run_dir, RunDir) else RunDir(run_dir), Path(folder)
    config, vocabulary = run.load()
    if config.corpus.text.reply:
        raise SettingError("A run that has learned to answer ({reply}) has no export for LiteRT: export a SavedModel.")
    with filled(folder, "the LiteRT model") as beside:
        decoder = load_decoder(run, "stream")
        for name, quantised in ((FLOAT32, False), (INT8, True)):
            (beside / name).write_bytes(_convert(decoder, quantised=quantised))
        facts = _facts(decoder, vocabulary, lowercase=config.corpus.text.lowercase, opens=opening(config.corpus.text))
        (beside / FACTS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        shutil.copyfile(Path(__file__).with_name("litert_runner.py"), beside / RUNNER)
    return folder


def not_applied(run_dir: Path) -> tuple[str, ...]:
    """The text settings of a run that `run.py` does not apply to prompts."""
    text = RunDir(run_dir).load()[0].corpus.text
    return tuple(name for name in ("case_fold", "unicode_form", "scrub") if getattr(text, name))


def measure_litert(run_dir: Path, folder: Path) -> list[OnDevice]:
    """Compares the files with the run, on what was held out of its text.

    Raises:
        UserError: there is no run.
    """
    run = RunDir(run_dir)
    text, decoder = _held_out(run), load_decoder(run, "stream")
    weights = sum(each.dtype.size * each.shape.num_elements() for each in decoder.weights)
    found = [OnDevice(str(run.path), weights, _bits(_scores_of(decoder, *text), *text) if text else None)]
    scored = text if find_spec("ai_edge_litert") else None
    for name in (FLOAT32, INT8):
        path = folder / name
        bits = _bits(_scores_on_device(path, *scored), *scored) if scored else None
        found.append(OnDevice(name, path.stat().st_size, bits))
    return found


def _convert(decoder: Decoder, *, quantised: bool) -> bytes:
    module = tf.Module()
    module.weights = decoder.weights  # what the converter may take for constants

    def step(ids: tf.Tensor, state: tf.Tensor) -> dict[str, tf.Tensor]:
        logits, state = decoder.step(ids, state)
        return {"logits": logits, "state": state}

    specs = [tf.TensorSpec([1], tf.int32, "ids"), tf.TensorSpec([1, decoder.context.state_size], name="state")]
    module.step = tf.function(step, input_signature=specs, autograph=False)
    concrete = module.step.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    if quantised:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converted: bytes = converter.convert()
    return converted


def _facts(decoder: Decoder, vocabulary: Vocabulary, *, lowercase: bool, opens: str) -> dict[str, Any]:
    return {
        "state_size": decoder.context.state_size,
        "chars": [REPLACEMENT, *vocabulary.chars],
        "end": vocabulary.chars.index(END) + 1 if END in vocabulary.chars else None,
        "opening": opens,
        "lowercase": lowercase,
    }


def _held_out(run: RunDir) -> tuple[np.ndarray, int] | None:
    """Ids to read, int32 [N], and from which on they are scored; None where they are not to be had."""
    try:
        text = held_out_text(run)
    except UserError:  # the data is gone, or nothing was held out
        return None
    before = text.before[-RUN_UP:]
    ids = np.concatenate([before, text.ids[:_SCORED]]).astype(np.int32)
    return (ids, len(before)) if len(text.ids) else None


def _scores_of(decoder: Decoder, ids: np.ndarray, first: int) -> np.ndarray:
    """Natural logarithms of the probabilities of each id after those before it, float32 [N]."""
    score = tf.function(decoder.score, autograph=False)
    found: np.ndarray = score(decoder.context.zero_state(1), tf.constant(ids[np.newaxis]))[1].numpy()[0]
    return found


def _scores_on_device(path: Path, ids: np.ndarray, first: int) -> np.ndarray:
    from charflow.export.litert_runner import Runner

    runner = Runner(path)
    logits = np.stack([runner.read(char_id) for char_id in ids[:-1].tolist()]).astype(np.float64)  # [N - 1, V]
    top = logits.max(axis=1, keepdims=True)
    log_probs = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    return np.concatenate([[0.0], log_probs[np.arange(len(ids) - 1), ids[1:]]])


def _bits(log_probs: np.ndarray, ids: np.ndarray, first: int) -> float:
    known = ids != UNKNOWN_ID
    known[: max(first, 1)] = False
    return float(-log_probs[known].mean(dtype=np.float64) / np.log(2))
