"""Which settings win, and which do not go together."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from charflow.model.config import Config
from charflow.model.presets import SECOND_PHASE, preset
from charflow.model.run.run_dir import RunDir
from charflow.model.training.configure import configure
from charflow.pipeline.errors import SettingError
from charflow.pipeline.tables import override


def test_changes_win_over_the_file_and_that_over_the_preset(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[network]\nunits = 7\nlayers = 2\n[training]\nepochs = 3\n")
    found = configure(["chat.csv"], {"network": {"layers": 1}}, name="tutorial", file=tmp_path / "mine.toml")
    expected = {
        "data": [str(Path("chat.csv").resolve())],
        "network": {"units": 7, "layers": 1},
        "training": {"epochs": 3, "time_limit": 0.0},
    }
    assert found.network == override(preset("tutorial"), expected).network
    assert found.training == override(preset("tutorial"), expected).training
    assert Path(found.data[0]).name == "chat.csv"


def test_resumed_run_keeps_its_settings() -> None:
    resumed: Any = SimpleNamespace(load=lambda: (preset("default"), None), checkpoints=Path("none"))
    assert configure([], {"training": {"steps": 9}}, resumed=resumed).training.steps == 9
    with pytest.raises(SettingError, match=r"^A resumed run keeps its settings: leave preset and config out\.$"):
        configure([], {}, name="tutorial", file=Path("a.toml"), resumed=resumed)
    with pytest.raises(SettingError, match=r"leave units out; only epochs, "):
        configure([], {"network": {"units": 3}}, resumed=resumed)


@pytest.fixture
def base(tmp_path: Path, make_corpus: Callable) -> str:
    """A run with files in the place of its weights."""
    own = {"network": {"units": 9}, "corpus": {"min_count": 4, "text": {"lowercase": False}}, "training": {"steps": 7}}
    RunDir(tmp_path / "base").create(override(preset("default"), own), make_corpus("ab"))
    (tmp_path / "base" / "checkpoints" / "best").mkdir(parents=True)
    (tmp_path / "base" / "checkpoints" / "best" / "ckpt-7.index").touch()
    return str(tmp_path / "base")


def test_run_that_starts_from_another_has_its_network_and_text_and_a_short_phase_of_its_own(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = configure(["chat.csv"], {"corpus": {"users": ["mira"]}, "training": {"start_from": "base", "seed": 3}})
    assert (found.network.units, found.corpus.min_count, found.corpus.text.lowercase) == (9, 4, False)
    assert found.corpus.users == ("mira",)
    expected = replace(preset("default").training, **SECOND_PHASE, start_from=base, seed=3)
    assert found.training == expected
    (tmp_path / "mine.toml").write_text('[training]\nstart_from = "base"\nlearning_rate = 0.5\nsteps = 3\n')
    training = configure(["chat.csv"], {}, file=tmp_path / "mine.toml").training
    assert (training.learning_rate, training.steps, training.epochs) == (0.5, 3, 0)
    assert (
        configure(["chat.csv"], {"training": {"start_from": "none"}}, file=tmp_path / "mine.toml").network.units == 256
    )


def test_run_that_starts_from_another_takes_no_preset_and_goes_on_under_any_spelling(base: str) -> None:
    changes = {"training": {"start_from": base}}
    with pytest.raises(
        SettingError, match=r"^preset is of no use with start_from: that run's settings count; leave it"
    ):
        configure(["chat.csv"], changes, name="default")
    saved = configure(["chat.csv"], changes)
    resumed: Any = SimpleNamespace(load=lambda: (saved, None), checkpoints=Path("none"))
    assert configure([], {"training": {"start_from": f"{base}/../base"}}, resumed=resumed) == saved
    with pytest.raises(SettingError, match="leave start_from out"):
        configure([], {"training": {"start_from": "other"}}, resumed=resumed)


def test_prepared_corpus_has_its_own_choice_of_messages() -> None:
    prepared: Any = SimpleNamespace(settings=override(Config(), {"corpus": {"users": ["mira"]}}).corpus)
    assert configure(["folder"], {}, prepared=prepared).corpus.users == ("mira",)
    with pytest.raises(SettingError) as refused:
        configure(["folder"], {"corpus": {"users": ["a"], "text": {"lowercase": False}}}, prepared=prepared)
    assert str(refused.value) == (
        "folder was prepared with its own choice of messages: leave users and lowercase out, or give the CSV files."
    )


def test_repeats_of_no_canaries_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[training]\ncanaries = 2\n")
    repeats: Any = {"training": {"canary_repeats": 9}}
    assert configure(["chat.csv"], repeats, file=tmp_path / "mine.toml").training.canary_repeats == 9
    with pytest.raises(SettingError, match=r"^canary_repeats is of no use without canaries: give both, or leave it"):
        configure(["chat.csv"], repeats)
