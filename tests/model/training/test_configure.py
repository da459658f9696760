"""Which settings win, and which do not go together."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from charflow.model.config import Config
from charflow.model.presets import preset
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
    resumed: Any = SimpleNamespace(load=lambda: (preset("default"), None))
    assert configure([], {"training": {"steps": 9}}, resumed=resumed).training.steps == 9
    with pytest.raises(SettingError, match=r"^A resumed run keeps its settings: leave preset and config out\.$"):
        configure([], {}, name="tutorial", file=Path("a.toml"), resumed=resumed)
    with pytest.raises(SettingError, match=r"leave units out; only epochs, "):
        configure([], {"network": {"units": 3}}, resumed=resumed)


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
