"""Which private names of TensorFlow the embedded server stands on, and what is said where one is gone."""

import ast
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from charflow.serving.embedded.core import graph_session
from charflow.serving.embedded.core.graph_session import PRIVATE, GraphSession, check_tensorflow, output_of
from charflow.serving.errors import UsageError
from tests.support import ROOT

OWN = Path(graph_session.__file__).resolve()
NAMES = {name for names in PRIVATE.values() for name in names}


def private_names(file: Path) -> set[str]:
    """What a file reads that is TensorFlow's own: of its inner modules, or with the name of such a thing."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    inner = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tensorflow.python")
        for alias in node.names
    }
    inner |= {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.startswith("tensorflow.python")
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in inner:
            found.add(node.attr)
        elif isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr) and file == OWN:
            found |= set() if isinstance(node.value, ast.Name) and node.value.id == "self" else {node.attr}
    return found | (inner if file != OWN else set())


def test_private_names_of_tensorflow_are_those_of_the_table() -> None:
    assert private_names(OWN) == NAMES


def test_private_names_of_tensorflow_stand_in_one_file() -> None:
    files = {file.resolve() for file in (ROOT / "serving").rglob("*.py")} - {OWN}
    assert {file.name: names for file in files if (names := private_names(file))} == {}
    users = {file.name for file in files if re.search(rf"\.(?:{'|'.join(NAMES - {'_session'})})\b", file.read_text())}
    assert users == set()


def test_check_finds_what_this_tensorflow_has() -> None:
    check_tensorflow()


@pytest.mark.parametrize("lost", PRIVATE["pywrap_tf_session"])
def test_check_names_what_a_tensorflow_lacks(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left = {name: None for name in PRIVATE["pywrap_tf_session"] if name != lost}
    monkeypatch.setattr(graph_session, "pywrap_tf_session", SimpleNamespace(**left))
    said = (
        f"^TensorFlow {re.escape(tf.__version__)} has no pywrap_tf_session.{lost}, by which the embedded server runs "
        "models: install the TensorFlow that charflow asks for, or serve with tensorflow_model_server or its Docker"
    )
    with pytest.raises(UsageError, match=said):
        check_tensorflow()


@pytest.mark.parametrize("lost", ["the module", "Tensor", "Session"])
def test_every_lack_is_a_sentence(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if lost == "the module":
        monkeypatch.setattr(graph_session, "pywrap_tf_session", None)
    else:
        monkeypatch.setitem(PRIVATE, lost, ("_gone",))
    with pytest.raises(UsageError, match=r"^TensorFlow \S+ has no (pywrap_tf_session\.TF_|\w+\._gone)"):
        check_tensorflow()
        GraphSession(tf.Graph())


def test_session_runs_what_was_added_and_takes_another_rank() -> None:
    graph = tf.Graph()
    session = GraphSession(graph)
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, 1])
        doubled = x * 2
    session.extend()
    fed: Any = {output_of(x): np.float32([1, 2])}
    (answer,) = session.run(fed, [output_of(doubled)])
    session.close()
    np.testing.assert_array_equal(answer, np.float32([2, 4]))
