"""The seam: a field with its metadata is option, bound, line of TOML, rule for resuming and axis."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from charflow.cli import options
from charflow.model.config import Config, TrainingConfig, load_toml
from charflow.model.presets import continued
from charflow.model.search.space import Space
from charflow.pipeline.bounds import Bounds
from charflow.pipeline.errors import SettingError
from charflow.pipeline.option import Option
from charflow.pipeline.tables import override


@dataclass(frozen=True, kw_only=True)
class Training(TrainingConfig):
    label_smoothing: Annotated[
        float,
        Bounds(at_least=0, below=1),
        Option("Share of the target given to all.", may_change=True, search="linear"),
    ] = 0.0
    mirror: Annotated[bool, Option("Read backwards.")] = False
    shown: Annotated[bool, Option("Hide it.", name="hide")] = True
    smooth: Annotated[bool, Option("Round it.", both=True)] = False


@dataclass(frozen=True, kw_only=True)
class Whole(Config):
    training: Training = field(default_factory=lambda: Training(steps=1))


def run(*words: str, only: tuple[str, ...] = ()) -> tuple[Any, Any]:
    """What a command with an option for each setting of `Whole` was given, and how it ended."""
    app, given = typer.Typer(rich_markup_mode=None), []

    @app.command()
    @options.settings(Whole, only=only)
    def command(data: str, changes: options.Changes = options.NO_CHANGES, last: int = 0) -> None:
        given.append(changes)

    done = CliRunner().invoke(app, list(words), env={"COLUMNS": "100"})
    return (given[0] if given else None), done


def test_field_is_an_option_with_its_help() -> None:
    lines = [" ".join(line.split()) for line in run("--help")[1].output.splitlines()]
    assert "--label-smoothing F Share of the target given to all." in lines
    assert "--hide Hide it." in lines
    assert "--smooth / --no-smooth Round it." in lines


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ([], {}),
        (["--label-smoothing", "0.1"], {"training": {"label_smoothing": 0.1}}),
        (["--label-smoothing", "0"], {"training": {"label_smoothing": 0.0}}),
        (["--mirror", "--hide"], {"training": {"mirror": True, "shown": False}}),
        (["--smooth"], {"training": {"smooth": True}}),
        (["--no-smooth"], {"training": {"smooth": False}}),
        (["--keep-case", "--epochs", "0"], {"corpus": {"text": {"lowercase": False}}, "training": {"epochs": 0}}),
        (["--user", "a", "--user", ""], {"corpus": {"users": ["a", ""]}}),
        (["--delimiter", "\\t", "--no-header"], {"corpus": {"csv": {"delimiter": "\t", "header": False}}}),
        (["--checkpoint-every", "2.5m"], {"training": {"checkpoint_steps": 0, "checkpoint_seconds": 150.0}}),
        (["--unicode-form", "nfc"], {"corpus": {"text": {"unicode_form": "NFC"}}}),
    ],
    ids=[
        "nothing",
        "number",
        "zero",
        "flags",
        "both: yes",
        "both: no",
        "opposite",
        "list",
        "read",
        "two fields",
        "any case",
    ],
)
def test_options_become_changes_of_the_tables(words: list[str], changes: dict[str, Any]) -> None:
    assert run("data", *words)[0] == changes


def test_options_can_be_a_choice_of_the_table() -> None:
    assert run("data", "--mirror", "--delimiter", ";", only=("mirror", "csv"))[0] is not None
    assert run("data", "--units", "3", only=("mirror", "csv"))[1].exit_code == 2


def test_field_is_bounded_under_the_name_of_its_option() -> None:
    found, _ = run("data", "--label-smoothing", "1")
    with pytest.raises(SettingError) as refused:
        override(Whole(), found)
    assert refused.value.told(options.spelled) == "--label-smoothing must be at least 0 and below 1, not 1."


def test_field_is_a_line_of_toml(tmp_path: Path) -> None:
    config = override(Whole(), {"training": {"label_smoothing": 0.25}})
    (tmp_path / "config.toml").write_text(config.to_toml())
    assert override(Whole(), load_toml(tmp_path / "config.toml"), source="config.toml") == config


def test_field_may_change_on_resume_if_it_says_so() -> None:
    assert continued(Whole(), {"training": {"label_smoothing": 0.5}}).training.label_smoothing == 0.5  # type: ignore[attr-defined]
    with pytest.raises(SettingError, match=r"leave mirror out; only epochs, .* label_smoothing may change"):
        continued(Whole(), {"training": {"mirror": True}})


def test_field_is_searched_if_it_says_so() -> None:
    space = Space.parse(["label-smoothing=0:0.5"], Whole())
    assert space.values_of(Whole()) == {"label_smoothing": 0.0}
    assert space.apply(Whole(), {"label_smoothing": 0.5}).training.label_smoothing == 0.5  # type: ignore[attr-defined]
    with pytest.raises(SettingError, match="'mirror' is not searched"):
        Space.parse(["mirror=0:1"], Whole())
