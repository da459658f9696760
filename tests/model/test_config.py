"""Settings: their TOML form, and every message about a wrong one."""

import doctest
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from charflow.model import config as module
from charflow.model.config import Config, NetworkConfig, TrainingConfig, load_toml
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.tables import override
from charflow.pipeline.text_settings import TextSettings

UNLIKE_THE_DEFAULTS = Config(
    data=("a.csv", 'b\'s "*".csv'),
    corpus=CorpusSettings(
        users=("mira", "ö"),
        drop_users=("bot",),
        fraction=0.25,
        min_length=2,
        min_count=3,
        held_out=0.0,
        text=TextSettings(lowercase=False, unicode_form="NFKC"),
        csv=CsvFormat(delimiter="\t", user_column="who", text_column="said \\ what", skip_bad_rows=True),
    ),
    network=NetworkConfig(cell="gru", units=7, layers=3, dropout=0.125),
    training=TrainingConfig(
        window_length=5,
        window_shift=2,
        targets="next",
        batch_size=9,
        optimizer="sgd",
        learning_rate=1e-05,
        beta_2=0.5,
        schedule="constant",
        warmup_steps=4,
        clip_norm=0.0,
        epochs=1,
        steps=2,
        time_limit=3.5,
        evaluations=6,
        patience=7,
        best_by="training",
        sample_every=8,
        seed=10,
    ),
)


def test_the_examples_in_the_documentation_hold() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("config", [Config(), UNLIKE_THE_DEFAULTS], ids=["defaults", "everything else"])
def test_config_survives_its_toml_form(config: Config, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(config.to_toml(), encoding="utf-8")
    for start in (Config(), UNLIKE_THE_DEFAULTS):  # every key is in the file, so the start does not matter
        assert override(start, load_toml(file), source="config.toml") == config


def test_override_changes_what_it_names_and_nothing_else() -> None:
    changed = override(
        Config(), {"data": ["x.csv"], "corpus": {"text": {"lowercase": False}}, "network": {"units": 3}}, source="flags"
    )
    assert changed == Config(
        data=("x.csv",),
        corpus=CorpusSettings(text=TextSettings(lowercase=False)),
        network=NetworkConfig(units=3),
    )


def test_override_takes_whole_numbers_for_fractions() -> None:
    changed = override(Config(), {"training": {"learning_rate": 1, "time_limit": 60}}).training
    assert (changed.learning_rate, changed.time_limit) == (1.0, 60.0)
    assert type(changed.learning_rate) is float


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"nettwork": {}},
            r"^a\.toml: unknown key 'nettwork'\. Keys of the file: data, corpus, network, training\.$",
        ),
        (
            {"network": {"unit": 3}},
            r"^a\.toml: unknown key 'network\.unit'\. Keys of network: cell, units, layers, dropout, input_init\.$",
        ),
        (
            {"corpus": {"text": {"upper": 1}}},
            r"^a\.toml: unknown key 'corpus\.text\.upper'\. "
            r"Keys of corpus\.text: lowercase, case_fold, unicode_form, keep_invisible, ends, reply, scrub\."
            r"$",
        ),
        ({"network": 3}, r"^a\.toml: network is a table of settings, not 3\.$"),
        ({"network": {"units": "3"}}, r"^a\.toml: network\.units must be a whole number, not '3'\.$"),
        ({"network": {"units": 3.0}}, r"^a\.toml: network\.units must be a whole number, not 3\.0\.$"),
        ({"network": {"units": True}}, r"^a\.toml: network\.units must be a whole number, not True\.$"),
        ({"network": {"dropout": True}}, r"^a\.toml: network\.dropout must be a number, not True\.$"),
        ({"network": {"dropout": "0.5"}}, r"^a\.toml: network\.dropout must be a number, not '0\.5'\.$"),
        ({"network": {"cell": 3}}, r"^a\.toml: network\.cell must be lstm or gru, not 3\.$"),
        ({"data": 7}, r"^a\.toml: data must be a text or a list of texts, not 7\.$"),
        ({"data": ["x.csv", 3]}, r"^a\.toml: data must be a text or a list of texts, not \['x\.csv', 3\]\.$"),
        (
            {"corpus": {"csv": {"header": 1}}},
            r"^a\.toml: corpus\.csv\.header must be true or false, not 1\.$",
        ),
        ({"network": {"cell": "rnn"}}, r"^a\.toml: network\.cell must be lstm or gru, not 'rnn'\.$"),
    ],
    ids=[
        "unknown table",
        "unknown key",
        "unknown key, two deep",
        "no table",
        "text for a number",
        "fraction for a whole number",
        "truth for a number",
        "truth for a fraction",
        "text for a fraction",
        "number for a choice",
        "number for a list",
        "number in a list",
        "number for a truth",
        "unknown choice",
    ],
)
def test_override_refuses(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        override(Config(), changes, source="a.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[network\n", r"config\.toml is not TOML: .*line 1.*\.$"),
        (b"a = 1 \xff\n", r"config\.toml: 'a = 1 .xff.n' is not UTF-8 text: save the file as UTF-8\.$"),
        (None, r"config\.toml cannot be read: No such file or directory\.$"),
    ],
    ids=["not TOML", "not UTF-8", "missing"],
)
def test_load_toml_refuses(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "config.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_toml(file)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cell": "rnn"}, r"^cell must be lstm or gru, not 'rnn'\.$"),
        ({"units": 0}, r"^units must be at least 1, not 0\.$"),
        ({"layers": 0}, r"^layers must be at least 1 and at most 64, not 0\.$"),
        ({"dropout": 1.0}, r"^dropout must be at least 0 and below 1, not 1\.$"),
        ({"dropout": -0.1}, r"^dropout must be at least 0 and below 1, not -0\.1\.$"),
        ({"dropout": float("nan")}, r"^dropout must be at least 0 and below 1, not nan\.$"),
    ],
    ids=["cell", "units", "layers", "dropout", "negative dropout", "dropout no number"],
)
def test_network_config_refuses(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        NetworkConfig(**settings)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"targets": "last"}, r"^targets must be next or all, not 'last'\.$"),
    ({"optimizer": "lion"}, r"^optimizer must be adam, nadam, rmsprop or sgd, not 'lion'\.$"),
    ({"schedule": "linear"}, r"^schedule must be constant or cosine, not 'linear'\.$"),
    ({"best_by": "luck"}, r"^best_by must be held-out or training, not 'luck'\.$"),
    ({"window_length": 0}, r"^window_length must be at least 1, not 0\.$"),
    ({"window_shift": 0}, r"^window_shift must be at least 1, not 0\.$"),
    ({"batch_size": 0}, r"^batch_size must be at least 1, not 0\.$"),
    ({"evaluations": 0}, r"^evaluations must be at least 1, not 0\.$"),
    ({"warmup_steps": -1}, r"^warmup_steps must be at least 0, not -1\.$"),
    ({"clip_norm": -0.5}, r"^clip_norm must be at least 0, not -0\.5 \(0 is off\)\.$"),
    ({"clip_norm": float("nan")}, r"^clip_norm must be a finite number of at least 0, not nan \(0 is off\)\.$"),
    ({"patience": -1}, r"^patience must be at least 0, not -1 \(0 is off\)\.$"),
    ({"epochs": -1}, r"^epochs must be at least 0, not -1\.$"),
    ({"steps": -1}, r"^steps must be at least 0, not -1\.$"),
    ({"time_limit": -1.0}, r"^time_limit must be at least 0, not -1\.$"),
    ({"time_limit": float("nan")}, r"^time_limit must be a finite number of at least 0, not nan\.$"),
    ({"sample_every": -1}, r"^sample_every must be at least 0, not -1\.$"),
    ({"learning_rate": 0.0}, r"^learning_rate must be above 0, not 0\.$"),
    ({"learning_rate": float("nan")}, r"^learning_rate must be a finite number above 0, not nan\.$"),
    ({"beta_2": 1.0}, r"^beta_2 must be above 0 and below 1, not 1\.$"),
    ({"seed": -1}, r"^seed must be at least 0, not -1\.$"),
    ({"seed": 2**63}, r"^seed must "),
    ({"steps": 0}, r"^A run needs an end: set epochs, steps or time_limit\.$"),
]


@pytest.mark.parametrize(
    ("settings", "message"), REFUSED, ids=[f"{name}={value}" for row, _ in REFUSED for name, value in row.items()]
)
def test_training_config_refuses(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainingConfig(**{"steps": 1, **settings})


@pytest.mark.parametrize("on_disk", ["streaming", "shard_corpus"])
def test_a_memory_needs_the_text_in_memory(on_disk: str) -> None:
    message = rf"^memory counts a text that every worker holds in memory: leave it or {on_disk} out\.$"
    with pytest.raises(UserError, match=message):
        TrainingConfig(steps=1, memory="person", **{on_disk: True})


@pytest.mark.parametrize("limit", ["epochs", "steps", "time_limit"])
def test_training_config_needs_one_limit(limit: str) -> None:
    assert getattr(TrainingConfig(**{limit: 1}), limit) == 1


def keys(settings: Any, table: str = "") -> Iterator[tuple[str, str]]:
    """Every table and key of a configuration."""
    for each in fields(settings):
        yield table, each.name
        if is_dataclass(value := getattr(settings, each.name)):
            yield from keys(value, f"{table}.{each.name}".lstrip("."))


TABLES = sorted({table for table, _ in keys(Config())})


@pytest.mark.parametrize(("table", "key"), keys(Config()))
def test_override_names_the_table_of_a_key_that_stands_elsewhere(tmp_path: Path, table: str, key: str) -> None:
    own = f"{table}.{key}".lstrip(".")
    place = f"below [{table}]." if table else "before the first table."
    for other in set(TABLES) - {table}:
        (tmp_path / "a.toml").write_text((f"[{other}]\n" if other else "") + f"{key} = 1\n")
        with pytest.raises(UserError) as caught:
            override(Config(), load_toml(tmp_path / "a.toml"), source="a.toml")
        wrong = f"{other}.{key}".lstrip(".")
        assert str(caught.value).startswith(f"a.toml: unknown key '{wrong}'. It")
        assert str(caught.value).endswith(f"called [{own}]." if own in TABLES else place)
