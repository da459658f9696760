"""The programs of examples/ that run the model inside of other TensorFlow programs, as somebody would run them."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf

from charflow.export import export_run
from charflow.model import Generator
from examples.in_a_larger_model import export
from tests import forked
from tests.serving.processes.server_process import ServerProcess, starting
from tests.support import ROOT

PROMPTS = ["how do i ", "oh"]


@pytest.fixture(scope="module")
def generator(trained_run: Path) -> Generator:
    return Generator.load(trained_run)


def printed(name: str, *arguments: object, **options: Any) -> str:
    """Runs an example; gives what it prints."""
    done = forked.run([sys.executable, *map(str, [ROOT / "examples" / f"{name}.py", *arguments])], **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_function_writes_what_the_generator_writes(plain: Path, generator: Generator) -> None:
    texts = [generator.generate(prompt, max_chars=40, seed=seed)[0].text for prompt in PROMPTS for seed in (1, 2, 3)]
    assert printed("in_a_function", plain, *PROMPTS) == "".join(f"{text}\n" for text in texts)


def test_a_dataset_writes_what_the_generator_writes(plain: Path, generator: Generator, tmp_path: Path) -> None:
    prompts = PROMPTS * 17  # two batches
    found = generator.generate(prompts, max_chars=40, seed=0)
    (tmp_path / "typed").write_text("".join(f"{prompt}\n" for prompt in prompts), encoding="utf-8")
    with (tmp_path / "typed").open() as typed:
        lines = printed("in_a_dataset", plain, stdin=typed).splitlines()
    assert [line[9:] for line in lines] == [f"{prompt}{each.text}" for prompt, each in zip(prompts, found, strict=True)]
    assert [float(line[:8]) for line in lines] == pytest.approx([each.log_prob for each in found], abs=0.01)


def test_a_classifier_tells_text_from_disorder_by_the_score(people_runs: Path, tmp_path: Path) -> None:
    of_one_who_is_sure = export_run(people_runs / "ada", tmp_path / "ada")
    assert float(printed("in_a_classifier", of_one_who_is_sure).removeprefix("accuracy ")) > 0.7


def test_generate_is_a_keras_layer_whose_settings_are_arguments(plain: Path, generator: Generator) -> None:
    layer = keras.layers.TFSMLayer(str(plain), call_endpoint="generate")
    prompts, seeds = keras.Input([], dtype="string"), keras.Input([], dtype="int64")
    model = keras.Model([prompts, seeds], layer(prompts, seed=seeds, max_chars=tf.constant([9]))["text"])
    expected = [generator.generate(prompt, max_chars=9, seed=7)[0].text.encode() for prompt in PROMPTS]
    assert model([tf.constant(PROMPTS), tf.constant([7, 7], tf.int64)]).numpy().tolist() == expected


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, plain: Path) -> Iterator[ServerProcess]:
    """A server of the larger model, made of a version that is gone by then."""
    folder = tmp_path_factory.mktemp("larger")
    shutil.copytree(plain, folder / "part")
    export(str(folder / "part"), str(folder / "suggest" / "1"))
    shutil.rmtree(folder / "part")
    with starting(folder) as start:
        yield start(model_base_path=folder / "suggest", model_name="suggest")


def test_a_larger_model_is_served_with_its_own_signature(served: ServerProcess, generator: Generator) -> None:
    found = generator.generate([PROMPTS[0]] * 4, max_chars=40, seed=5)
    bits = {each.text: -each.log_prob / max(each.length, 1) / 0.6931472 for each in found}
    over_grpc = served.ask("suggest", {"prompt": [PROMPTS[0]], "seed": tf.constant([5], tf.int64)})
    assert over_grpc["texts"][0] == sorted(bits, key=lambda text: bits[text])
    assert over_grpc["bits"][0] == pytest.approx(sorted(bits.values()), abs=1e-4)
    assert served.columns("suggest", {"prompt": [PROMPTS[0]], "seed": [5]})["texts"] == over_grpc["texts"]


def test_keras_alone_reads_the_network_that_was_trained_from_python(sample_chat: str, tmp_path: Path) -> None:
    chars = printed("with_keras", sample_chat, "mira", tmp_path / "run", tmp_path / "mira.keras").splitlines()
    assert chars[-1] == "'g'"
