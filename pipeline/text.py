"""Normalises message text with TensorFlow ops.

The one place where text changes between CSV and vocabulary: `corpus` maps it over messages and `export` traces it
into every signature, so a served prompt is treated exactly as the training text was.
"""

from dataclasses import dataclass

import tensorflow as tf

from charflow.pipeline.errors import UserError

UNICODE_FORMS = ("", "NFC", "NFKC")


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """What happens to a message's characters.

    Attributes:
        lowercase: lowercase by Unicode's simple mapping.
        case_fold: full Unicode case folding instead (ß becomes ss); needs tensorflow-text.
        unicode_form: "", "NFC" or "NFKC" normalisation, applied first; needs tensorflow-text.
    """

    lowercase: bool = True
    case_fold: bool = False
    unicode_form: str = ""

    def __post_init__(self) -> None:
        if self.unicode_form not in UNICODE_FORMS:
            raise UserError(f"Unknown Unicode form {self.unicode_form!r}: use NFC, NFKC, or nothing.")


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
        text = tf.strings.lower(text, encoding="utf-8")
    return text
