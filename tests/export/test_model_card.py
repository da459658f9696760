"""The JSON that says what an exported model is."""

import json
from dataclasses import asdict
from importlib.metadata import version as installed
from pathlib import Path

import pytest

from charflow.export.model_card import card_path, read_model_card, write_model_card
from charflow.model.decoding.generator import Generator
from charflow.model.decoding.settings import SamplingSettings
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.errors import UserError


@pytest.fixture(scope="module")
def card(plain: Path) -> dict:
    return read_model_card(plain)


@pytest.fixture(scope="module")
def windowed_card(windowed: Path) -> dict:
    return read_model_card(windowed)


def test_model_card_stands_where_servers_keep_extra_assets(plain: Path) -> None:
    assert card_path(plain) == plain / "assets.extra" / "model_card.json"
    assert card_path(plain).read_bytes().decode("utf-8").endswith("}\n")


def test_model_card_has_the_configuration_without_paths(card: dict, trained_run: Path, sample_chat: str) -> None:
    config, _ = RunDir(trained_run).load()
    expected = json.loads(json.dumps({key: value for key, value in asdict(config).items() if key != "data"}))
    assert card["configuration"] == expected
    assert card["run"] == trained_run.name
    assert str(Path(sample_chat).parent) not in json.dumps(card)


def test_model_card_has_the_facts_of_the_corpus(card: dict, trained_run: Path) -> None:
    assert card["data"] == RunDir(trained_run).corpus_facts()
    assert len(card["data"]["fingerprint"]) == 64


def test_model_card_has_the_metrics(card: dict, trained_run: Path) -> None:
    best = min(RunDir(trained_run).read_metrics(), key=lambda row: row["held_out_part_bits"])
    assert (card["metrics"]["step"], card["metrics"]["train_bits"]) == (best["step"], best["train_bits"])
    assert card["metrics"]["held_out_part"]["bits"] == best["held_out_part_bits"]
    assert card["metrics"]["held_out"] == json.loads(RunDir(trained_run).result_file.read_text())["held_out"]


def test_model_card_has_version_settings_and_limits(card: dict) -> None:
    assert card["version"] == 1
    assert card["context"] == "stream"
    assert card["serving_default"] == asdict(SamplingSettings())
    assert card["limits"] == {"prompt_chars": 4096, "completion_chars": 4096}
    assert card["largest_request"] == {"chars": 2**22, "floats": 2**25}
    assert card["state_size"] == 2 * 24 + 32 + 1


def test_model_card_has_what_was_given_at_export(windowed_card: dict, windowed_settings: SamplingSettings) -> None:
    assert windowed_card["version"] == 7
    assert windowed_card["context"] == "window"
    assert windowed_card["serving_default"] == asdict(windowed_settings)
    assert windowed_card["limits"]["prompt_chars"] == 30
    assert windowed_card["limits"]["completion_chars"] == 25
    assert windowed_card["state_size"] == 2 * 20 * 24 + 1 + 32 + 1


def test_model_card_names_the_versions_of_the_software(card: dict) -> None:
    assert {name: card["versions"][name] for name in ("charflow", "tensorflow", "keras")} == {
        name: installed(name) for name in ("charflow", "tensorflow", "keras")
    }


def test_model_card_self_test_holds_answers_of_the_generator(card: dict, generator: Generator) -> None:
    settings = SamplingSettings.__dataclass_fields__
    assert {test["temperature"] for test in card["self_test"]} >= {0.0, 1.0}
    assert any(test["stop"] for test in card["self_test"])
    for test in card["self_test"]:
        answer = generator.generate(test["prompt"], **{name: test[name] for name in settings})[0]
        assert test["expected"] == asdict(answer)


def test_model_card_self_test_stays_within_the_limits(windowed_card: dict) -> None:
    assert {test["max_chars"] for test in windowed_card["self_test"]} == {25}
    assert {test["expected"]["length"] for test in windowed_card["self_test"]} >= {25}


def test_write_model_card_keeps_every_character(tmp_path: Path) -> None:
    written = {"name": "мова 🌻", "self_test": [{"prompt": 'a "quoted"\nline'}]}
    write_model_card(written, tmp_path)
    assert read_model_card(tmp_path) == written
    assert "мова 🌻" in card_path(tmp_path).read_text(encoding="utf-8")


def test_read_model_card_says_that_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_model_card(tmp_path)
    assert str(error.value) == f"{tmp_path} has no model card: it was not exported by charflow."


@pytest.mark.parametrize("content", [b'{"version": 1', b"", b"\xff\xfe"], ids=["cut short", "empty", "not UTF-8"])
def test_read_model_card_says_that_it_is_damaged(tmp_path: Path, content: bytes) -> None:
    card_path(tmp_path).parent.mkdir()
    card_path(tmp_path).write_bytes(content)
    with pytest.raises(UserError) as error:
        read_model_card(tmp_path)
    assert str(error.value).startswith(f"{card_path(tmp_path)} is damaged: ")
