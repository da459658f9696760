"""Normalises message text with TensorFlow ops.

The one place where text changes between CSV and vocabulary: `corpus` maps it over messages and `export` traces it
into every signature, so a served prompt is treated exactly as the training text was.
"""

from dataclasses import dataclass
from typing import Literal

import tensorflow as tf

from charflow.pipeline.settings import check

UnicodeForm = Literal["", "NFC", "NFKC"]
_STAND_IN = "\ufdd0"


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """What happens to a message's characters.

    Attributes:
        lowercase: lowercase by Unicode's full mapping (a final Σ becomes ς), in every locale the same.
        case_fold: NFKC_Casefold instead (ß becomes ss, ² becomes 2, soft hyphens vanish); needs tensorflow-text.
        unicode_form: "", "NFC" or "NFKC" normalisation, applied first; needs tensorflow-text.
    """

    lowercase: bool = True
    case_fold: bool = False
    unicode_form: UnicodeForm = ""

    def __post_init__(self) -> None:
        check(self)


def normalise(text: tf.Tensor, settings: TextSettings) -> tf.Tensor:
    """Applies `settings` to a string tensor of any shape; the shape stays.

    >>> normalise(tf.constant(["Hi THERE"]), TextSettings()).numpy().tolist()
    [b'hi there']
    """
    if settings.unicode_form or settings.case_fold:
        import tensorflow_text  # only where it is asked for: it costs half a second to load

        if settings.unicode_form:
            text = tensorflow_text.normalize_utf8(text, settings.unicode_form)
        if settings.case_fold:
            text = tensorflow_text.case_fold_utf8(text)
    if settings.lowercase and not settings.case_fold:
        text = _lower(text)
    return text


def _lower(text: tf.Tensor) -> tf.Tensor:
    """Lowercases like Python; the op alone follows the process's locale and stops at a NUL character."""
    # What Turkish rules lowercase otherwise goes first: I here, İ there. A NUL goes through as a noncharacter.
    text = tf.strings.regex_replace(tf.strings.lower(text), "\u0130", "i\u0307")
    text = tf.strings.lower(tf.strings.regex_replace(text, r"\x00", _STAND_IN), encoding="utf-8")
    return tf.strings.regex_replace(text, _STAND_IN, "\0")
