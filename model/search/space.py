"""The settings that a sweep searches, and between which bounds.

`charflow sweep --search` writes an axis as text; `sweep` draws values from the space and trains with them;
`picture` draws one panel an axis.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from charflow.model.config import Config
from charflow.model.run.base import Base
from charflow.pipeline.errors import SettingError, UserError
from charflow.pipeline.option import Settable, settable
from charflow.pipeline.settings import Texts, checked
from charflow.pipeline.tables import nested, override

Value = int | float | str

DEFAULT_SEARCH = (
    "units=64:512",
    "layers=1,2",
    "dropout=0:0.5",
    "learning_rate=0.002:0.05",
    "batch_size=16,32,64,128",
    "window_length=32:128",
)
# Of a run that starts from another, whose network is what it is; see `SECOND_PHASE`.
SECOND_SEARCH = (
    "learning_rate=0.001:0.03",
    "warmup_steps=0:50",
    "window_shift=3:16",
    "batch_size=16,32,64",
    "dropout=0:0.5",
)


@dataclass(frozen=True)
class Axis:
    """One setting that is searched.

    Attributes:
        setting: its field.
        choices: the values to choose from; for a range its two ends.
        is_range: whether every value between the ends is one.
    """

    setting: Settable
    choices: tuple[Value, ...]
    is_range: bool

    @property
    def name(self) -> str:
        """Of the setting."""
        return self.setting.name

    @property
    def is_log(self) -> bool:
        """Whether a range is searched and drawn by factors."""
        return self.is_range and self.setting.option.search == "log" and float(self.choices[0]) > 0

    @property
    def is_whole(self) -> bool:
        """Whether the values are whole numbers."""
        return self.setting.type is int

    def distribution(self) -> BaseDistribution:
        """Says the same to Optuna."""
        if not self.is_range:
            return CategoricalDistribution(self.choices)
        low, high = (float(end) for end in self.choices)
        if self.is_whole:
            return IntDistribution(int(low), int(high), log=self.is_log)
        return FloatDistribution(low, high, log=self.is_log)

    def nearest(self, value: Value) -> Value:
        """The value of this axis that is nearest to `value`; the first one for a text that is none of them."""
        if isinstance(value, str):
            return value if value in self.choices else self.choices[0]
        if self.is_range:
            low, high = self.choices
            return min(max(value, low), high)
        return min(self.choices, key=lambda choice: abs(float(choice) - value))

    def rounded(self, value: Value) -> Value:
        """Keeps three digits of a fraction, as long as that stays within the range: 0.0137 instead of 0.01369…"""
        if not isinstance(value, float) or not self.is_range:
            return value
        low, high = (float(end) for end in self.choices)
        short = float(f"{value:.3g}")
        return short if low <= short <= high else value

    def __str__(self) -> str:
        """Writes the axis as `Space.parse` takes it."""
        return f"{self.name}={(':' if self.is_range else ',').join(map(_text, self.choices))}"


@dataclass(frozen=True)
class Space:
    """All settings that are searched."""

    axes: tuple[Axis, ...]

    @classmethod
    @checked
    def parse(cls, search: Texts, config: Config, *, base: Base | None = None) -> "Space":
        """Reads axes such as `units=64:512` (a range) and `layers=1,2` (choices).

        Args:
            search: the axes.
            config: what a run has where they do not say otherwise.
            base: the run that all of them start from.

        >>> [axis.choices for axis in Space.parse(["units=64:512", "layers=1,2"], Config()).axes]
        [(64, 512), (1, 2)]

        Raises:
            UserError: an axis cannot be read, or has a value that no such run can have.
        """
        if base:
            base.check(config)
        searchable = {each.name: each for each in settable(type(config)) if each.option.search}
        axes = tuple(_parse_axis(text, searchable) for text in search)
        names = [axis.name for axis in axes]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise _refusal(f"{twice[0]} is given twice: give one range, or all choices, at once.")
        space = cls(axes)
        for axis in axes:
            for value in axis.choices:
                try:
                    run = space.apply(config, {axis.name: value})
                    if base:
                        base.check(run)
                except UserError as error:
                    raise _refusal(f"{axis}: {error}") from None  # here the setting is no option of its own
        return space

    def distributions(self) -> dict[str, BaseDistribution]:
        """Says the same to Optuna."""
        return {axis.name: axis.distribution() for axis in self.axes}

    def values_of(self, config: Config) -> dict[str, Value]:
        """What the searched settings are in `config`, whether the space has these values or not."""
        return {axis.name: axis.setting.of(config) for axis in self.axes}

    def nearest(self, config: Config) -> dict[str, Value]:
        """The point of the space that is nearest to `config`."""
        own = self.values_of(config)
        return {axis.name: axis.nearest(own[axis.name]) for axis in self.axes}

    def rounded(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Rounds the values that are there; see `Axis.rounded`."""
        return {axis.name: axis.rounded(values[axis.name]) for axis in self.axes if axis.name in values}

    def apply(self, config: Config, values: Mapping[str, Value]) -> Config:
        """Puts values into a configuration.

        Raises:
            UserError: a run cannot have such a value.
        """
        return override(
            config,
            nested((axis.setting.tables, {axis.name: values[axis.name]}) for axis in self.axes if axis.name in values),
        )


def _text(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _refusal(wrong: str) -> SettingError:
    return SettingError("{search} {wrong}", wrong=wrong)


def _parse_axis(text: str, searchable: Mapping[str, Settable]) -> Axis:
    name, equals, values = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or not values.strip():
        raise _refusal(f"{text}: write NAME=LOW:HIGH, or NAME=A,B,C.")
    if name not in searchable:
        raise _refusal(f"{text}: {name!r} is not searched. Settings are: {', '.join(searchable)}.")
    setting, kind = searchable[name], searchable[name].type
    if ":" not in values or kind is str:
        choices = dict.fromkeys(_value(text, part, kind) for part in values.split(","))
        return Axis(setting, tuple(choices), is_range=False)
    ends = tuple(_value(text, part, kind) for part in values.split(":"))
    if len(ends) != 2 or not ends[0] < ends[1]:  # type: ignore[operator]  # a range has numbers
        raise _refusal(f"{text}: a range is LOW:HIGH, the lower end first.")
    return Axis(setting, ends, is_range=True)


def _value(text: str, part: str, kind: type) -> Value:
    try:
        value: Value = kind(part.strip())
        return value
    except ValueError:
        number = "whole number" if kind is int else "number"
        raise _refusal(f"{text}: {part.strip()!r} is not a {number}.") from None
