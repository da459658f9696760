"""Between which numbers a setting lies, and how the sentence about one that does not is written.

The lowest room, with `errors`: `settings` reads the bounds from a setting's type and checks by them.
"""

import math
import reprlib
from dataclasses import dataclass
from typing import Literal

from charflow.pipeline.errors import SettingError, quoted

_WHOLE = {"int32": 2**31, "int64": 2**63}  # the first number that does not fit
_FLOATS = {"float32": (2.0**-126, 3.4028234663852886e38), "float64": (2.0**-1022, 1.7976931348623157e308)}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Between which numbers a setting lies; every number is finite, and fits the type that computes with it.

    Attributes:
        at_least: lower bound, which is allowed.
        above: lower bound, which is not.
        at_most: upper bound, which is allowed.
        below: upper bound, which is not.
        dtype: of the tensor that holds it; empty is int32 or float32.
        note: what a special value means, such as "0 is off".
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    dtype: Literal["", "int32", "int64", "float32", "float64"] = ""
    note: str = ""

    def check(self, name: str, number: float) -> None:
        """Refuses a number outside, with the bounds in the sentence.

        Raises:
            SettingError: it is outside, not finite, or too large for its type.
        """
        if rule := self._broken(number):
            note = f" ({self.note})" if self.note else ""
            raise SettingError(f"{{{name}}} must be {{rule}}, not {{found}}{note}.", rule=rule, found=shown(number))

    def _broken(self, number: float) -> str:
        held = number
        if isinstance(number, int):
            end = _WHOLE[self.dtype or "int32"]
            fits, lowest, highest = -end <= number < end, f"{-end:,}", f"{end - 1:,}"
        else:
            least, most = _FLOATS[self.dtype or "float32"]
            held = 0.0 if abs(number) < least else number  # what the device makes of it
            fits, lowest, highest = abs(number) <= most, f"{-most:g}", f"{most:g}"
        inside = (
            (self.at_least is None or held >= self.at_least)
            and (self.above is None or held > self.above)
            and (self.at_most is None or held <= self.at_most)
            and (self.below is None or held < self.below)
        )
        if inside and fits:
            return ""
        if isinstance(number, float) and not math.isfinite(number):
            rule = self.in_words()
            if self._has_both_ends or not rule:
                return rule or "a finite number"
            return f"a finite number {'' if rule.startswith('above') else 'of '}{rule}"
        if not inside:
            return self.in_words()
        return f"at most {highest}" if number > 0 else f"at least {lowest}"

    @property
    def _has_both_ends(self) -> bool:
        return (self.at_least, self.above) != (None, None) and (self.at_most, self.below) != (None, None)

    def in_words(self) -> str:
        """The bounds as a sentence has them; empty where there are none.

        >>> Bounds(above=0, at_most=1).in_words()
        'above 0 and at most 1'
        """
        ends = (
            f"{name.replace('_', ' ')} {end:{',' if isinstance(end, int) else 'g'}}"
            for name in ("at_least", "above", "at_most", "below")
            if (end := getattr(self, name)) is not None
        )
        return " and ".join(ends)


def shown(value: object) -> str:
    """Shows a value in a sentence, however large it is."""
    if isinstance(value, bool | None):
        return str(value)
    if isinstance(value, int):
        digits = int(value.bit_length() * math.log10(2)) + 1
        return f"{value:,}" if digits <= 21 else f"{value:.6g}" if digits < 300 else f"a number of {digits:,} digits"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bytes | list | tuple | dict):
        return reprlib.repr(value)
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
