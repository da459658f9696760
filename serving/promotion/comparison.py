"""Compares two versions of a model, request by request: how well they predict texts, and how fast they write.

`promote` decides by it. Both versions get the same texts, prompts and seeds, in turn, so what troubles the machine for
a moment troubles both. N is the number of texts or of requests.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from charflow.sentences import Sentence
from charflow.serving.client.arguments import SETTINGS
from charflow.serving.client.results import Completion, ModelMetadata, Score, Signature
from charflow.serving.errors import UsageError

FEWEST_TEXTS = 20  # below, a standard error says little
_TEXTS_A_CALL = 16
_CHARS = 100
_WARM_UP = 3
_UNKNOWN_BITS = float(np.log2(0x110000))  # naming one of Unicode's code points outright
_ROUNDING = 1e-3  # bits: what float32 and another batch can change
_RESAMPLES = 1000
_ENDS = "stop_at_end"  # of the versions that have it, the setting by which a text ends with a message


class Model(Protocol):
    """What of `charflow.serving.Client` is used."""

    def score(self, texts: list[str]) -> list[Score]:
        """Scores texts."""

    def generate(
        self,
        prompts: list[str],
        *,
        max_chars: int,
        temperature: float,
        seed: int,
        stop: str,
        **samplers: float,
    ) -> list[Completion]:
        """Completes prompts."""

    def metadata(self) -> ModelMetadata:
        """Reads the signatures."""


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings:
    """What a candidate is compared by.

    Attributes:
        texts: text that neither version was trained on.
        prompts: what completions are asked for.
        requests: how many.
        max_slowdown: how many times as long the candidate may take.
    """

    texts: str | Sequence[str]
    prompts: str | Sequence[str] = ("",)
    requests: int = 200
    max_slowdown: float = 1.5

    def __post_init__(self) -> None:
        for name in ("texts", "prompts"):
            if isinstance(given := getattr(self, name), str):  # one, and not its letters
                object.__setattr__(self, name, (given,))
        if len(self.texts) < FEWEST_TEXTS:
            raise UsageError(f"There are {len(self.texts)} texts to compare by: give at least {FEWEST_TEXTS}.")
        if not self.prompts:
            raise UsageError("There are no prompts to compare by.")
        if self.requests < 1:
            raise UsageError(f"requests must be at least 1, not {self.requests}.")
        if not self.max_slowdown > 0:
            raise UsageError(f"max_slowdown must be above 0, not {self.max_slowdown:g}.")


@dataclass(frozen=True, kw_only=True)
class Bits:
    """Bits per character of the same texts.

    An unknown character counts log2(1,114,112) = 20.1 bits: its code point spelled out. Without that, a model that
    knows few characters would have only the easy ones judged.

    Attributes:
        incumbent: of all texts, by the version that has the label.
        candidate: by the other.
        difference: candidate - incumbent; above 0 is worse.
        error: its standard error, over texts.
        texts: N.
        unknown: unknown characters of the incumbent and of the candidate.
    """

    incumbent: float
    candidate: float
    difference: float
    error: float
    texts: int
    unknown: tuple[int, int]

    @property
    def worse(self) -> bool:
        """Whether the difference is above what chance and rounding make: twice its standard error."""
        return not self.difference <= max(2 * self.error, _ROUNDING)  # NaN, of broken weights, is worse too


@dataclass(frozen=True, kw_only=True)
class Latency:
    """A percentile of the time to write the same completions.

    Attributes:
        incumbent: milliseconds.
        candidate: milliseconds.
        ratio: candidate / incumbent; above 1 is slower.
        at_least: lower end of its 95 % interval, by resampling the pairs.
    """

    incumbent: float
    candidate: float
    ratio: float
    at_least: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was found, and what of it counts against the candidate."""

    bits: Bits
    p50: Latency
    p99: Latency
    requests: int
    max_slowdown: float

    @property
    def faults(self) -> list[str]:
        """Says why the candidate is worse; empty if it is not."""
        bits = self.bits
        found = [f"{bits.difference:.3f} more bits per character (± {bits.error:.3f})"] if bits.worse else []
        for name, latency in (("p50", self.p50), ("p99", self.p99)):
            if latency.at_least > self.max_slowdown:
                found.append(f"{latency.ratio:.2f} times the {name} latency (at most {self.max_slowdown:g})")
        return found


def compare(
    incumbent: Model,
    candidate: Model,
    *,
    texts: Sequence[str],
    prompts: Sequence[str],
    requests: int,
    max_slowdown: float,
) -> Comparison:
    """Compares two versions.

    Args:
        incumbent: the version that has the label.
        candidate: the one that may get it.
        texts: text that neither was trained on; at least FEWEST_TEXTS.
        prompts: what completions are asked for; taken in turn.
        requests: how many of them each version writes.
        max_slowdown: how many times as long the candidate may take.

    Raises:
        UsageError: the versions read a text differently, so their figures have no common measure.
        ServingError: a call failed.
    """
    pairs = map(_on_the_same, _scores(incumbent, texts), _scores(candidate, texts))
    bits = _bits(*zip(*pairs, strict=True))
    times = _times(incumbent, candidate, prompts, requests)  # [2, N]
    return Comparison(
        bits=bits, p50=_latency(times, 50), p99=_latency(times, 99), requests=requests, max_slowdown=max_slowdown
    )


def _scores(model: Model, texts: Sequence[str]) -> list[Score]:
    return [
        score
        for begin in range(0, len(texts), _TEXTS_A_CALL)
        for score in model.score(list(texts[begin : begin + _TEXTS_A_CALL]))
    ]


def _on_the_same(one: Score, other: Score) -> tuple[Score, Score]:
    """Leaves the end of a message out, which is judged last, where only one of the versions knows such ends."""
    if one.length == other.length + 1 and one.truncated is False:
        return _without_last(one), other
    if other.length == one.length + 1 and other.truncated is False:
        return one, _without_last(other)
    return one, other


def _without_last(score: Score) -> Score:
    known, last = score.length - score.unknown_chars, score.char_log_probs[-1]
    bits = (score.bits_per_char * known + last / np.log(2)) / max(known - 1, 1)
    return replace(score, bits_per_char=float(bits), length=score.length - 1, char_log_probs=score.char_log_probs[:-1])


def _bits(incumbent: Sequence[Score], candidate: Sequence[Score]) -> Bits:
    for number, (old, new) in enumerate(zip(incumbent, candidate, strict=True), start=1):
        if old.length != new.length:
            raise UsageError(
                Sentence(
                    "The versions read text {number} as {old} and as {new} characters, so their bits per character "
                    "have no common measure: shorten texts over the limit of an export, or use {force}.",
                    number=str(number),
                    old=f"{old.length:,}",
                    new=f"{new.length:,}",
                )
            )
    lengths = np.array([score.length for score in incumbent], float)  # [N]
    sums = np.array([[_bits_of(score) for score in scores] for scores in (incumbent, candidate)])  # [2, N]
    chars = max(lengths.sum(), 1.0)
    difference = float((sums[1] - sums[0]).sum() / chars)
    residuals = sums[1] - sums[0] - difference * lengths  # of the ratio estimator: long texts weigh more
    spread = np.sqrt(len(lengths) / (len(lengths) - 1) * np.square(residuals).sum())
    return Bits(
        incumbent=float(sums[0].sum() / chars),
        candidate=float(sums[1].sum() / chars),
        difference=difference,
        error=float(spread / chars),
        texts=len(lengths),
        unknown=(sum(score.unknown_chars for score in incumbent), sum(score.unknown_chars for score in candidate)),
    )


def _bits_of(score: Score) -> float:
    return score.bits_per_char * (score.length - score.unknown_chars) + _UNKNOWN_BITS * score.unknown_chars


def _times(incumbent: Model, candidate: Model, prompts: Sequence[str], requests: int) -> np.ndarray:
    """Milliseconds each request took, float64 [2, N]; the two take turns in going first."""
    models = (incumbent, candidate)
    settings = _settings(*(model.metadata().signature("generate") for model in models))
    both = list(zip(models, settings, strict=True))
    warm = [_write(model, prompts[0], _CHARS, seed, own) for seed in range(_WARM_UP) for model, own in both]
    chars = min(warm)  # the limits of the exports may cut one of them shorter
    times = np.empty([2, requests])
    for request in range(requests):
        prompt = prompts[request % len(prompts)]
        for which in (0, 1) if request % 2 else (1, 0):
            begin = time.perf_counter()
            _write(models[which], prompt, chars, request, settings[which])
            times[which, request] = 1000 * (time.perf_counter() - begin)
    return times


def _settings(incumbent: Signature, candidate: Signature) -> list[dict[str, float]]:
    """What each version is told: what both have is set as in the incumbent, and no text ends before the others."""
    both = incumbent.settings.keys() & candidate.settings.keys() & incumbent.defaults.keys() - SETTINGS.keys()
    same = {name: incumbent.defaults[name][0] for name in sorted(both)}
    endless = [{name: False for name in each.settings if name == _ENDS} for each in (incumbent, candidate)]
    return [{**same, **own} for own in endless]


def _write(model: Model, prompt: str, chars: int, seed: int, settings: dict[str, float]) -> int:
    # Nothing that both versions have is left to the defaults: they may differ.
    (done,) = model.generate([prompt], max_chars=chars, temperature=1.0, seed=seed, stop="", **settings)
    return done.length


def _latency(times: np.ndarray, percent: int) -> Latency:
    incumbent, candidate = np.percentile(times, percent, axis=1)
    drawn = np.random.default_rng(0).integers(times.shape[1], size=[_RESAMPLES, times.shape[1]])
    resampled = np.percentile(times[:, drawn], percent, axis=2)  # [2, _RESAMPLES]
    return Latency(
        incumbent=float(incumbent),
        candidate=float(candidate),
        ratio=float(candidate / incumbent),
        at_least=float(np.percentile(resampled[1] / resampled[0], 2.5)),
    )
