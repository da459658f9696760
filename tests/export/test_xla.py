"""`generate_xla`: the texts of `generate`, in exports that were asked for it, where a server allows XLA."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from charflow.export.check import Finding, _self_test, check
from charflow.export.publish import export_run
from charflow.export.session import FunctionRunner, SessionRunner, read_graph
from charflow.export.signatures import SIGNATURES, XLA_SIGNATURES
from charflow.serving.layout import WARM_UP
from tests.support import made_once, whole_settings

pytestmark = pytest.mark.slow
SWITCHED_OFF = """
import ctypes, sys
from pathlib import Path
import numpy as np, tensorflow as tf
library = Path(tf.__file__).parent / "libtensorflow_cc.so.2"
symbol = "_ZN10tensorflow21DisableXlaCompilationEv"
switch = getattr(ctypes.CDLL(str(library)), symbol, None) if library.exists() else None
if switch is None:
    sys.exit(77)
switch()  # as TensorFlow Serving does unless it is told otherwise
from charflow.export.session import SessionRunner
from tests.support import whole_settings
runner = SessionRunner(Path(sys.argv[1]))
given = {"prompt": np.array([b"oh"], object), **whole_settings(max_chars=5, stop_at_end=False)}
print(runner("generate", given)["length"][0])
try:
    runner("generate_xla", given)
except tf.errors.InternalError as error:
    print(error.message)
"""


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory, trained_run: Path) -> Path:
    """An export with what XLA compiles."""
    return made_once(tmp_path_factory, "xla", lambda base: export_run(trained_run, base, xla=True)) / "1"


@pytest.fixture(scope="module")
def findings(version: Path) -> list[Finding]:
    return check(version, xla=True)


def test_an_export_by_xla_passes_its_check(findings: list[Finding]) -> None:
    assert [finding for finding in findings if not finding.passed] == []
    assert "six signatures, batch first, no scalar" in [finding.check for finding in findings]
    defaults = next(finding.seen for finding in findings if finding.check == "defaults where they may be left out")
    assert "generate_xla 10" in defaults


def test_an_export_by_xla_is_refused_for_servers_that_do_not_allow_it(version: Path) -> None:
    failed = {finding.check: finding.seen for finding in check(version) if not finding.passed}
    (seen,) = failed.values()
    assert "must be compiled by XLA, which stock TensorFlow Serving has off" in seen
    assert "--xla_cpu_compilation_enabled" in seen
    assert "charflow export --check DIR --xla" in seen


def test_the_check_compares_what_xla_wrote() -> None:
    class Runner:
        signatures = dict.fromkeys(("generate", "generate_xla"), SimpleNamespace(inputs={}))

        def __call__(self, name: str, inputs: Any) -> dict[str, list[int]]:
            return {"length": [3 if name == "generate" else 4]}

    card = {"state_size": 1, "self_test": [{"prompt": "oh", "expected": {"length": 3}}]}
    with pytest.raises(ValueError, match="length after 'oh' differ"):
        _self_test((Runner(), Runner()), card)


@pytest.mark.parametrize("runner", [SessionRunner, FunctionRunner])
def test_generate_xla_writes_what_generate_writes(version: Path, runner: Callable[[Path], Any]) -> None:
    run = runner(version)
    for rows, given in ((1, {}), (3, {"stop": "e"}), (4, {"temperature": 1.3}), (6, {}), (2, {"top_k": 3})):
        plain = {"min_p": 0.0, "top_k": 0, "top_p": 1.0, "typical_p": 1.0, "max_chars": 40, **given}
        settings = whole_settings(rows, **plain, seed=list(range(rows)))
        inputs = {"prompt": np.array([b"oh", b"the ", b"", b"a", b"b", b"c"][:rows], object), **settings}
        expected, found = (run(name, inputs) for name in ("generate", "generate_xla"))
        for name in ("text", "length", "finish_reason"):
            np.testing.assert_array_equal(found[name], expected[name])
        np.testing.assert_allclose(found["log_prob"], expected["log_prob"], rtol=1e-4)


def test_no_other_export_is_compiled(version: Path, plain: Path) -> None:
    must = lambda attributes: "_XlaMustCompile" in attributes and attributes["_XlaMustCompile"].b  # noqa: E731
    assert any(must(attributes) for _, attributes in read_graph(version))
    assert not any(must(attributes) for _, attributes in read_graph(plain))
    assert set(SessionRunner(plain).signatures) == set(SIGNATURES)


def test_warm_up_needs_no_xla(version: Path) -> None:
    """Or a server that has it off could not load the version."""
    records = tf.data.TFRecordDataset(str(version / WARM_UP)).as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    assert logs
    assert not {log.predict_log.request.model_spec.signature_name for log in logs} & XLA_SIGNATURES


def test_where_xla_is_off_everything_else_answers(version: Path) -> None:
    command = [sys.executable, "-c", SWITCHED_OFF, str(version)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("this TensorFlow exports no function that has XLA off")
    assert (done.returncode, done.stdout.splitlines()[:1]) == (0, ["5"]), done.stderr
    assert "XLA compilation disabled" in done.stdout
