"""What the machine can do at most: matrix products and copies, measured beside what needs them."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from charflow.benchmarks.comparison import LIMIT, Candidate, Comparison, by_turns
from charflow.model.config import Precision

_SIDE = {"CPU": 2048, "GPU": 8192, "TPU": 8192}  # of the matrices: large enough to keep every core busy
_PRODUCTS = 4  # in a turn, of which the fastest counts
_COPIED = 64 << 20  # bytes: more than a processor's cache holds


def limits(turns: int) -> Iterator[Comparison]:
    """Products of each precision on each kind of device, and copies in memory."""
    for kind in dict.fromkeys(device.device_type for device in tf.config.list_logical_devices()):
        products = [
            Candidate(name=precision, kind=LIMIT, work=_in_giga(product_flops(kind, precision)), amount=None)
            for precision in ("float32", "bfloat16")
        ]
        yield Comparison(
            what=f"matrix products ({kind})",
            unit="GFLOP/s",
            about=f"One product of square matrices of {_SIDE[kind]:,}; a multiplication and an addition count as two.",
            ways=by_turns(products, turns),
        )
    copy = Candidate(name="NumPy", kind=LIMIT, work=copier(_COPIED), amount=_COPIED / 1e9)
    yield Comparison(
        what="copies in memory",
        unit="GB/s",
        about="Bytes copied from one array to another by one thread; each is read once and written once.",
        ways=by_turns([copy], turns),
    )


def _in_giga(work: Callable[[], float]) -> Callable[[], float]:
    return lambda: work() / 1e9


def product_flops(kind: str, precision: Precision = "float32") -> Callable[[], float]:
    """Makes what gives the FLOP/s of a product of square matrices on a kind's first device; the best of several."""
    device, side = f"/{kind}:0", _SIDE[kind]
    with tf.device(device):
        matrix = tf.cast(tf.random.stateless_normal([side, side], [0, 0]), precision)

    @tf.function(autograph=False)
    def product(left: tf.Tensor) -> tf.Tensor:
        with tf.device(device):
            return tf.reduce_sum(tf.matmul(left, left))  # one number, so that fetching it costs nothing

    def seconds() -> float:
        began = time.perf_counter()
        product(matrix).numpy()
        return time.perf_counter() - began

    return lambda: 2 * side**3 / min(seconds() for _ in range(_PRODUCTS))


def copier(n_bytes: int) -> Callable[[], None]:
    """Makes what copies so many bytes in memory."""
    source = np.ones(n_bytes, np.uint8)
    copied = np.zeros_like(source)
    return lambda: np.copyto(copied, source)
