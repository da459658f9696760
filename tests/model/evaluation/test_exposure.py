"""Exposure on networks whose probabilities are known."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from charflow.model.decoding.decoder import Decoder, make_decoder
from charflow.model.evaluation import exposure as module
from charflow.model.evaluation.exposure import MOST, exposure
from charflow.pipeline.vocabulary import Vocabulary

CHARS = "my secretnumberis0123456789\x03"
VOCABULARY = Vocabulary(CHARS)


@pytest.fixture(scope="module")
def rising(make_chain: Callable) -> Decoder:
    """After a digit comes the next one, nine times in ten; after a blank a 1."""
    digits = "0123456789"
    others = lambda char: {digit: 0.1 / 9 for digit in digits if digit != char}  # noqa: E731
    follows = {digit: {following: 0.9, **others(following)} for digit, following in zip(digits, digits[1:] + "0")}
    follows |= {" ": {"1": 0.9, **others("1")}}
    return make_decoder(make_chain("".join(VOCABULARY.chars), follows), "stream", 8)


def asked(decoder: Decoder, *canaries: str, **others: int) -> module.Exposure:
    return exposure(decoder, VOCABULARY, list(canaries), repeats=1, after="\x03", seed=others.get("seed", 0))


@pytest.mark.slow
def test_exposure_of_the_likeliest_number_is_the_most_there_is(rising: Decoder) -> None:
    found = asked(rising, "123456789")
    assert found.bits == [pytest.approx(MOST)]
    assert (found.canaries, found.repeats, found.known, found.limit) == (1, 1, 1, 10.0)


@pytest.mark.parametrize(("canary", "jumps"), [("123450000", 4), ("123006700", 5), ("120000000", 7), ("000000000", 9)])
def test_exposure_is_by_the_share_of_numbers_that_are_as_likely(rising: Decoder, canary: str, jumps: int) -> None:
    """All numbers with as many digits that are not the next one are alike; a random digit is no next one 9 in 10."""
    chance = sum(math.comb(9, n) * 0.9**n * 0.1 ** (9 - n) for n in range(jumps + 1))
    found = asked(rising, canary)
    np.testing.assert_allclose(found.bits, [-math.log2(chance)], atol=0.3)
    assert found.known == (found.bits[0] >= 10)


def test_exposure_of_numbers_that_nobody_planted_is_small(make_network: Callable) -> None:
    decoder = make_decoder(make_network(vocabulary_size=VOCABULARY.size), "stream", 8)
    numbers = [f"{number:09d}" for number in np.random.default_rng(5).integers(10**9, size=64)]
    found = asked(decoder, *numbers)
    assert (len(found.bits), found.known, found.limit) == (64, 0, 16.0)
    assert found.bits == sorted(found.bits, reverse=True)
    # the ranks of 64 random numbers are uniform: half of them are above 1 bit, and one in 1,024 above 10
    assert 20 <= sum(bits > 1 for bits in found.bits) <= 44
    assert found.bits[0] < 13


def test_exposure_tells_how_far_it_is(rising: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 1 << 12)
    shares: list[float] = []
    exposure(rising, VOCABULARY, ["000000000"], repeats=1, after="\x03", seed=0, progress=shares.append)
    assert shares == sorted(shares)
    assert (len(shares), shares[-1]) == (5, 1.0)
