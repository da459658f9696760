"""The gate finds what text was written by, and trusts a bucket of few characters as it does all of them."""

import numpy as np
import pytest

from charflow.model.memory.gate import NETWORK_ALONE, fit_gate

V = 6


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def written_by(weights: np.ndarray, buckets: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random predictions of a network and of counts, and characters drawn from both, weighed."""
    random = np.random.default_rng(seed)
    network, counts = (log_softmax(random.normal(scale=2, size=[len(buckets), V])).astype(np.float32) for _ in range(2))
    a, b = weights[buckets].T
    p = np.exp(log_softmax(a[:, np.newaxis] * network + b[:, np.newaxis] * counts))
    return network, counts, (p.cumsum(axis=1) < random.random([len(p), 1])).sum(axis=1).clip(max=V - 1)


def test_fit_gate_finds_the_weights_that_wrote_the_text() -> None:
    weights, buckets = np.array([[1.0, 0.0], [0.3, 0.9], [0.7, 0.4]]), np.arange(30_000) % 3
    found = fit_gate(*written_by(weights, buckets), buckets, 3)
    np.testing.assert_allclose(found, weights, atol=0.05)
    assert found.dtype == np.float32


def test_fit_gate_gives_a_bucket_without_text_what_fits_all() -> None:
    weights, buckets = np.array([[0.5, 0.5]]), np.zeros(5_000, int)
    found = fit_gate(*written_by(weights, buckets), buckets, 2)
    np.testing.assert_allclose(found[1], found[0], atol=0.01)


def test_fit_gate_without_any_text_takes_the_network_alone() -> None:
    nothing = np.empty([0, V], np.float32)
    found = fit_gate(nothing, nothing, np.empty(0, int), np.empty(0, int), 2)
    assert found.tolist() == [list(NETWORK_ALONE)] * 2


def test_fit_gate_keeps_what_must_not_be_written_impossible() -> None:
    buckets = np.zeros(2_000, int)
    network, counts, targets = written_by(np.array([[-0.5, 1.0]]), buckets)  # where the network is worse than nothing
    network[:, 0] = -1e30
    written = targets > 0
    ((a, b),) = fit_gate(network[written], counts[written], targets[written], buckets[written], 1)
    assert a == pytest.approx(0.01)
    assert (np.exp(log_softmax(a * network + b * counts))[:, 0] == 0).all()
