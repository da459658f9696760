"""How fast a network trains here: under each strategy, beside the recipe, and beside what its products alone take.

`charflow bench train` prints it. B is the global batch size, T the window length, U the units, V the vocabulary size.
"""

import time
from collections.abc import Mapping
from functools import partial

import tensorflow as tf

from charflow.benchmarks import recipe
from charflow.benchmarks.comparison import LIMIT, OURS, PEER, Candidate, Comparison, by_turns
from charflow.benchmarks.limits import product_flops
from charflow.model.config import Config, Precision
from charflow.model.distributed.agreement import Agreement
from charflow.model.distributed.strategy import placement
from charflow.model.presets import preset
from charflow.model.training.plan import check_fit, count_batch
from charflow.model.training.steps import Steps, untrained
from charflow.model.training_text import TextInMemory, TrainingText

_SECONDS_PER_CALL = 0.5
_FORWARD_AND_BACKWARD = 3  # each product of the forward pass has two in the backward pass
_RECIPE_BATCHES = 40  # of a turn


def available_strategies() -> dict[str, tf.distribute.Strategy]:
    """All devices of a kind together where there are several, and one of each kind, a GPU's first."""
    found: dict[str, tf.distribute.Strategy] = {}
    for kind in ("GPU", "CPU"):
        devices = tf.config.list_logical_devices(kind)
        if len(devices) > 1:
            found[f"{len(devices)} {kind}s"] = tf.distribute.MirroredStrategy([device.name for device in devices])
        if devices:
            found[f"one {kind}"] = tf.distribute.OneDeviceStrategy(f"/{kind}:0")
    return found


class Pace:
    """Trains a new network, some seconds at a time; after each time it goes on, and in the end it is thrown away.

    Args:
        config: of the network and its training.
        text: what it learns.
        strategy: where.

    Raises:
        UserError: the text is too short, or the replicas cannot share the batch.
    """

    def __init__(self, config: Config, text: TrainingText, strategy: tf.distribute.Strategy) -> None:
        training = config.training
        check_fit(config, text, strategy)
        _, self._batch_size = count_batch(config, text, placement(strategy))
        with strategy.scope():
            network, optimizer = untrained(config, text.vocabulary.size)
        self._steps = Steps(strategy, network, optimizer, training, self._batch_size, replies=text.vocabulary.replies)
        self._batches, self._rate = self._steps.batches(text, 0), training.learning_rate
        self._agreement = Agreement(strategy)
        self._step, self._size = 0, 1  # taken so far, and to take in the next call

    def windows_per_second(self, seconds: float) -> float:
        """Trains for so many seconds; workers take as many steps as the chief, and go by its clock."""
        first = self._step
        began, _ = self._agreement.broadcast(time.perf_counter(), 0.0)
        now = began
        while now < began + seconds:
            called = time.perf_counter()
            self._steps.run(self._batches, [self._rate] * self._size, self._step)
            now, pace = self._agreement.broadcast(time.perf_counter(), (time.perf_counter() - called) / self._size)
            self._step += self._size
            self._size = max(1, min(4 * self._size, int(_SECONDS_PER_CALL / pace)))
        return (self._step - first) * self._batch_size / (now - began)


def measure_strategies(
    config: Config,
    text: TrainingText,
    strategies: Mapping[str, tf.distribute.Strategy],
    *,
    seconds: float,
    turns: int,
    limit: bool = True,
) -> Comparison:
    """Trains the network of `config` under each strategy for `seconds` in all turns together.

    Raises:
        UserError: the text is too short, or the replicas cannot share the batch.
    """
    candidates = [
        Candidate(
            name=f"charflow, {name}",
            kind=OURS,
            work=partial(Pace(config, text, strategy).windows_per_second, seconds / turns),
            amount=None,
        )
        for name, strategy in strategies.items()
    ]
    if limit:
        device = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        per_window = flops_per_window(config, text.vocabulary.size)
        candidates += [_products(device, precision, per_window) for precision in ("float32", "bfloat16")]
    network, training = config.network, config.training
    return Comparison(
        what="training",
        unit="windows/s",
        about=f"{network.cell.upper()}, {network.layers} x {network.units} units, batch {training.batch_size}, windows "
        f"of {training.window_length} characters, {training.precision}. The limit is one large matrix product, "
        "for as many operations as the network's products have.",
        ways=by_turns(candidates, turns),
    )


def _products(device: str, precision: Precision, flops_per_window: float) -> Candidate:
    flops = product_flops(device, precision)
    name = f"products alone, {precision} ({device})"
    return Candidate(name=name, kind=LIMIT, work=lambda: flops() / flops_per_window, amount=None)


def measure_recipe(text: TextInMemory, *, seconds: float, turns: int) -> Comparison:
    """Trains the recipe's own network both ways, on a GPU where there is one.

    Raises:
        UserError: the text is too short.
    """
    config = preset("tutorial")
    strategy = next(iter(available_strategies().values()))
    some = text.end(_RECIPE_BATCHES * recipe.BATCH * recipe.STEP)
    chars, x, y = recipe.make_arrays(text.vocabulary.decode(some))
    model = recipe.build_model(len(chars))
    return Comparison(
        what="training the recipe's network",
        unit="windows/s",
        about="LSTM of 128 units, windows of 40 characters, the next character to learn, batch 128, RMSprop; "
        "the recipe by `fit` on arrays that are made before.",
        ways=by_turns(
            [
                Candidate(
                    name="charflow",
                    kind=OURS,
                    work=partial(Pace(config, text, strategy).windows_per_second, seconds / turns),
                    amount=None,
                ),
                Candidate(
                    name="recipe",
                    kind=PEER,
                    work=lambda: model.fit(x, y, batch_size=recipe.BATCH, epochs=1, verbose=0),
                    amount=len(x),
                ),
            ],
            turns,
        ),
    )


def flops_per_window(config: Config, vocabulary_size: int) -> float:
    """Counts the multiplications and additions of the matrix products, forward and backward, for one window.

    A one-hot input picks a row of the first kernel, which is no product; what is elementwise is left out.

    >>> flops_per_window(Config(), 77) > 100e6
    True
    """
    network, training = config.network, config.training
    gates = 4 if network.cell == "lstm" else 3
    recurrent = network.layers * 2 * network.units * gates * network.units
    between = (network.layers - 1) * 2 * network.units * gates * network.units
    targets = training.window_length if training.targets == "all" else 1
    dense = 2 * network.units * vocabulary_size
    return _FORWARD_AND_BACKWARD * (training.window_length * (recurrent + between) + targets * dense)
