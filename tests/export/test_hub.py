"""The folder for the Hugging Face hub: a run that writes as the one it was made of, and names nobody."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from safetensors.numpy import load_file, save_file

from charflow.export.hub import export_hub
from charflow.model import Generator, RunDir, load_keras, train
from charflow.model.evaluation.run_evaluation import held_out_text, other_text
from charflow.pipeline.errors import UserError

FILES = {
    *("README.md", "config.json", "config.toml", "corpus.json", "metrics.jsonl", "model.safetensors"),
    *("result.json", "vocabulary.txt"),
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, trained_run: Path) -> Path:
    return export_hub(trained_run, tmp_path_factory.mktemp("hub") / "a toad")


@pytest.fixture(scope="module")
def remembering_hub(tmp_path_factory: pytest.TempPathFactory, remembering: Path) -> Path:
    return export_hub(remembering, tmp_path_factory.mktemp("hub") / "b")


def test_generator_of_the_folder_writes_what_that_of_the_run_writes(
    hub: Path, trained_run: Path, remembering_hub: Path, remembering: Path
) -> None:
    for folder, run in ((hub, trained_run), (remembering_hub, remembering)):
        asked = {"max_chars": 60, "temperature": 1.0, "seed": 3}
        prompts = ["oh my dears, ", "", "\N{SNOWMAN}x"]
        assert Generator.load(folder).generate(prompts, **asked) == Generator.load(run).generate(prompts, **asked)


def test_folder_names_no_person_no_file_and_no_run(
    hub: Path, remembering_hub: Path, trained_run: Path, sample_chat: str
) -> None:
    assert {path.name for path in hub.iterdir()} == FILES
    assert {path.name for path in remembering_hub.iterdir()} == FILES | {"memory.npz"}
    known = json.loads((trained_run / "result.json").read_text())["memorisation"]
    assert known["text"]
    for folder in (hub, remembering_hub):
        for path in folder.iterdir():
            for private in ("mira", str(Path(sample_chat).parent), "chat.csv", known["text"]):
                assert private.encode() not in path.read_bytes(), path


def test_run_that_started_from_another_does_not_tell_from_which(
    tmp_path: Path, remembering: Path, sample_chat: str
) -> None:
    begun = train(sample_chat, tmp_path / "begun", users="mira", start_from=str(remembering), steps=2, cached=False)
    again = export_hub(begun, tmp_path / "again")
    assert str(remembering.parent) not in (again / "config.toml").read_text()
    # Its vocabulary is that run's, so its own held-out text is known again.
    assert other_text(RunDir(again), [sample_chat], users=["mira"]).available == held_out_text(begun).available


def test_hub_understands_the_card(hub: Path, remembering_hub: Path, trained_run: Path) -> None:
    card = ModelCard.load(hub / "README.md")
    assert (card.data.license, card.data.library_name, card.data.pipeline_tag) == (
        *("unknown", "charflow", "text-generation"),
    )
    assert {"charflow", "character-level", "lstm", "tensorflow"} <= set(card.data.tags)
    assert card.data.model_name == "a toad"
    found = {each.metric_type: each.metric_value for each in card.data.eval_results}
    scored = json.loads((trained_run / "result.json").read_text())["held_out"]
    assert found == {
        "bits_per_character": pytest.approx(scored["bits_per_char"], abs=1e-4),
        "accuracy": pytest.approx(scored["accuracy"], abs=1e-4),
    }
    assert "charflow generate 'a toad' " in card.text
    assert "memory.npz" not in card.text
    assert "memory.npz" in ModelCard.load(remembering_hub / "README.md").text


def test_other_programs_read_the_weights(hub: Path, trained_run: Path) -> None:
    weights, model = load_file(hub / "model.safetensors"), load_keras(trained_run)
    assert set(weights) == {variable.path for variable in model.weights}
    for variable in model.weights:
        np.testing.assert_array_equal(weights[variable.path], variable)
    shape = json.loads((hub / "config.json").read_text())
    assert weights["logits/kernel"].shape == (shape["units"], shape["vocabulary_size"])


def test_folder_does_as_a_run_but_for_what_it_has_not(hub: Path, sample_chat: str, tmp_path: Path) -> None:
    again = export_hub(hub, tmp_path / hub.name)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in hub.iterdir()
    }
    with pytest.raises(UserError, match="does not say what it was trained on: name the data to score"):
        held_out_text(RunDir(hub))
    with pytest.raises(UserError, match="not where its training stood: name it as start_from of a new run"):
        train(sample_chat, hub, resume=True, cached=False)
    assert {path.name for path in hub.iterdir()} == FILES


def test_damaged_weights_and_those_of_another_network_are_told(hub: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(hub, tmp_path / "a")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"model\.safetensors is damaged, or of another network: "):
        Generator.load(folder)
    weights = load_file(hub / "model.safetensors")
    save_file({**weights, "logits/bias": np.zeros(3, np.float32)}, path)
    with pytest.raises(UserError, match=r"is of another network: logits/bias is \(3,\), not \(\d+,\)\.$"):
        Generator.load(folder)


def test_what_cannot_be_exported_leaves_nothing_behind(trained_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UserError, match="holds no checkpoint: the run was stopped before its first save"):
        export_hub(run, tmp_path / "far" / "out")
    with pytest.raises(UserError, match="holds other files: name a new or empty folder for the model"):
        export_hub(trained_run, run)
    with pytest.raises(UserError, match="holds no run"):
        export_hub(tmp_path, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
