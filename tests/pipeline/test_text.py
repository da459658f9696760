"""Normalisation by TensorFlow ops against Python's own."""

import doctest
import os
import subprocess
import sys
import unicodedata
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from charflow.pipeline import text as text_module
from charflow.pipeline.errors import UserError
from charflow.pipeline.text import normalise, normalise_batch
from charflow.pipeline.text_settings import TextSettings

few = settings(max_examples=40)

# Old, settled blocks: Python's and TensorFlow's Unicode versions differ on newer characters.
LETTERS = st.characters(min_codepoint=1, max_codepoint=0x52F, exclude_categories=["Cn"]) | st.sampled_from(
    "ΑΣς İIı ẞ 𐐀 Ꭰ ﬁ 😀 \n"
)
SIGNS = st.characters(max_codepoint=0x2FFF, exclude_categories=["Cn", "Cs"])


def normalised(*texts: str, **settings: Any) -> list[str]:
    encoded = tf.constant([text.encode() for text in texts])
    return [text.decode() for text in normalise(encoded, TextSettings(**settings)).numpy()]


def without_invisible(text: str) -> str:
    """What is left of the first code points, where U+00AD alone is invisible."""
    return text.replace("\xad", "")


def test_text_examples_hold() -> None:
    assert doctest.testmod(text_module) == (0, 2)


@few
@given(text=st.text(LETTERS))
def test_normalise_lowercases_like_python(text: str) -> None:
    assert normalised(text) == [without_invisible(text).lower()]
    assert normalised(text, keep_invisible=True) == [text.lower()]


ODD = [
    "",
    "A\0B",
    "\0",
    "É\0E",
    "\x7f\x1b",
    "I",
    "İ",
    "ΑΣ",
    "\xadA",
    "a\ufeff",
    "ﬁ",
    "A@B.Example",
    "https://A.example/Ä",
]


@pytest.mark.slow
@few
@given(
    texts=st.lists(st.sampled_from(ODD) | st.text(LETTERS) | st.text(st.characters(max_codepoint=127)), max_size=6),
    options=st.fixed_dictionaries(
        {
            "lowercase": st.booleans(),
            "case_fold": st.booleans(),
            "unicode_form": st.sampled_from(["", "NFC", "NFKC"]),
            "keep_invisible": st.booleans(),
            "scrub": st.booleans(),
        }
    ),
)
@example(texts=ODD, options={"case_fold": True})
@example(texts=ODD, options={"unicode_form": "NFKC"})
@example(texts=ODD, options={"lowercase": False, "scrub": True})
def test_normalise_batch_is_normalise(texts: list[str], options: dict) -> None:
    batch = tf.constant([text.encode() for text in texts], tf.string)
    assert [text.decode() for text in normalise_batch(batch, TextSettings(**options)).numpy()] == (
        normalised(*texts, **options) if texts else []
    )


@pytest.mark.parametrize(
    "text",
    ["A\0B \0", "A\ufdd0B", "\ufdd0\ufdd1 \ufdd0\ufdd2", "\ufdd0\0\0\ufdd1\ufdd2\ufdd0", "ΑΣ\0Σ", "ΑΣ\ufdd0Σ"],
    ids=ascii,
)
def test_normalise_keeps_nuls_and_noncharacters(text: str) -> None:
    assert normalised(text) == [text.lower()]


EVERY_CHARACTER = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]


@pytest.mark.slow
def test_normalise_changes_nothing_but_case_in_all_of_unicode() -> None:
    texts = [f"a{char}b" for char in EVERY_CHARACTER]
    lowered = normalised(*texts, keep_invisible=True)
    changed = [char for text, char, low in zip(texts, EVERY_CHARACTER, lowered) if low not in (text, text.lower())]
    assert changed == []
    behind = sum(low != text.lower() for text, low in zip(texts, lowered))
    assert behind < 100  # pairs of letters that are newer than TensorFlow's Unicode


@pytest.mark.slow
def test_normalise_leaves_out_what_is_invisible_in_all_of_unicode() -> None:
    left = normalised(*(f"a{char}b" for char in EVERY_CHARACTER), lowercase=False)
    gone = [char for char, text in zip(EVERY_CHARACTER, left) if text == "ab"]
    assert all(text in ("ab", f"a{char}b") for char, text in zip(EVERY_CHARACTER, left))
    assert {unicodedata.category(char) for char in gone} == {"Cf", "Cn"}  # format, and kept for such
    assert set("\ufeff\u200b\u200e\u200f\u2060\xad\u202a\u2069").issubset(gone)
    assert len(gone) == 80


@pytest.mark.parametrize(
    "text",
    ["👩‍💻", "👨‍👩‍👧‍👦", "❤️‍🔥", "☺︎", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👋🏽", "🇳🇴", "می‌خواهم", "क्‍ष", "葛󠄀", "ᠠ᠋", "e\u0301\u034f\u0323"],
    ids=ascii,
)
@pytest.mark.parametrize("form", ["", "NFC"])
def test_normalise_keeps_what_emoji_and_scripts_are_joined_with(text: str, form: str) -> None:
    expected = unicodedata.normalize(form, text) if form else text
    assert normalised(f"\ufeffa\u200b{text}", lowercase=False, unicode_form=form) == [f"a{expected}"]


@few
@given(text=st.text(LETTERS))
def test_normalise_can_leave_text_as_it_is(text: str) -> None:
    assert normalised(text, lowercase=False, keep_invisible=True) == [text]


@few
@given(text=st.text(SIGNS), form=st.sampled_from(["NFC", "NFKC"]))
def test_normalise_to_a_unicode_form_like_python(text: str, form: str) -> None:
    settings = {"unicode_form": form, "lowercase": False, "keep_invisible": True}
    assert normalised(text, **settings) == [unicodedata.normalize(form, text)]


@pytest.mark.parametrize(
    ("form", "expected"),
    [("", "℡ a\u030a \u212b"), ("NFC", "℡ å Å"), ("NFKC", "TEL å Å")],
    ids=["no form", "NFC", "NFKC"],
)
def test_normalise_to_a_unicode_form_by_example(form: str, expected: str) -> None:
    assert normalised("℡ a\u030a \u212b", unicode_form=form, lowercase=False) == [expected]


def test_normalise_lowercases_after_the_unicode_form() -> None:
    assert normalised("℡", unicode_form="NFKC") == ["tel"]


@pytest.mark.parametrize("lowercase", [True, False], ids=["and lowercase", "alone"])
@pytest.mark.parametrize("word", ["Straße", "ΤΈΛΟΣ τέλος", "ŉ ǰ", "ЖЁЛТЫЙ", "ﬁn", "𐐀𐐨", "ΐ"])
def test_normalise_folds_case_like_python(word: str, lowercase: bool) -> None:
    folded = unicodedata.normalize("NFC", word.casefold())
    assert normalised(word, case_fold=True, lowercase=lowercase) == [folded]


def test_normalise_folds_case_with_compatibility_as_tensorflow_text_does() -> None:
    assert normalised("x² ½\xa0\xad!", case_fold=True) == ["x2 1\u20442 !"]


@pytest.mark.parametrize("shape", [[], [0], [3], [2, 2], [1, 0, 2]], ids=str)
@pytest.mark.parametrize("options", [{}, {"unicode_form": "NFC"}, {"case_fold": True}], ids=["lower", "NFC", "fold"])
def test_normalise_keeps_the_shape(shape: list[int], options: dict) -> None:
    result = normalise(tf.fill(shape, "Å"), TextSettings(**options))
    assert result.shape == shape
    assert set(result.numpy().flatten()) <= {"å".encode()} if shape else result.numpy() == "å".encode()


@pytest.mark.parametrize("options", [{}, {"unicode_form": "NFKC"}, {"case_fold": True}], ids=["lower", "NFKC", "fold"])
@pytest.mark.slow
def test_normalise_traced_into_a_graph_equals_eager(options: dict) -> None:
    traced = tf.function(
        lambda texts: normalise(texts, TextSettings(**options)), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    texts = ["ΑΣ Straße", "", "Ⅷ ﬁ İ"]
    assert [text.decode() for text in traced(tf.constant(texts)).numpy()] == normalised(*texts, **options)


def test_normalise_lowercases_the_same_in_every_country() -> None:
    program = (
        "import tensorflow as tf\n"
        "from charflow.pipeline.text import TextSettings, normalise\n"
        "print(normalise(tf.constant('I WILL'), TextSettings()).numpy().decode().encode('ascii', 'backslashreplace'))"
    )
    turkey = os.environ | {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"}
    result = subprocess.run([sys.executable, "-c", program], env=turkey, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "b'i will'"


@pytest.mark.parametrize("form", ["NFD", "nfc", "utf-8"])
def test_text_settings_refuse_an_unknown_form(form: str) -> None:
    with pytest.raises(UserError, match=rf"^unicode_form must be empty, NFC or NFKC, not '{form}'\.$"):
        TextSettings(unicode_form=form)
