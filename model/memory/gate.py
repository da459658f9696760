"""Fits how far the counts are trusted beside the network, by how much is known of a context.

p(c) is the softmax over c of a log p_network(c) + b log p_counts(c), with an a and a b for each bucket of contexts
(see `automaton`). They are fitted on text that neither has learned from; the loss is convex in a and b, those of a
log-linear model with two features, so that Newton's method finds the one best pair. M is the number of characters of
that text, V the vocabulary size, n the number of buckets.
"""

import numpy as np

NETWORK_ALONE = (1.0, 0.0)  # a and b
_LEAST = 0.01  # a: what must never be written has a logit of -1e30 from the network, which must not vanish
# How strongly a and b are drawn to where they begin, all of them to the network alone, a bucket's to what fits all of
# them. Of 1, 10, 50 and 300 these are best for people with 500 to 30,000 characters to fit to.
_PULL, _PULL_OF_BUCKET = 1.0, 50.0
_STEPS = 30
_LONGEST_STEP = 1.0  # of Newton's method, which goes too far where the loss is flat
_NEAR = 1e-3  # a last step so short changes no bit that is shown
_AT_ONCE = 1 << 12  # characters, so that what is made of them stays small


def fit_gate(network: np.ndarray, counts: np.ndarray, targets: np.ndarray, buckets: np.ndarray, n: int) -> np.ndarray:
    """Finds a and b of each bucket, float32 [n, 2]; buckets without a character get what fits all.

    Args:
        network: log-probabilities, or logits, float32 [M, V].
        counts: log-probabilities, float32 [M, V].
        targets: ids, [M].
        buckets: of each character's context, [M].
        n: how many buckets there are.
    """
    whole = _fit(network, counts, targets, np.zeros_like(buckets), np.array([NETWORK_ALONE]), _PULL)
    return _fit(network, counts, targets, buckets, np.repeat(whole, n, axis=0), _PULL_OF_BUCKET).astype(np.float32)


def _fit(
    network: np.ndarray, counts: np.ndarray, targets: np.ndarray, buckets: np.ndarray, prior: np.ndarray, pull: float
) -> np.ndarray:
    """Minimises the loss plus `pull` times half the squared distance from the prior, [n, 2]."""
    weights = prior
    for _ in range(_STEPS):
        gradient, hessian = pull * (weights - prior), np.tile(pull * np.eye(2), [len(prior), 1, 1])
        for start in range(0, len(targets), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            first, second = _derivatives(network[part], counts[part], targets[part], weights[buckets[part]])
            np.add.at(gradient, buckets[part], first)
            np.add.at(hessian, buckets[part], second)
        step = np.linalg.solve(hessian, gradient[..., np.newaxis])[..., 0]
        length = np.linalg.norm(step, axis=1, keepdims=True)
        weights = weights - step * np.minimum(1.0, _LONGEST_STEP / np.maximum(length, _LONGEST_STEP))
        weights[:, 0] = np.maximum(weights[:, 0], _LEAST)
        if length.max() < _NEAR:
            break
    return weights


def _derivatives(
    network: np.ndarray, counts: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each character's loss by its a and b, [m, 2]: expected features less the found; [m, 2, 2]: covariance."""
    features = np.stack([network, counts], axis=1).astype(np.float64)  # [m, 2, V]
    logits = np.einsum("mkv,mk->mv", features, weights)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    weighted = features * (p / p.sum(axis=1, keepdims=True))[:, np.newaxis]
    mean = weighted.sum(axis=2)
    found = np.take_along_axis(features, targets[:, np.newaxis, np.newaxis], axis=2)[..., 0]
    return mean - found, np.einsum("mkv,mlv->mkl", weighted, features) - mean[:, :, np.newaxis] * mean[:, np.newaxis]
