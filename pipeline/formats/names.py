"""What the users of a chat are called: the names that stand beside their ids in its files.

CSV files have them in columns beside that of the ids (`usual_columns`), chat formats tell `Notes`; `corpus.users` finds
the ids that a name means, `explore` shows names beside ids.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Self

import numpy as np


class Names:
    """The names of each user, who may have had several, and whose names others may have.

    >>> names = Names()
    >>> names.add("id7", "mira"), names.add("id7", "mira of the boats", rows=3), names.add("id8", "mira")
    (None, None, None)
    >>> names.of("id7"), names.ids("mira")
    (['mira of the boats', 'mira'], ['id7', 'id8'])
    """

    def __init__(self) -> None:
        self._rows: dict[str, Counter[str]] = {}

    def add(self, user: str, name: str, rows: int = 1) -> None:
        """Counts rows in which a name stands beside an id; an empty one, and the id itself, are none."""
        if name not in ("", user):
            self._rows.setdefault(user, Counter())[name] += rows

    def add_columns(self, users: np.ndarray, names: np.ndarray) -> None:
        """Counts the rows of two columns, each [B] of bytes in UTF-8."""
        for (user, name), rows in Counter(zip(users.tolist(), names.tolist(), strict=True)).items():
            self.add(user.decode(), name.decode(), rows)

    def of(self, user: str) -> list[str]:
        """The names of a user, the most frequent first."""
        return [name for name, _ in self._rows.get(user, Counter()).most_common()]

    def ids(self, name: str) -> list[str]:
        """The users who had a name, in order of appearance."""
        return [user for user, names in self._rows.items() if name in names]

    def all(self) -> Counter[str]:
        """Counts rows by name."""
        found: Counter[str] = Counter()
        for names in self._rows.values():
            found.update(names)
        return found

    @classmethod
    def of_all(cls, parts: Iterable[Self]) -> Self:
        """Joins those of several files."""
        whole = cls()
        for part in parts:
            for user, name, rows in part._each():
                whole.add(user, name, rows)
        return whole

    def _each(self) -> Iterator[tuple[str, str, int]]:
        return ((user, name, rows) for user, names in self._rows.items() for name, rows in names.items())
