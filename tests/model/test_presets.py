"""Named settings: the tutorial recipe's numbers, and what a resumed run may change."""

import doctest

import pytest

from charflow.model import presets
from charflow.model.config import NOTHING, Config, TrainingConfig
from charflow.model.presets import PRESETS, continued, preset, with_limits
from charflow.pipeline.errors import UserError
from charflow.pipeline.tables import override


def test_the_examples_in_the_documentation_hold() -> None:
    assert doctest.testmod(presets).failed == 0


def test_preset_tutorial_is_the_recipe() -> None:
    recipe = preset("tutorial")
    training = recipe.training
    assert recipe.corpus.fraction == 0.2
    assert recipe.corpus.text.lowercase
    assert (recipe.network.cell, recipe.network.units, recipe.network.layers) == ("lstm", 128, 1)
    assert recipe.network.dropout == 0
    assert (training.window_length, training.window_shift, training.targets) == (40, 3, "next")
    assert (training.batch_size, training.epochs) == (128, 15)
    assert (training.steps, training.time_limit) == (0, 0)
    assert (training.optimizer, training.learning_rate) == ("rmsprop", 0.01)
    assert (training.schedule, training.warmup_steps, training.clip_norm) == ("constant", 0, 0)
    assert (training.best_by, training.patience) == ("training", 0)
    assert training.evaluations == training.epochs  # the recipe looks for a better checkpoint after every epoch
    assert training.sample_every == 0  # it prints after the first and the last epoch


def test_preset_default_is_the_configuration_but_that_messages_end_and_each_person_is_judged() -> None:
    assert preset("default") == override(Config(), {"corpus": {"held_out_by": "person", "text": {"ends": True}}})


def test_preset_tutorial_knows_no_ends_no_people_and_nobody_before() -> None:
    recipe = preset("tutorial")
    assert not recipe.corpus.text.ends
    assert (recipe.corpus.held_out_by, recipe.training.start_from) == ("messages", NOTHING)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_has_an_end(name: str) -> None:
    training = preset(name).training
    assert training.epochs or training.steps or training.time_limit


def test_preset_of_no_such_name_lists_the_names() -> None:
    with pytest.raises(UserError, match=r"^Unknown preset 'big': use default or tutorial\.$"):
        preset("big")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"network": {"units": 3}}, {"network": {"units": 3}}),
        ({"training": {"seed": 3}}, {"training": {"seed": 3}}),
        ({"training": {"steps": 3}}, {"training": {"steps": 3, "epochs": 0, "time_limit": 0.0}}),
        (
            {"training": {"steps": 3, "time_limit": 9.0, "seed": 1}},
            {"training": {"steps": 3, "time_limit": 9.0, "epochs": 0, "seed": 1}},
        ),
    ],
    ids=["nothing", "another table", "no limit", "one limit", "two limits"],
)
def test_with_limits_switches_the_other_limits_off(changes: dict, expected: dict) -> None:
    assert with_limits(changes) == expected


def test_with_limits_leaves_its_argument_alone() -> None:
    changes = {"training": {"steps": 3}}
    with_limits(changes)
    assert changes == {"training": {"steps": 3}}


@pytest.mark.parametrize(
    "changes",
    [{"steps": 5}, {"epochs": 2}, {"time_limit": 9.0}, {"evaluations": 3}, {"patience": 1}, {"sample_every": 2}],
    ids=lambda changes: next(iter(changes)),
)
def test_continued_may_change(changes: dict) -> None:
    config = Config(training=TrainingConfig(steps=2))
    ((name, value),) = changes.items()
    changed = continued(config, {"training": changes})
    assert getattr(changed.training, name) == value
    assert (changed.data, changed.corpus, changed.network) == (config.data, config.corpus, config.network)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"network": {"units": 3}}, "units"),
        ({"training": {"learning_rate": 0.5, "precision": "bfloat16", "steps": 9}}, "learning_rate and precision"),
        ({"corpus": {"fraction": 0.5, "text": {"lowercase": False}}}, "fraction and lowercase"),
    ],
    ids=["network", "training", "corpus"],
)
def test_continued_may_not_change_what_makes_the_run_the_same_run(changes: dict, named: str) -> None:
    message = (
        rf"^A resumed run keeps its settings: leave {named} out; only epochs, steps, time_limit, evaluations, "
        r"patience and sample_every may change\.$"
    )
    with pytest.raises(UserError, match=message):
        continued(Config(training=TrainingConfig(steps=2)), changes)
