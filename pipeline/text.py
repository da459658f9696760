"""Normalises message text with TensorFlow ops.

The one place where text changes between CSV and vocabulary: `corpus` maps it over messages and `export` traces it
into every signature, so a served prompt is treated exactly as the training text was.
"""

from dataclasses import replace

import tensorflow as tf

from charflow.pipeline.scrub import scrub
from charflow.pipeline.settings import checked
from charflow.pipeline.text_settings import TextSettings
from charflow.text_ops import case_fold_utf8, normalize_utf8

# Signs without shape, width or meaning of their own, as files and copied text bring them along: byte order marks, soft
# hyphens, zero width spaces, marks of direction, and what Unicode keeps for such. Not those that change what is seen:
# joiners (emoji of several people, Persian, the scripts of India), variation selectors, tags (flags), fillers.
_INVISIBLE = (
    r"[\x{ad}\x{61c}\x{200b}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2060}-\x{206f}\x{feff}\x{fff0}-\x{fff8}"
    r"\x{1bca0}-\x{1bca3}\x{1d173}-\x{1d17a}\x{e0000}-\x{e001f}]"
)

# How a NUL gets past an op that stops at it: as one noncharacter and another; that one itself gets a third.
_ESCAPES = (("\ufdd0", "\ufdd0\ufdd1"), ("\0", "\ufdd0\ufdd2"))


@checked
def normalise(text: tf.Tensor, settings: TextSettings) -> tf.Tensor:
    """Applies `settings` to a string tensor of any shape; the shape stays.

    >>> normalise(tf.constant(["Hi THERE"]), TextSettings()).numpy().tolist()
    [b'hi there']
    """
    if not settings.keep_invisible:
        text = tf.strings.regex_replace(text, _INVISIBLE, "")
    if settings.unicode_form:
        text = normalize_utf8(text, settings.unicode_form)
    if settings.case_fold:
        text = case_fold_utf8(text)
    if settings.lowercase and not settings.case_fold:
        text = _lower(text)
    return scrub(text) if settings.scrub else text


def normalise_batch(texts: tf.Tensor, settings: TextSettings) -> tf.Tensor:
    """Does the same with strings [B] in a quarter of the time where most are ASCII, as chats of many languages are.

    Of ASCII, only the case can change, and the op that knows no other letters is the faster one.

    >>> normalise_batch(tf.constant(["Hi", "\u00c9T\u00c9"]), TextSettings()).numpy().tolist()
    [b'hi', b'\\xc3\\xa9t\\xc3\\xa9']
    """
    beyond = tf.where(tf.strings.length(texts) != tf.strings.length(texts, unit="UTF8_CHAR"))  # [K, 1]
    others = normalise(tf.gather_nd(texts, beyond), replace(settings, scrub=False))
    plain = tf.strings.lower(texts) if settings.lowercase or settings.case_fold else texts
    normalised = tf.tensor_scatter_nd_update(plain, beyond, others)
    return scrub(normalised) if settings.scrub else normalised


def _lower(text: tf.Tensor) -> tf.Tensor:
    """Lowercases like Python; the op alone follows the process's locale and stops at a NUL character."""
    # What Turkish rules lowercase otherwise goes first: I here, İ there.
    text = tf.strings.regex_replace(tf.strings.lower(text), "\u0130", "i\u0307")
    for char, escape in _ESCAPES:
        text = tf.strings.regex_replace(text, char, escape)
    text = tf.strings.lower(text, encoding="utf-8")
    for char, escape in reversed(_ESCAPES):
        text = tf.strings.regex_replace(text, escape, char)
    return text
