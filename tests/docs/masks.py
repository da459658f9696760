"""Compares what a block printed with what its page shows: what differs from run to run counts for nothing."""

import math
import re

# What is measured by a clock, or is large by what is installed, and why it may differ.
VARIES = {
    r"[\d,]+ +\d+ (?:s|min)$": "the pace and time of a row of training",
    r"(?<=Back end: embedded )\(.*\)": "what else is installed",
    r"\d[\d,.]* ?(?:ms|s|min|h|seconds|minutes)\b": "time",
    r"\d[\d,.]*(?= (?:windows|labels|characters|calls|requests)/s)": "time",
    r"x \d+\.\d+": "ratio of times",
    r"\d+(?= kinds of ops)": "any change of the code changes it",
    r"\d[\d,]* [kMG]?B\b": "compressed, or by what is installed",
    r"\d{4}-\d\d-\d\d[T ][\d:,.+Z]+": "time",
}
_NUMBER = re.compile(r"-?\d+\.\d+")
NEAR = 0.03  # relatively: weights that were trained elsewhere differ in their last digits


def differs(shown: str, printed: str) -> bool:
    """Whether two outputs differ in what counts.

    >>> differs("held out  0.5566 bits in 4 s", "held out 0.5567 bits in 12 s")
    False
    >>> differs("3 messages", "4 messages")
    True
    """
    texts = [_masked(text) for text in (shown, printed)]
    if len({_NUMBER.sub("#.#", text) for text in texts}) > 1:
        return True
    numbers = zip(*(map(float, _NUMBER.findall(text)) for text in texts))
    return any(not math.isclose(one, other, rel_tol=NEAR, abs_tol=NEAR) for one, other in numbers)


def _masked(text: str) -> str:
    for pattern in VARIES:
        text = re.sub(pattern, "~", text, flags=re.MULTILINE)
    return re.sub(r"[ ─━]+", " ", text)  # widths follow what is beside them
