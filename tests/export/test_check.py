"""The check passes on a good export, and says what is wrong with each bad one."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from charflow.export.check import Finding, _quality, check, check_in_fresh_process
from charflow.export.model_card import card_path
from charflow.pipeline.errors import UserError

ALL_CHECKS = [
    "graph has stock ops only",
    "loads into a session",
    "loads as functions",
    "has a model card",
    "five signatures, batch first, no scalar",
    "defaults where they may be left out",
    "batch of 1 and of 3 agree, both ways",
    "equals the in-process generator",
    "stream in chunks equals generate",
    "beats guessing",
    "warm-up file replays",
]
ONE_TEXT = [tf.TensorSpec([None], tf.string, name="prompt")]
ONE_FLOAT = [tf.TensorSpec([None], tf.float32, name="x")]


def failures(findings: Iterable[Finding]) -> dict[str, str]:
    return {finding.check: finding.seen for finding in findings if not finding.passed}


def edit_graph(version_folder: Path, edit: Callable[[meta_graph_pb2.MetaGraphDef], None]) -> None:
    path = version_folder / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    edit(proto.meta_graphs[0])
    path.write_bytes(proto.SerializeToString())


def edit_card(version_folder: Path, edit: Callable[[dict], None]) -> None:
    path = card_path(version_folder)
    card = json.loads(path.read_text(encoding="utf-8"))
    edit(card)
    path.write_text(json.dumps(card), encoding="utf-8")


def warmup_path(version_folder: Path) -> Path:
    return version_folder / "assets.extra" / "tf_serving_warmup_requests"


def change_weights(version_folder: Path) -> None:
    """Writes the variables again, all weights halved."""
    prefix = version_folder / "variables" / "variables"
    reader = tf.train.load_checkpoint(str(prefix))
    names = list(reader.get_variable_to_shape_map())
    values = [reader.get_tensor(name) for name in names]
    halved = [value / 2 if getattr(value, "dtype", None) == np.float32 else value for value in values]
    of_gates, dense = 2 * 4, 2
    assert sum(a is not b for a, b in zip(values, halved, strict=True)) == of_gates + dense
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=[*map(tf.constant, halved)]
    )


def test_check_passes_on_a_good_export(windowed: Path) -> None:
    findings = check(windowed)
    assert [finding.check for finding in findings] == ALL_CHECKS
    assert failures(findings) == {}


def test_check_in_fresh_process_gives_on_what_the_check_found(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [Finding("a", True, "fine"), Finding("b", False, "ValueError: пʼять")]

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess:
        assert command == [sys.executable, "-m", "charflow.export.check", str(plain)]
        assert options["env"]["CUDA_VISIBLE_DEVICES"] == "-1"
        printed = "chatter\n" + json.dumps([asdict(finding) for finding in findings]) + "\n"
        return subprocess.CompletedProcess(command, 0, printed, "")

    monkeypatch.setattr("charflow.export.check.subprocess.run", run)
    assert check_in_fresh_process(plain) == findings


def test_check_in_fresh_process_says_how_the_process_died(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    died = subprocess.CompletedProcess([], -11, "", "Fatal Python error: Segmentation fault\n")
    monkeypatch.setattr("charflow.export.check.subprocess.run", lambda *_, **__: died)
    with pytest.raises(UserError) as error:
        check_in_fresh_process(plain)
    assert str(error.value) == (f"The check of {plain} ended with status -11: Fatal Python error: Segmentation fault")


@pytest.mark.parametrize("kind", ["missing", "empty", "base", "file"])
def test_check_in_fresh_process_refuses_what_is_no_savedmodel(tmp_path: Path, plain: Path, kind: str) -> None:
    folders = {"missing": tmp_path / "no", "empty": tmp_path, "base": plain.parent, "file": plain / "saved_model.pb"}
    with pytest.raises(UserError) as error:
        check_in_fresh_process(folders[kind])
    assert str(error.value) == f"{folders[kind]} is not an exported version: it has no saved_model.pb."


def cut_weights_short(version: Path) -> None:
    (data,) = (version / "variables").glob("variables.data*")
    data.write_bytes(data.read_bytes()[:1000])


def flip_a_bit_of_the_weights(version: Path) -> None:
    (data,) = (version / "variables").glob("variables.data*")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)


def remove_the_weights(version: Path) -> None:
    for file in (version / "variables").iterdir():
        file.unlink()


BROKEN_WEIGHTS = [cut_weights_short, flip_a_bit_of_the_weights, remove_the_weights]


@pytest.mark.parametrize("damage", BROKEN_WEIGHTS, ids=lambda damage: damage.__name__.replace("_", " "))
def test_check_fails_on_damaged_weights(
    plain: Path, copy_of: Callable[[Path], Path], damage: Callable[[Path], None]
) -> None:
    version = copy_of(plain)
    damage(version)
    findings = check(version)
    assert set(failures(findings)) == {"loads into a session", "loads as functions"}
    assert len(findings) == 4  # what needs the model is left out


def test_check_says_what_is_wrong_with_damaged_weights(plain: Path, copy_of: Callable[[Path], Path]) -> None:
    version = copy_of(plain)
    cut_weights_short(version)
    seen = failures(check(version))["loads into a session"]
    assert "variables" in seen or "bytes" in seen, f"says nothing: {seen}"


def test_check_fails_on_a_damaged_graph(plain: Path, copy_of: Callable[[Path], Path]) -> None:
    version = copy_of(plain)
    graph = version / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:-1000])
    assert set(failures(check(version))) == {
        "graph has stock ops only",
        "loads into a session",
        "loads as functions",
    }


def test_check_fails_on_changed_weights(plain: Path, copy_of: Callable[[Path], Path]) -> None:
    version = copy_of(plain)
    change_weights(version)
    failed = failures(check(version))
    assert set(failed) == {"equals the in-process generator", "stream in chunks equals generate"}
    assert failed["equals the in-process generator"].startswith("ValueError: text after '' differ: ")


def shape_of(graph: meta_graph_pb2.MetaGraphDef, signature: str, part: str, name: str, sizes: list[int]) -> None:
    shape = getattr(graph.signature_def[signature], part)[name].tensor_shape
    del shape.dim[:]
    for size in sizes:
        shape.dim.add(size=size)


def scalar_input(version: Path) -> None:
    edit_graph(version, lambda graph: shape_of(graph, "generate", "inputs", "temperature", []))


def fixed_batch(version: Path) -> None:
    edit_graph(version, lambda graph: shape_of(graph, "next_char", "outputs", "probabilities", [1, 36]))


def missing_signature(version: Path) -> None:
    edit_graph(version, lambda graph: graph.signature_def.pop("next_char"))


def missing_default(version: Path) -> None:
    edit_graph(version, lambda graph: graph.signature_def["stream"].defaults.pop("top_k"))


def other_probability(version: Path) -> None:
    edit_card(version, lambda card: card["self_test"][1]["expected"].update(log_prob=-1.0))


def no_warmup(version: Path) -> None:
    warmup_path(version).unlink()


def empty_warmup(version: Path) -> None:
    warmup_path(version).write_bytes(b"")


def short_warmup(version: Path) -> None:
    warmup_path(version).write_bytes(warmup_path(version).read_bytes()[:-5])


# Faults of one version that do not touch each other, and the check that finds each: a check takes seconds.
FAULTS = {
    "first": [
        (scalar_input, "five signatures", "ValueError: generate: temperature has shape [], whose dimension 0 is not"),
        (missing_default, "defaults", "ValueError: stream: no default for top_k"),
        (other_probability, "equals", "ValueError: log_prob after "),
        (empty_warmup, "warm-up", "ValueError: the file is empty"),
    ],
    "second": [
        (fixed_batch, "five signatures", "ValueError: next_char: probabilities has shape [1, 36], whose dimension 0"),
        (short_warmup, "warm-up", "DataLossError: "),
    ],
    "third": [
        (missing_signature, "five signatures", "ValueError: no signature next_char"),
        (no_warmup, "warm-up", "NotFoundError: "),
    ],
}


@pytest.fixture(scope="module")
def findings_of(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Finding]]:
    """Checks a copy of the export with all faults of a group."""

    @cache
    def check_faulty(group: str) -> list[Finding]:
        version = shutil.copytree(plain, tmp_path_factory.mktemp(group) / "1")
        for damage, _, _ in FAULTS[group]:
            damage(version)
        return check(version)

    return check_faulty


@pytest.mark.parametrize(
    ("group", "name", "reason"),
    [
        pytest.param(group, name, reason, id=damage.__name__.replace("_", " "))
        for group, faults in FAULTS.items()
        for damage, name, reason in faults
    ],
)
def test_check_finds_each_fault(
    findings_of: Callable[[str], list[Finding]], group: str, name: str, reason: str
) -> None:
    (seen,) = [seen for check, seen in failures(findings_of(group)).items() if check.startswith(name)]
    assert seen.startswith(reason)


@pytest.mark.parametrize("group", FAULTS)
def test_check_goes_on_after_a_fault_and_blames_nothing_else(
    findings_of: Callable[[str], list[Finding]], group: str
) -> None:
    findings = findings_of(group)
    assert [finding.check for finding in findings] == ALL_CHECKS
    assert len(failures(findings)) == len(FAULTS[group])


class Python(tf.Module):
    @tf.function(input_signature=ONE_FLOAT)
    def __call__(self, x):
        return {"y": tf.py_function(lambda value: value + 1, [x], tf.float32)}


class Numpy(tf.Module):
    @tf.function(input_signature=ONE_FLOAT)
    def __call__(self, x):
        return {"y": tf.numpy_function(lambda value: value + 1, [x], tf.float32)}


class Cudnn(tf.Module):
    """What a GPU's Keras LSTM layer leaves in a graph; tracing it needs no GPU."""

    @tf.function(input_signature=ONE_FLOAT)
    def __call__(self, x):
        state = tf.zeros([1, 1, 4])
        steps = tf.reshape(x, [-1, 1, 1])
        output = tf.raw_ops.CudnnRNNV3(
            input=steps, input_h=state, input_c=state, params=tf.zeros([99]), sequence_lengths=tf.size(x)[tf.newaxis]
        )
        return {"y": output[0]}


class Compiled(tf.Module):
    @tf.function(input_signature=ONE_FLOAT)
    def __call__(self, x):
        return {"y": tf.function(lambda value: value + 1, jit_compile=True)(x)}


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Python, "ValueError: the graph has EagerPyFunc"),
        (Numpy, "ValueError: the graph has PyFunc"),
        (Cudnn, "ValueError: the graph has CudnnRNNV3"),
        (Compiled, "must be compiled by XLA, which stock TensorFlow Serving has off"),
    ],
    ids=["py_function", "numpy_function", "cudnn", "jit_compile"],
)
def test_check_fails_on_ops_that_servers_cannot_run(tmp_path: Path, module: type[tf.Module], reason: str) -> None:
    tf.saved_model.save(module(), str(tmp_path / "1"))
    assert reason in failures(check(tmp_path / "1"))["graph has stock ops only"]


def test_check_fails_on_an_op_that_tensorflow_does_not_know(plain: Path, copy_of: Callable[[Path], Path]) -> None:
    def edit(graph: meta_graph_pb2.MetaGraphDef) -> None:
        graph.graph_def.library.function[0].node_def.add(name="own", op="MyOwnOp")

    version = copy_of(plain)
    edit_graph(version, edit)
    failed = failures(check(version))
    assert failed["graph has stock ops only"] == "ValueError: the graph has custom ops: MyOwnOp"


def test_check_fails_on_a_model_of_somebody_else(tmp_path: Path) -> None:
    class HalfPlusTwo(tf.Module):
        @tf.function(input_signature=ONE_FLOAT)
        def __call__(self, x):
            return {"y": x / 2 + 2}

    version = tmp_path / "1"
    tf.saved_model.save(HalfPlusTwo(), str(version))
    findings = check(version)
    assert set(failures(findings)) == {"has a model card"}
    assert "it was not exported by charflow" in failures(findings)["has a model card"]


def test_check_fails_without_a_model_card(plain: Path, copy_of: Callable[[Path], Path]) -> None:
    version = copy_of(plain)
    card_path(version).unlink()
    failed = failures(check(version))
    assert list(failed) == ["has a model card"]
    assert f"{version} has no model card: it was not exported by charflow" in failed["has a model card"]


def test_check_fails_on_an_empty_card(plain: Path, copy_of: Callable[[Path], Path]) -> None:
    version = copy_of(plain)
    edit_card(version, lambda card: card.clear())
    assert failures(check(version)) == {"has a model card": "KeyError: 'version'"}


def test_check_gives_one_line_a_finding(plain: Path, copy_of: Callable[[Path], Path]) -> None:
    version = copy_of(plain)
    remove_the_weights(version)
    warmup_path(version).unlink()
    assert all(len(finding.seen.splitlines()) == 1 for finding in check(version))


def quality(train_bits: float | None, held_out: float | None = None, part: float | None = None) -> str:
    metrics = {
        "train_bits": train_bits,
        "held_out": held_out and {"bits_per_char": held_out},
        "held_out_part": part and {"bits": part},
    }
    return _quality({"metrics": metrics, "data": {"distinct_characters": 31}})


@pytest.mark.parametrize(
    ("figures", "seen"),
    [
        ((2.0, 2.5, 2.4), "2.500 bits per character, guessing takes 4.954"),
        ((2.0, None, 2.4), "2.400 bits per character, guessing takes 4.954"),
        ((2.0,), "2.000 bits per character, guessing takes 4.954"),
        ((5.1, 5.05, 5.0), "NO, train longer: 5.050 bits per character, guessing takes 4.954"),
        ((None,), "not known: the run was stopped before its first step"),
    ],
    ids=["finished", "interrupted", "nothing held out", "hardly begun", "never begun"],
)
def test_check_says_whether_the_model_beats_guessing(figures: tuple, seen: str) -> None:
    assert quality(*figures) == seen


def test_check_fails_for_a_run_that_diverged() -> None:
    message = (
        r"^the training has diverged: its loss is 48 bits per character, where guessing takes 4\.95; train a new run"
        r" with a lower learning rate$"
    )
    with pytest.raises(ValueError, match=message):
        quality(48.0, 2.0)
