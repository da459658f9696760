"""What `charflow bench decode` measures: the loop that is compared is a loop, and writes the same."""

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.config import NetworkConfig
from charflow.model.decoding import speed
from charflow.model.decoding.contexts import StreamContext
from charflow.model.decoding.decoder import Decoder
from charflow.model.decoding.writer import Writer
from charflow.model.network.network import Network

pytestmark = pytest.mark.slow


def test_the_bare_loop_writes_what_the_writer_writes() -> None:
    network = Network(NetworkConfig(units=12), 9, targets="all", seed=0)
    decoder = Decoder(StreamContext("lstm", network.layers), *network.dense).fixed()
    expected = Writer(decoder)(np.zeros(0, np.int32), 30, temperatures=[speed._TEMPERATURE] * 3, seeds=range(3))
    np.testing.assert_array_equal(tf.function(speed._bare_loop, autograph=False)(decoder, 3, 30), expected)
    assert len(np.unique(expected)) > 3


@pytest.mark.parametrize("xla", [True, False])
def test_measures_every_batch_each_way(xla: bool) -> None:
    config = NetworkConfig(units=8, cell="gru", layers=2)
    found = list(speed.measure_decoding(config, 9, [1, 3], chars=6, turns=2, xla=xla))
    assert [each.batch_size for each in found] == [1, 3]
    assert all(min(each.written, each.bare_loop, each.products) > 0 for each in found)
    assert all((each.bare_loop_xla is not None) == xla == (each.written_xla is not None) for each in found)
