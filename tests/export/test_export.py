"""The whole way: a run, a version of it, and another process that knows only TensorFlow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from charflow.cli.app import run as charflow
from charflow.export.check import check
from charflow.export.publish import export_run
from charflow.export.session import FunctionRunner, read_graph
from charflow.model.decoding.generator import Generator
from charflow.model.decoding.settings import Limits, SamplingSettings

COMPLETE = """
import json, sys
import tensorflow as tf
if sys.argv[3]:
    __import__(sys.argv[3])
model = tf.saved_model.load(sys.argv[1])
text = model.signatures["serving_default"](prompt=tf.constant([sys.argv[2]]))["text"]
others = sorted({name.split(".")[0] for name in sys.modules} & {"charflow", "tensorflow_text", "tensorflow_serving"})
print(json.dumps([text.numpy()[0].decode(), others]))
"""


def complete_elsewhere(version_folder: Path, prompt: str, also_import: str = "") -> tuple[str, list[str]]:
    """Returns the completion, and which of our and TensorFlow's packages that process had loaded."""
    done = subprocess.run(
        [sys.executable, "-c", COMPLETE, str(version_folder), prompt, also_import],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    text, others = json.loads(done.stdout)
    return text, others


@pytest.fixture(scope="module")
def folded_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose text is NFKC and case-folded: ﬁ is fi, ß is ss, a full-width A is a."""
    folder = tmp_path_factory.mktemp("folded")
    (folder / "chat.csv").write_text("fromUser.id,text\n" + "mira,Straße der ﬁnken Ａ\n" * 20, encoding="utf-8")
    options = ["--unicode-form", "nfkc", "--case-fold", "--units", "6", "--steps", "2", "--window-length", "8"]
    assert charflow(["train", str(folder / "chat.csv"), "--out", str(folder / "run"), *options, "--json"]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def folded(folded_run: Path) -> Path:
    return export_run(
        folded_run, folded_run.parent / "model", settings=SamplingSettings(max_chars=20), limits=Limits(50, 50)
    )


def test_version_completes_in_a_process_without_charflow(plain: Path, generator: Generator) -> None:
    text, others = complete_elsewhere(plain, "Oh my dears, ")
    assert text == generator.generate("Oh my dears, ")[0].text
    assert others == []


def test_version_of_the_window_context_equals_its_generator(
    windowed: Path, trained_run: Path, windowed_settings: SamplingSettings
) -> None:
    model = FunctionRunner(windowed)
    test = {name: getattr(windowed_settings, name) for name in SamplingSettings.__dataclass_fields__}
    prompt = "whoever waters the beans "
    expected = Generator.load(trained_run, context="window").generate(prompt, **test)[0].text
    assert model("serving_default", {"prompt": [prompt]})["text"][0].decode() == expected


@pytest.mark.slow
def test_version_of_folded_text_has_its_normalisation_in_the_graph(folded: Path) -> None:
    assert {"NormalizeUTF8", "CaseFoldUTF8"} <= {op for op, _ in read_graph(folded)}


@pytest.mark.slow
def test_version_of_folded_text_passes_the_check(folded: Path) -> None:
    assert [finding for finding in check(folded) if not finding.passed] == []


def test_version_of_folded_text_needs_tensorflow_text_alone(folded: Path, folded_run: Path) -> None:
    prompt = "STRASSE ＤＥＲ ﬁnken"
    text, others = complete_elsewhere(folded, prompt, also_import="tensorflow_text")
    assert text == Generator.load(folded_run).generate(prompt, max_chars=20)[0].text
    assert others == ["tensorflow_text"]


def test_version_of_folded_text_reads_prompts_as_the_training_text_was_read(folded: Path) -> None:
    model = FunctionRunner(folded)
    answer = model("score", {"text": ["STRASSE ＤＥＲ ﬁNKEN", "strasse der finken"]})
    assert answer["unknown_chars"].tolist() == [0, 0]
    assert answer["length"].tolist() == [19, 19]  # the end of the message too
    assert answer["bits_per_char"][0] == pytest.approx(answer["bits_per_char"][1], rel=1e-5)
