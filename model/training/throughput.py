"""Measures how fast a network trains here, and how far that is from what the machine can do.

`charflow bench train` prints it. The peak is that of a large matrix product on the same device, in the same precision
and run. B is the global batch size, T the window length, U the units, V the vocabulary size.
"""

import time
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from charflow.model.config import Config, Precision
from charflow.model.distributed.agreement import Agreement
from charflow.model.distributed.strategy import placement
from charflow.model.network.network import Network
from charflow.model.training.optimizer import make_optimizer
from charflow.model.training.plan import check_fit, count_batch
from charflow.model.training.steps import Steps
from charflow.model.training_text import TrainingText

_SIDE = 2048  # of the matrices: large enough to keep every core busy, small enough for any device
_PRODUCTS = 8
_SECONDS_PER_CALL = 0.5
_FORWARD_AND_BACKWARD = 3  # each product of the forward pass has two in the backward pass


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """The pace of training under one strategy.

    Attributes:
        strategy: its class.
        devices: what computed.
        replicas: copies of the network.
        windows_per_second: windows trained on.
        labels_per_second: characters predicted.
        milliseconds_per_step: median.
        flops_per_second: multiplications and additions of the network's products.
        peak_flops_per_second: of a matrix product on one worker's first device, times workers and GPUs.
    """

    strategy: str
    devices: tuple[str, ...]
    replicas: int
    windows_per_second: float
    labels_per_second: float
    milliseconds_per_step: float
    flops_per_second: float
    peak_flops_per_second: float

    @property
    def share_of_peak(self) -> float:
        """How much of the peak the training reaches."""
        return self.flops_per_second / self.peak_flops_per_second


def available_strategies() -> dict[str, tf.distribute.Strategy]:
    """One device of each kind that this machine has, and all devices of a kind together where there are several."""
    found: dict[str, tf.distribute.Strategy] = {}
    for kind in ("CPU", "GPU"):
        devices = tf.config.list_logical_devices(kind)
        if devices:
            found[f"one {kind}"] = tf.distribute.OneDeviceStrategy(f"/{kind}:0")
        if len(devices) > 1:
            found[f"{len(devices)} {kind}s"] = tf.distribute.MirroredStrategy([device.name for device in devices])
    return found


def measure_throughput(
    config: Config, text: TrainingText, strategy: tf.distribute.Strategy, *, seconds: float
) -> Throughput:
    """Trains a new network for `seconds` after its graph is compiled, and throws it away.

    Raises:
        UserError: the text is too short, or the replicas cannot share the batch.
    """
    training = config.training
    check_fit(config, text, strategy)
    here = placement(strategy)
    _, batch_size = count_batch(config, text, here)
    with strategy.scope():
        network = Network(
            config.network,
            text.vocabulary.size,
            targets=training.targets,
            seed=training.seed,
            precision=training.precision,
        )
        optimizer = make_optimizer(training)
        optimizer.build(network.model.trainable_variables)
    steps = Steps(strategy, network, optimizer, training, batch_size, replies=text.vocabulary.replies)
    agreement = Agreement(strategy)
    pace = _seconds_per_step(steps, text, training.learning_rate, agreement, seconds)
    device = strategy.extended.worker_devices[0]
    peak = measure_peak(device, training.precision)
    agreement.barrier()  # so that no worker has a core to itself while another measures its peak
    labels = training.window_length if training.targets == "all" else 1
    return Throughput(
        strategy=here.strategy,
        devices=here.devices,
        replicas=here.replicas,
        windows_per_second=batch_size / pace,
        labels_per_second=batch_size * labels / pace,
        milliseconds_per_step=1e3 * pace,
        flops_per_second=flops_per_window(config, text.vocabulary.size) * batch_size / pace,
        peak_flops_per_second=peak * (here.replicas if "GPU" in device else here.workers),
    )


def _seconds_per_step(
    steps: Steps, text: TrainingText, learning_rate: float, agreement: Agreement, seconds: float
) -> float:
    """Trains for so many seconds; gives the median over the calls after the first, which compiles the graph."""
    batches, step, size = steps.batches(text, 0), 0, 1
    paces = []
    end = float("inf")
    now = began = time.perf_counter()
    while now < end:
        steps.run(batches, [learning_rate] * size, step)
        # Workers take the same number of steps: all go by the chief's clock.
        now, pace = agreement.broadcast(time.perf_counter(), (time.perf_counter() - began) / size)
        if step:
            paces.append(pace)
        else:  # the clock starts now
            end = now + seconds
        step += size
        size = max(1, min(4 * size, int(_SECONDS_PER_CALL / pace)))
        began = time.perf_counter()
    return float(np.median(paces)) if paces else pace


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


def measure_peak(device: str, precision: Precision = "float32") -> float:
    """Gives the FLOP/s of a product of square matrices on a device; the best of several."""
    with tf.device(device):
        matrix = tf.cast(tf.random.stateless_normal([_SIDE, _SIDE], [0, 0]), precision)

        @tf.function(autograph=False)
        def product(left: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(tf.matmul(left, left))  # one number, so that fetching it costs nothing

        product(matrix).numpy()
        times = []
        for _ in range(_PRODUCTS):
            began = time.perf_counter()
            product(matrix).numpy()
            times.append(time.perf_counter() - began)
    return 2 * _SIDE**3 / min(times)
