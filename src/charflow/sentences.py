"""Words a sentence that names settings once, for the program that called and for whoever typed a command.

It lies below all packages: their errors raise such sentences, and `remarks` gives them. Nothing below `cli` knows how
an option is called; a command hands over a `Spell` of its own.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

# Writes the name of a setting, or settings with their values.
Spell: TypeAlias = Callable[[str | Mapping[str, Any]], str]


def as_arguments(settings: str | Mapping[str, Any]) -> str:
    """Writes settings as Python has them.

    >>> as_arguments("units"), as_arguments({"delimiter": ";", "header": False})
    ('units', "delimiter=';', header=False")
    """
    if isinstance(settings, str):
        return settings
    return ", ".join(f"{name}={value!r}" for name, value in settings.items())


class Sentence:
    """A sentence that names settings.

    Args:
        template: a format string; `{units}` is that setting, and `{found}` the value of `found` in `values`.
        values: what else it shows: texts; settings with their values, as a mapping; or some settings' names, a tuple.

    >>> sentence = Sentence("Pass {changes}, or a smaller {window_length}.", changes={"delimiter": ";"})
    >>> str(sentence)
    "Pass delimiter=';', or a smaller window_length."
    >>> Sentence("Leave {all} out.", all=("units", "layers")).told(lambda name: f"--{name}")
    'Leave --units and --layers out.'
    """

    def __init__(self, template: str, /, **values: str | Mapping[str, Any] | tuple[str, ...]) -> None:
        self._template, self._values = template, values

    def told(self, spell: Spell = as_arguments) -> str:
        """The sentence with the settings as `spell` writes them."""
        return self._template.format_map(_Spelled(spell, self._values))

    def settings(self) -> set[str]:
        """The names of the settings in it."""
        found: set[str] = set()

        def note(settings: str | Mapping[str, Any]) -> str:
            found.update([settings] if isinstance(settings, str) else settings)
            return ""

        self.told(note)
        return found

    def __str__(self) -> str:
        return self.told()


def listed(words: tuple[str, ...] | list[str]) -> str:
    """Joins words, each once.

    >>> listed(["--user", "--fraction", "--user"])
    '--user and --fraction'
    """
    *most, last = dict.fromkeys(words)
    return f"{', '.join(most)} and {last}" if most else last


class _Spelled(dict):
    """Fills a sentence: what is no value is the name of a setting."""

    def __init__(self, spell: Spell, values: Mapping[str, Any]) -> None:
        super().__init__({name: self._shown(value, spell) for name, value in values.items()})
        self._spell = spell

    def __missing__(self, name: str) -> str:
        return self._spell(name)

    @staticmethod
    def _shown(value: Any, spell: Spell) -> str:
        if isinstance(value, str):
            return value
        return spell(value) if isinstance(value, Mapping) else listed([spell(name) for name in value])
