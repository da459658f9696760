"""The learning rate of every step, and the update rules."""

import doctest
import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from charflow.model.config import TrainingConfig
from charflow.model.training import optimizer as module
from charflow.model.training.optimizer import learning_rate, make_optimizer


def config_of(**settings) -> TrainingConfig:
    return TrainingConfig(**{"steps": 100, "learning_rate": 2.0, "warmup_steps": 0, "schedule": "constant", **settings})


def test_the_examples_in_the_documentation_hold() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0], ids=str)
def test_learning_rate_constant_does_not_change(progress: float) -> None:
    assert learning_rate(config_of(), step=7, progress=progress) == 2.0


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.5), (1, 1.0), (2, 1.5), (3, 2.0), (4, 2.0), (99, 2.0)], ids=lambda v: str(v)
)
def test_learning_rate_rises_linearly_to_its_peak(step: int, expected: float) -> None:
    assert learning_rate(config_of(warmup_steps=4), step=step, progress=step / 100) == expected


@pytest.mark.parametrize(
    ("progress", "expected"),
    [(0.0, 2.0), (1 / 3, 1.5), (0.5, 1.0), (2 / 3, 0.5), (1.0, 0.0), (1.2, 0.0)],
    ids=["start", "a third", "half", "two thirds", "end", "over the end"],
)
def test_learning_rate_falls_along_a_cosine(progress: float, expected: float) -> None:
    assert learning_rate(config_of(schedule="cosine"), step=50, progress=progress) == pytest.approx(expected, abs=1e-9)


def test_learning_rate_of_warm_up_and_cosine_together_is_their_product() -> None:
    config = config_of(schedule="cosine", warmup_steps=10)
    expected = 2.0 * 0.5 * 0.5 * (1 + math.cos(math.pi * 0.04))
    assert learning_rate(config, step=4, progress=0.04) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("adam", keras.optimizers.Adam),
        ("nadam", keras.optimizers.Nadam),
        ("rmsprop", keras.optimizers.RMSprop),
        ("sgd", keras.optimizers.SGD),
    ],
    ids=str,
)
def test_make_optimizer_builds_keras_s_rule(kind: str, expected: type) -> None:
    built = make_optimizer(config_of(optimizer=kind, beta_2=0.75))
    assert isinstance(built, expected)
    keras_rule: Any = built
    assert float(keras_rule.learning_rate) == 2.0
    if kind in ("adam", "nadam"):
        assert keras_rule.beta_2 == 0.75


def test_gradients_are_clipped_by_the_norm_of_all_of_them() -> None:
    variables = [tf.Variable([0.0]), tf.Variable([0.0])]
    built = make_optimizer(config_of(optimizer="sgd", learning_rate=1.0, clip_norm=0.5))
    built.build(variables)
    built.apply([tf.constant([3.0]), tf.constant([4.0])])
    np.testing.assert_allclose([float(each[0]) for each in variables], [-0.3, -0.4], rtol=1e-6)


def test_float16_leaves_out_a_step_that_overflows_and_halves_its_scale() -> None:
    weight = tf.Variable([1.0])
    built = make_optimizer(config_of(optimizer="sgd", learning_rate=1.0, clip_norm=0.5, precision="float16"))
    built.build([weight])
    scale = float(built.scale_loss(1.0))
    assert scale > 1000
    built.apply([tf.constant([np.inf])])
    assert (float(weight[0]), float(built.scale_loss(1.0))) == (1.0, scale / 2)
    built.apply([tf.constant([0.25 * scale / 2])])  # unscaled before it is clipped: 0.25 is below the norm
    assert float(weight[0]) == 0.75


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_wider_exponents_need_no_loss_scale(precision: str) -> None:
    assert make_optimizer(config_of(precision=precision)).scale_loss(0.5) == 0.5
