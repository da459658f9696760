"""The export for LiteRT: files that write and score as the run does, with the runner that is copied beside them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from charflow.export.litert import export_litert, measure_litert, not_applied
from charflow.model import Generator
from charflow.pipeline.errors import UserError

PROMPTS = ["Oh my dears, ", "", "\N{SNOWMAN}x"]


@pytest.fixture(scope="module")
def on_device(tmp_path_factory: pytest.TempPathFactory, trained_run: Path, remembering: Path) -> dict[Path, Path]:
    """For each of two runs the folder of its export."""
    folder = tmp_path_factory.mktemp("litert")
    return {run: export_litert(run, folder / str(place)) for place, run in enumerate((trained_run, remembering))}


def written(folder: Path, prompt: str, *options: object) -> str:
    """What run.py writes, in a Python that has loaded neither TensorFlow nor charflow when it ends."""
    program = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__');"
        "assert not {'tensorflow', 'charflow'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", program, str(folder / "run.py"), prompt, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\n")


def test_runner_writes_what_the_generator_writes(on_device: dict[Path, Path]) -> None:
    from charflow.export.litert_runner import Runner

    for run, folder in on_device.items():
        generator, runner = Generator.load(run), Runner(folder / "model.tflite")
        for seed, prompt in enumerate(PROMPTS):
            for temperature in (0.0, 0.5, 1.0):
                asked = {"max_chars": 60, "temperature": temperature, "seed": seed - 1}
                assert runner.generate(prompt, **asked) == generator.generate(prompt, **asked)[0].text


def test_runner_is_a_program_that_needs_nothing_else(on_device: dict[Path, Path], trained_run: Path) -> None:
    folder = on_device[trained_run]
    expected = Generator.load(trained_run).generate(PROMPTS[0], max_chars=40, temperature=0.7, seed=7)[0].text
    options = ("--length", 40, "--temperature", 0.7, "--seed", 7)
    assert written(folder, PROMPTS[0], *options) == expected
    assert len(written(folder, PROMPTS[0], *options, "--model", folder / "model_int8.tflite")) <= 40


def test_files_score_as_the_run_does_and_int8_is_smaller(on_device: dict[Path, Path], trained_run: Path) -> None:
    for run, folder in on_device.items():
        own, float32, int8 = measure_litert(run, folder)
        assert [float32.name, int8.name] == ["model.tflite", "model_int8.tflite"]
        assert float32.bits == pytest.approx(own.bits, abs=1e-4)
        assert int8.bits == pytest.approx(own.bits, abs=0.02)
        small = run == trained_run  # LiteRT leaves matrices of fewer than 1,024 weights, as those of its gates, alone
        assert int8.n_bytes < float32.n_bytes or small


def test_without_the_text_there_are_sizes_only(trained_run: Path, on_device: dict[Path, Path], tmp_path: Path) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    facts = json.loads((run / "corpus.json").read_text())
    (run / "corpus.json").write_text(json.dumps({**facts, "fingerprint": "another"}))
    found = measure_litert(run, on_device[trained_run])
    assert [each.bits for each in found] == [None] * 3
    assert all(each.n_bytes > 1000 for each in found)


def test_a_run_that_answers_is_refused(trained_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    settings = (run / "config.toml").read_text()
    (run / "config.toml").write_text(settings.replace("reply = false", "reply = true"))
    with pytest.raises(UserError, match=r"answer \(reply\) has no export for LiteRT: export a SavedModel\.$"):
        export_litert(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_as_it_is(trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "note").touch()
    with pytest.raises(UserError, match="holds other files: name a new or empty folder for the LiteRT model"):
        export_litert(trained_run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_what_the_runner_does_not_do_to_prompts_is_named(trained_run: Path, tmp_path: Path) -> None:
    assert not_applied(trained_run) == ()
    run = shutil.copytree(trained_run, tmp_path / "run")
    settings = (run / "config.toml").read_text()
    (run / "config.toml").write_text(settings.replace("scrub = false", "scrub = true"))
    assert not_applied(run) == ("scrub",)
