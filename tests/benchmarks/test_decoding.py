"""What `charflow bench decode` measures: the loop that is compared is a loop, and writes the same."""

import numpy as np
import pytest
import tensorflow as tf

from charflow.benchmarks import decoding
from charflow.benchmarks.comparison import LIMIT, OURS, PEER
from charflow.model.config import NetworkConfig
from charflow.model.decoding.contexts import StreamContext
from charflow.model.decoding.decoder import Decoder
from charflow.model.decoding.writer import Writer
from charflow.model.network.network import Network

pytestmark = pytest.mark.slow


def test_the_bare_loop_writes_what_the_writer_writes() -> None:
    network = Network(NetworkConfig(units=12), 9, targets="all", seed=0)
    decoder = Decoder(StreamContext("lstm", network.layers), *network.dense).fixed()
    expected = Writer(decoder)(np.zeros(0, np.int32), 30, temperatures=[decoding._TEMPERATURE] * 3, seeds=range(3))
    np.testing.assert_array_equal(tf.function(decoding._bare_loop, autograph=False)(decoder, 3, 30), expected)
    assert len(np.unique(expected)) > 3


@pytest.mark.parametrize("xla", [True, False])
def test_measures_every_batch_each_way(xla: bool) -> None:
    config = NetworkConfig(units=8, cell="gru", layers=2)
    one, three = decoding.measure_decoding(config, 9, [1, 3], chars=6, turns=2, xla=xla)
    assert (one.what, three.what) == ("writing one text", "writing 3 texts at once")
    assert ("a bare loop, XLA" in [way.name for way in one.ways]) == xla
    for comparison in (one, three):
        assert (comparison.ways[0].kind, comparison.ways[-1].kind) == (OURS, LIMIT)
        assert all(len(way.figures) == 2 and min(way.figures) > 0 for way in comparison.ways)


def test_measures_texts_of_different_lengths() -> None:
    found = decoding.measure_lengths(NetworkConfig(units=8), 9, 20, chars=40, turns=2)
    assert [way.kind for way in found.ways] == [OURS, PEER, LIMIT]
    assert all(len(way.figures) == 2 and min(way.figures) > 0 for way in found.ways)


def test_the_recipe_writes_beside_both_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_RECIPE_CHARS", 1)
    found = decoding.measure_recipe(5, chars=6, turns=1, xla=True)
    assert [way.name for way in found.ways] == [
        *("charflow, stream", "charflow, stream, XLA", "charflow, window"),
        "recipe",
    ]
    assert found.ratio(found.ways[-1]) > 1
