"""Tries an exported version as servers do, in a fresh process without a GPU.

`publish` made the folder; `charflow export` runs this after each export, and `charflow export --check` on demand.
The model is loaded twice, into a session (as TensorFlow Serving does) and as a function library (as TensorFlow
programs do). B is the batch.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from charflow.pipeline.errors import UserError, reason
from charflow.pipeline.settings import checked
from charflow.serving.layout import GRAPH, WARM_UP

_FORBIDDEN = ("Cudnn", "PyFunc", "EagerPyFunc", "PyFuncStateless")
_TOLERANCE = 1e-4  # relative and absolute
_CHUNK = 7  # characters a call of `stream`


@dataclass(frozen=True)
class Finding:
    """One line of the check: what was tried, whether it held, and what was seen."""

    check: str
    passed: bool
    seen: str


@checked
def check_in_fresh_process(version_folder: Path, *, xla: bool = False) -> list[Finding]:
    """Runs `check` in a new Python process that sees no GPU.

    Args:
        version_folder: the version.
        xla: whether the servers that are meant allow XLA; TensorFlow Serving does where it is started so.

    Raises:
        UserError: the folder is no SavedModel, or the process died.
    """
    if not (version_folder / GRAPH).exists():
        raise UserError(f"{version_folder} is not an exported version: it has no {GRAPH}.")
    done = subprocess.run(
        [sys.executable, "-m", "charflow.export.check", str(version_folder), *(["xla"] if xla else [])],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"The check of {version_folder} ended with status {done.returncode}: {reason}")
    return [Finding(**finding) for finding in json.loads(lines[-1])]


def check(version_folder: Path, *, xla: bool = False) -> list[Finding]:
    """Tries everything; a step that fails is a finding, and what depends on it is left out.

    Args:
        version_folder: the version.
        xla: whether the servers that are meant allow XLA.
    """
    findings: list[Finding] = []

    def attempt(name: str, step: Callable[[], Any]) -> Any:
        try:
            result = step()
        except Exception as error:  # whatever goes wrong is what this function reports
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            findings.append(Finding(name, False, f"{kind}{reason(error)}"))
            return None
        findings.append(Finding(name, True, result[0] if isinstance(result, tuple) else result))
        return result

    from charflow.export.model_card import read_model_card
    from charflow.export.session import FunctionRunner, SessionRunner, read_graph
    from charflow.export.signatures import XLA_SIGNATURES

    graph = attempt("graph has stock ops only", lambda: _stock_ops(read_graph(version_folder), xla=xla))
    session = attempt("loads into a session", lambda: _loaded(SessionRunner(version_folder)))
    functions = attempt("loads as functions", lambda: _loaded(FunctionRunner(version_folder)))
    card = attempt("has a model card", lambda: _described(read_model_card(version_folder)))
    if graph and session and functions and card:
        runners, facts = (session[1], functions[1]), card[1]
        count = "six" if set(session[1].signatures) >= XLA_SIGNATURES else "five"
        attempt(f"{count} signatures, batch first, no scalar", lambda: _shapes(session[1].signatures))
        attempt("defaults where they may be left out", lambda: _defaults(session[1].signatures))
        attempt("batch of 1 and of 3 agree, both ways", lambda: _batches(runners, facts))
        attempt("equals the in-process generator", lambda: _self_test(runners, facts))
        attempt("stream in chunks equals generate", lambda: _chunks(runners, facts))
        attempt("beats guessing", lambda: _quality(facts))
        attempt("warm-up file replays", lambda: _warmup(session[1], version_folder))
    return findings


def _stock_ops(nodes: Iterator[tuple[str, Mapping[str, Any]]], *, xla: bool) -> str:
    from charflow.text_ops import register_ops, unregistered

    seen = {}
    for op, attributes in nodes:
        seen[op] = attributes
        if not xla and "_XlaMustCompile" in attributes and attributes["_XlaMustCompile"].b:
            raise UserError(
                f"op {op} must be compiled by XLA, which stock TensorFlow Serving has off; for one that is started "
                "with --xla_cpu_compilation_enabled, charflow export --check DIR --xla"
            )
    if forbidden := sorted(op for op in seen if any(op.startswith(name) for name in _FORBIDDEN)):
        raise ValueError(f"the graph has {', '.join(forbidden)}")
    register_ops(seen)  # stock TensorFlow Serving links those of TensorFlow Text
    if unknown := unregistered(seen):
        raise ValueError(f"the graph has custom ops: {', '.join(unknown)}")
    return f"{len(seen)} kinds of ops"


def _loaded(runner: Any) -> tuple[str, Any]:
    return f"{len(runner.signatures)} signatures, tables initialised", runner


def _described(card: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return f"version {card['version']}, charflow {card['versions']['charflow']}", card


def _shapes(signatures: Mapping[str, Any]) -> str:
    from charflow.export.signatures import SIGNATURES, XLA_SIGNATURES

    if missing := sorted(set(SIGNATURES) - set(signatures)):
        raise ValueError(f"no signature {', '.join(missing)}")
    tensors = 0
    for name in (*SIGNATURES, *(XLA_SIGNATURES & set(signatures))):
        for part in (signatures[name].inputs, signatures[name].outputs):
            for key, info in part.items():
                sizes = [dim.size for dim in info.tensor_shape.dim]
                tensors += 1
                if info.tensor_shape.unknown_rank or not sizes or sizes[0] != -1:
                    raise ValueError(f"{name}: {key} has shape {sizes}, whose dimension 0 is not the batch")
    return f"{tensors} tensors"


def _defaults(signatures: Mapping[str, Any]) -> str:
    from charflow.export.signatures import RECORDS, XLA_RECORDS

    counts = []
    for record in (*RECORDS, *XLA_RECORDS):
        if not (found := signatures.get(record.name)):
            continue  # which has been said
        required = {each.name for each in record.inputs if not each.has_default}
        wanted = set(found.inputs) - required
        if missing := sorted(wanted - set(found.defaults)):
            raise ValueError(f"{record.name}: no default for {', '.join(missing)}")
        counts += [f"{record.name} {len(wanted)}"] if wanted else []
    return ", ".join(counts)


def _batches(runners: tuple[Any, Any], card: Mapping[str, Any]) -> str:
    tests = card["self_test"][:3]
    calls = 0
    for name in runners[0].signatures:
        singles = [_inputs(runners[0], name, [test], card) for test in tests]
        together = _inputs(runners[0], name, tests, card)
        answers = [[runner(name, single) for single in singles] for runner in runners]
        batches = [runner(name, together) for runner in runners]
        calls += 2 * (len(singles) + 1)
        for key, value in batches[0].items():
            _same(f"{name}: {key} of session and functions", value, batches[1][key])
            for row in range(len(tests)):
                for answer, batch in zip(answers, batches, strict=True):
                    alone = answer[row][key][0]
                    part = batch[key][row][: len(alone)] if np.ndim(alone) else batch[key][row]
                    _same(f"{name}: {key} alone and in a batch", alone, part)
    return f"{calls} calls"


def _inputs(
    runner: Any, name: str, tests: Sequence[Mapping[str, Any]], card: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """What a signature is given for so many self-tests, a row each, as far as the card says it."""
    import tensorflow as tf

    begin = {"position": 0, "state": [0.0] * card["state_size"]}
    rows = [{**begin, **test, "text": test["prompt"] or " "} for test in tests]
    return {
        key: np.array([_value(row[key]) for row in rows], tf.dtypes.as_dtype(info.dtype).as_numpy_dtype)
        for key, info in runner.signatures[name].inputs.items()
        if key in rows[0]
    }


def _value(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _self_test(runners: tuple[Any, Any], card: Mapping[str, Any]) -> str:
    from charflow.export.signatures import XLA_SIGNATURES

    tests = card["self_test"]
    names = ["generate", *(XLA_SIGNATURES & set(runners[0].signatures))]
    for runner, name, test in product(runners, names, tests):
        answer = runner(name, _inputs(runners[0], name, [test], card))
        for key, value in test["expected"].items():
            found = answer[key][0]
            _same(f"{key} after {test['prompt']!r}", found.decode() if isinstance(found, bytes) else found, value)
    return f"{len(tests)} texts, {sum(test['expected']['length'] for test in tests)} characters, twice"


def _chunks(runners: tuple[Any, Any], card: Mapping[str, Any]) -> str:
    calls = 0
    for runner in runners:
        for test in card["self_test"]:
            left, text = test["max_chars"], b""
            inputs = _inputs(runners[0], "stream", [test], card)
            while left > 0:
                inputs["max_chars"] = np.array([min(left, _CHUNK)], np.int32)
                answer = runner("stream", inputs)
                text += answer["text"][0]
                left = left - int(answer["length"][0]) if answer["finish_reason"][0] == b"length" else 0
                inputs |= {"state": answer["state"], "position": answer["position"]}
                inputs["prompt"] = np.array([b""], object)
                calls += 1
            _same("joined chunks", text.decode(), test["expected"]["text"])
    return f"{calls} calls"


def _warmup(session: Any, version_folder: Path) -> str:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    from charflow.pipeline.untuned import untuned

    path = version_folder / WARM_UP
    records = 0
    for record in tf.data.TFRecordDataset(str(path)).with_options(untuned()).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        session(request.model_spec.signature_name, inputs)
        records += 1
    if not records:
        raise ValueError("the file is empty")
    return f"{records} requests"


def _quality(card: Mapping[str, Any]) -> str:
    """Refuses a run that has diverged; one that has hardly begun is no better than guessing, and may be served."""
    from charflow.model.evaluation.divergence import guess_bits, is_far_worse_than_guessing

    metrics, characters = card["metrics"], card["data"]["distinct_characters"]
    guess = guess_bits(characters)
    train_bits = metrics["train_bits"]
    if train_bits is None:
        return "not known: the run was stopped before its first step"
    if is_far_worse_than_guessing(train_bits, characters + 1):
        raise ValueError(
            f"the training has diverged: its loss is {train_bits:.4g} bits per character, where guessing takes "
            f"{guess:.3g}; train a new run with a lower learning rate"
        )
    held_out, part = metrics["held_out"], metrics["held_out_part"]
    bits = held_out["bits_per_char"] if held_out else part["bits"] if part else train_bits
    verdict = "" if bits < guess else "NO, train longer: "
    return f"{verdict}{bits:.3f} bits per character, guessing takes {guess:.3f}"


def _same(what: str, found: Any, expected: Any) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    if np.issubdtype(found.dtype, np.floating):
        equal = found.shape == expected.shape and np.allclose(found, expected, _TOLERANCE, _TOLERANCE)
    else:
        equal = bool(np.array_equal(found, expected))
    if not equal:
        raise ValueError(f"{what} differ: {found!r} and {expected!r}")


if __name__ == "__main__":
    print(json.dumps([asdict(finding) for finding in check(Path(sys.argv[1]), xla="xla" in sys.argv[2:])]))
