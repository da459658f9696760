"""The sizes of a run against counting."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from charflow.model import free_memory as module
from charflow.model.config import Config, NetworkConfig, TrainingConfig
from charflow.model.distributed.strategy import make_strategy, placement
from charflow.model.network.network import Network, count_weights
from charflow.model.training.optimizer import make_optimizer
from charflow.model.training.plan import Plan, check_memory, make_plan
from charflow.model.training_text import TextInMemory
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.errors import UserError
from charflow.pipeline.text_settings import TextSettings


def plan_of(corpus: Corpus, **training) -> tuple[Plan, Network]:
    config = Config(
        network=NetworkConfig(units=4),
        training=TrainingConfig(**{"window_length": 8, "window_shift": 3, "batch_size": 4, "steps": 10, **training}),
    )
    network = Network(config.network, corpus.vocabulary.size, targets="all", seed=0)
    optimizer = make_optimizer(config.training)
    optimizer.build(network.model.trainable_variables)
    here = placement(make_strategy("one-device"))
    return make_plan(config, TextInMemory(corpus), network, optimizer, here), network


def test_make_plan_counts(make_corpus: Callable) -> None:
    corpus = make_corpus("abc " * 10, "abba")
    plan, network = plan_of(corpus)
    assert (plan.messages, plan.train_characters, plan.held_out_characters) == (2, 40, 4)
    assert plan.distinct_characters == 4
    assert plan.windows == len(range(0, 40 - 8, 3)) == 11
    assert (plan.batch_size, plan.steps_per_epoch) == (4, 2)
    assert plan.weights == network.n_weights == sum(weight.size for weight in network.model.get_weights())
    assert plan.host_bytes == 44


def test_make_plan_counts_no_questions(tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_text("fromUser.id,text\n" + "bo,how are you today?\nada,well\n" * 10)
    corpus = Corpus.from_csv(str(tmp_path / "chat.csv"), user="ada", text=TextSettings(reply=True))
    plan, _ = plan_of(corpus)
    assert (plan.train_characters, plan.held_out_characters) == (9 * len("well."), len("well."))


def test_make_plan_of_fewer_windows_than_a_batch_makes_the_batch_smaller(make_corpus: Callable) -> None:
    plan, _ = plan_of(make_corpus("abc " * 5), batch_size=64)
    assert (plan.windows, plan.batch_size, plan.steps_per_epoch) == (4, 4, 1)
    assert (plan.batch_size_wanted, plan.cut) == (64, True)
    assert not plan_of(make_corpus("abc " * 5), batch_size=4)[0].cut


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 3])
def test_count_weights_is_what_keras_counts(cell: str, layers: int) -> None:
    config = NetworkConfig(cell=cell, units=5, layers=layers)
    assert count_weights(config, 7) == Network(config, 7, targets="all", seed=0).n_weights


HUGE = {
    "units": ({"units": 2**31 - 1}, {}, "units or layers"),
    "layers": ({"units": 1 << 14, "layers": 64}, {}, "units or layers"),
    "batch size": ({"units": 1 << 12}, {"batch_size": 1 << 16}, "batch_size, window_length, units or layers"),
}


@pytest.mark.parametrize("case", HUGE)
def test_run_beyond_the_memory_is_refused_before_it_is_built(
    make_corpus: Callable, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    network, training, lower = HUGE[case]
    monkeypatch.setattr(module, "free_memory", lambda: 20 * 10**9)
    config = Config(
        network=NetworkConfig(**network), training=TrainingConfig(**{"steps": 1, "window_shift": 1, **training})
    )
    text, here = TextInMemory(make_corpus("abc " * (1 << 15))), placement(tf.distribute.OneDeviceStrategy("/cpu:0"))
    with pytest.raises(UserError) as error:
        check_memory(config, text, here)
    assert str(error.value).endswith(f"B of memory, and 20.0 GB are free: lower {lower}.")
    check_memory(Config(training=TrainingConfig(steps=1)), text, here)


def test_make_plan_counts_weights_gradients_and_optimizer(make_corpus: Callable) -> None:
    corpus = make_corpus("abc " * 10)
    sgd, network = plan_of(corpus, optimizer="sgd")
    adam, _ = plan_of(corpus, optimizer="adam")
    bytes_of_weights = 4 * network.n_weights
    assert sgd.device_bytes > 2 * bytes_of_weights  # weights and gradients
    assert 2 * bytes_of_weights <= adam.device_bytes - sgd.device_bytes < 2 * bytes_of_weights + 100  # two moments


def test_make_plan_counts_the_activations_of_a_batch(make_corpus: Callable) -> None:
    corpus = make_corpus("abc " * 40)
    sizes = [plan_of(corpus, batch_size=size)[0].device_bytes for size in (4, 8, 16)]
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0]) > 0


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"steps": 12000}, "12,000 steps"),
        ({"steps": 0, "epochs": 15}, "15 epochs"),
        ({"steps": 7, "epochs": 2, "time_limit": 90.0}, "2 epochs or 7 steps or 90 seconds"),
    ],
    ids=["steps", "epochs", "all"],
)
def test_make_plan_says_what_ends_the_run(make_corpus: Callable, limits: dict, expected: str) -> None:
    assert plan_of(make_corpus("abc " * 10), **limits)[0].limit == expected


def test_make_plan_of_a_text_shorter_than_a_window_says_so(make_corpus: Callable) -> None:
    message = r"^The text has 8 characters: too short for one window of 8 and the character after it\. Take more "
    with pytest.raises(UserError, match=message):
        plan_of(make_corpus("abc abc ", "abc " * 30))
