"""Checks the outputs of a signature before a result is made of them.

A server can hold any model, so that a missing output is a mistake worth a sentence and not a KeyError.
"""

from collections.abc import Mapping
from types import UnionType
from typing import Any, get_args

from charflow.serving.errors import Internal

UNNAMED = ""  # what a transport calls the one output of an answer that does not name it

# What a row of each output is; [type] is a list of it; what may be None is an output that older exports lack.
COMPLETE: Mapping[str, Any] = {"text": str}
GENERATE: Mapping[str, Any] = {"text": str, "log_prob": float, "length": int, "finish_reason": str}
NEXT_CHAR: Mapping[str, Any] = {"chars": [str], "probabilities": [float]}
SCORE: Mapping[str, Any] = {
    "bits_per_char": float,
    "char_log_probs": [float],
    "length": int,
    "unknown_chars": int,
    "truncated": bool | None,
}
STREAM: Mapping[str, Any] = {**GENERATE, "state": [float], "position": int}


def checked(outputs: Mapping[str, Any], expected: Mapping[str, Any], n_rows: int, signature: str) -> dict[str, Any]:
    """Returns the expected outputs, each a list of `n_rows` rows; all None where one that may be missing is.

    Raises:
        Internal: one is missing, has another number of rows, or another type.
    """
    if len(expected) == 1 and UNNAMED in outputs:
        outputs = dict.fromkeys(expected, outputs[UNNAMED])
    missing = [name for name, kind in expected.items() if name not in outputs and _is(None, kind)]
    outputs = {**outputs, **dict.fromkeys(missing, [None] * n_rows)}
    for name, kind in expected.items():
        if name not in outputs:
            has = ", ".join(sorted(filter(None, outputs))) or "one without a name"
            raise Internal(f"The answer of signature {signature!r} has no output {name!r}. It has: {has}.")
        rows = outputs[name]
        if not isinstance(rows, list) or len(rows) != n_rows:
            found = f"{len(rows)} rows" if isinstance(rows, list) else "no rows"
            raise Internal(f"Output {name!r} of signature {signature!r} has {found} where {n_rows} were asked for.")
        if not all(_is(row, kind) for row in rows):
            raise Internal(f"Output {name!r} of signature {signature!r} has values of the wrong type.")
    return {name: outputs[name] for name in expected}


def _is(value: Any, kind: Any) -> bool:
    if isinstance(kind, list):
        return isinstance(value, list) and all(_is(each, kind[0]) for each in value)
    if isinstance(kind, UnionType):
        return any(_is(value, each) for each in get_args(kind))
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (float, int) if kind is float else kind)
