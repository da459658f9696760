"""Has the site show the examples in docstrings, which begin with `>>>` wherever they stand, as examples.

An extension of Griffe, which reads docstrings for mkdocstrings (mkdocs.yml).
"""

import re
import textwrap
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).+)*", re.MULTILINE)


def as_sections(docstring: str) -> str:
    """Makes each example a section of Google's style.

    >>> as_sections("Adds.\\n\\n>>> add(1, 2)\\n3")
    'Adds.\\n\\nExamples:\\n    >>> add(1, 2)\\n    3'
    """
    return _EXAMPLE.sub(lambda found: "Examples:\n" + textwrap.indent(found[0], "    "), docstring)


class Doctests(griffe.Extension):
    """Rewrites each docstring when it has been read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrites the docstring of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = as_sections(obj.docstring.value)
