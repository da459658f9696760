"""Bits per character against a slow loop over the Keras model's logits, in one row."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.decoding.decoder import make_decoder
from charflow.model.evaluation.evaluation import Evaluator
from charflow.model.network.network import Network
from charflow.pipeline.errors import UserError

V = 5
NOTHING = np.zeros(0, np.uint8)


@pytest.fixture(scope="module")
def network(make_network: Callable) -> Network:
    return make_network("lstm", 1, "all")


@pytest.fixture(scope="module")
def evaluate(network: Network) -> Evaluator:
    return Evaluator(make_decoder(network, "stream", 4))


def random_ids(n: int, seed: int, least: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(least, V, n).astype(np.uint8)


def slow_evaluation(network: Network, ids: np.ndarray, before: np.ndarray) -> tuple[float, float, int, int]:
    """Bits, accuracy, scored and unknown characters of `ids` after `before`, one character after another."""
    text = np.concatenate([before, ids]).astype(np.int32)
    dense = network.model.get_layer("logits")
    logits = np.concatenate([dense(tf.zeros([1, 1, 6]))[0], network.model(text[np.newaxis])[0]]).astype(np.float64)
    bits, hits, unknown = [], [], 0
    for t in range(len(before), len(text)):
        if text[t] == 0:
            unknown += 1
            continue
        known = logits[t, 1:]  # after the characters before t; [UNK] has no probability
        bits.append(np.log2(np.exp(known).sum()) - known[text[t] - 1] / np.log(2))
        hits.append(known.argmax() == text[t] - 1)
    return np.mean(bits), np.mean(hits), len(bits), unknown


def assert_same(found, expected: tuple[float, float, int, int], tolerance: float = 1e-5) -> None:
    assert found.bits_per_char == pytest.approx(expected[0], abs=tolerance)
    assert found.accuracy == pytest.approx(expected[1], abs=tolerance)
    assert (found.characters, found.unknown_characters) == expected[2:]


@pytest.mark.slow
@pytest.mark.parametrize("n_before", [0, 1, 50, 200], ids=lambda n: f"{n} before")
@pytest.mark.parametrize("n", [1, 7, 300], ids=lambda n: f"{n} characters")
def test_evaluator_equals_the_slow_loop(network: Network, evaluate: Evaluator, n: int, n_before: int) -> None:
    ids, before = random_ids(n, seed=1), random_ids(n_before, seed=2)
    assert_same(evaluate(ids, before=before), slow_evaluation(network, ids, before))


@pytest.mark.slow
def test_evaluator_loses_no_context_by_reading_in_rows(network: Network, evaluate: Evaluator) -> None:
    """1,100 characters are cut into four rows, none of which fits exactly."""
    ids, before = random_ids(1100, seed=3), random_ids(900, seed=4)
    assert_same(evaluate(ids, before=before), slow_evaluation(network, ids, before), tolerance=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("n", [600, 1024, 1100])
def test_evaluator_scores_long_texts_piece_by_piece(
    network: Network, evaluate: Evaluator, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    monkeypatch.setattr("charflow.model.evaluation.evaluation._SEGMENT", 512)
    ids, before = random_ids(n, seed=3, least=0), random_ids(900, seed=4)
    assert_same(evaluate(ids, before=before), slow_evaluation(network, ids, before), tolerance=1e-4)


@pytest.mark.slow
def test_evaluator_reads_on_from_call_to_call(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charflow.model.evaluation.evaluation._COLUMNS", 7)
    ids, before = random_ids(300, seed=3), random_ids(30, seed=4)
    told: list[int] = []
    found = Evaluator(make_decoder(network, "stream", 4), told.append)(ids, before=before)
    assert_same(found, slow_evaluation(network, ids, before))
    assert told == [*range(7, 330, 7), 330]


def test_evaluator_ends_where_it_is_told_to(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charflow.model.evaluation.evaluation._COLUMNS", 7)

    def enough(characters: int) -> None:
        if characters > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Evaluator(make_decoder(network, "stream", 4), enough)(random_ids(300, seed=3), before=NOTHING)


@pytest.mark.slow
def test_evaluator_scores_every_character_once_where_there_is_no_run_up(network: Network, evaluate: Evaluator) -> None:
    ids = random_ids(601, seed=5)  # two rows, from a zero state each
    found = evaluate(ids, before=NOTHING)
    rows = [slow_evaluation(network, part, NOTHING) for part in (ids[:301], ids[301:])]
    assert found.characters == 601
    assert found.bits_per_char == pytest.approx((301 * rows[0][0] + 300 * rows[1][0]) / 601, abs=1e-5)


def test_evaluator_reads_unknown_characters_but_does_not_score_them(network: Network, evaluate: Evaluator) -> None:
    ids, before = random_ids(90, seed=6, least=0), random_ids(40, seed=7, least=0)
    expected = slow_evaluation(network, ids, before)
    assert expected[3] == (ids == 0).sum() > 5
    assert_same(evaluate(ids, before=before), expected)


def test_evaluator_of_equal_chances_gives_the_bits_of_a_uniform_guess(make_chain: Callable) -> None:
    everything = {before: dict.fromkeys("abcd", 0.25) for before in "abcd"}
    evaluate = Evaluator(make_decoder(make_chain("abcd", everything), "stream", 4))
    assert evaluate(random_ids(30, seed=8), before=random_ids(5, seed=9)).bits_per_char == pytest.approx(2)


def test_evaluator_of_a_certain_text_gives_no_bits_and_full_accuracy(make_chain: Callable) -> None:
    chain = make_chain("ab", {"a": {"b": 1}, "b": {"a": 1}})
    found = Evaluator(make_decoder(chain, "stream", 4))(np.array([2, 1, 2, 1]), before=np.array([1]))
    assert (found.bits_per_char, found.accuracy) == (pytest.approx(0, abs=1e-6), 1.0)
    wrong = Evaluator(make_decoder(chain, "window", 4))(np.array([2, 2]), before=np.array([1]))
    assert wrong.accuracy == 0.5


def test_evaluator_without_text_says_what_to_do(evaluate: Evaluator) -> None:
    message = r"^There is no held-out text to evaluate on: give more messages or a larger held-out share\.$"
    with pytest.raises(UserError, match=message):
        evaluate(NOTHING, before=random_ids(5, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("n", [9, 700], ids=["one row", "several rows"])
def test_evaluator_reads_what_is_read_only_and_does_not_score_it(network: Network, evaluate: Evaluator, n: int) -> None:
    ids, before = random_ids(n, seed=4, least=0), random_ids(30, seed=5)
    read_only = np.random.default_rng(6).random(n) < 0.4
    text = np.concatenate([before, ids]).astype(np.int32)
    logits = network.model(text[np.newaxis])[0].numpy().astype(np.float64)[len(before) - 1 : -1, 1:]
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    scored = ~read_only & (ids != 0)
    found = evaluate(np.where(read_only, ids + V, ids), before=before + V)
    assert found.bits_per_char == pytest.approx(-np.mean(log_probs[scored, ids[scored] - 1]) / np.log(2), abs=1e-4)
    assert (found.characters, found.unknown_characters) == (scored.sum(), (~read_only & (ids == 0)).sum())


def test_evaluator_of_unknown_characters_only_says_so(evaluate: Evaluator) -> None:
    with pytest.raises(UserError, match=r"^No character of the text is in the model's vocabulary\.$"):
        evaluate(np.zeros(9, np.uint8), before=random_ids(5, seed=1))
