"""The vocabulary against slow lookups, its file, and its TensorFlow twin."""

import doctest
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.pipeline import vocabulary
from charflow.pipeline.code_points import points_of
from charflow.pipeline.errors import UserError
from charflow.pipeline.vocabulary import CharacterLookup, Vocabulary

few = settings(max_examples=40)

# Line ends of every kind, the file's own marks, separators that Python's splitlines would split at, and the rest.
AWKWARD = {
    "marks": "\x02\x03",
    "line feed": "\n",
    "carriage return": "\r",
    "tab": "\t",
    "space": " ",
    "quote": '"',
    "backslash": "\\",
    "brackets of the tokens": "[]LFCRUNK",
    "NUL": "\0",
    "vertical tab and form feed": "\v\f",
    "next line U+0085": "\x85",
    "no-break space": "\xa0",
    "line separators U+2028 and U+2029": "\u2028\u2029",
    "byte order mark": "\ufeff",
    "replacement character": "\ufffd",
    "combining characters": "e\u0301\u0308",
    "astral": "😀\U0010ffff",
    "right-to-left": "שלום",
}
AWKWARD_TEXT = "".join(AWKWARD.values())
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(AWKWARD_TEXT), max_size=30)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vocabulary.txt"


def lookup_of(chars: str) -> CharacterLookup:
    return CharacterLookup(Vocabulary(chars))


def tensor(*texts: str) -> tf.Tensor:
    return tf.constant([text.encode() for text in texts], tf.string, shape=[len(texts)])


def test_vocabulary_examples_hold() -> None:
    assert doctest.testmod(vocabulary) == (0, 2)


@few
@given(text=ANY_TEXT.filter(bool))
def test_decode_of_encode_is_the_text(text: str) -> None:
    assert Vocabulary(text).decode(Vocabulary(text).encode(text)) == text


@few
@given(chars=ANY_TEXT.filter(bool), text=ANY_TEXT)
def test_encode_equals_the_slow_lookup(chars: str, text: str) -> None:
    places = {char: i for i, char in enumerate(sorted(set(chars)), start=1)}
    assert Vocabulary(chars).encode(text).tolist() == [places.get(char, 0) for char in text]


@few
@given(chars=ANY_TEXT.filter(bool), text=ANY_TEXT)
def test_character_lookup_equals_encode(tmp_path_factory: pytest.TempPathFactory, chars: str, text: str) -> None:
    lookup = lookup_of(chars)
    both = chars + text
    assert lookup.encode(tensor(both)).to_list() == [Vocabulary(chars).encode(both).tolist()]


@few
@given(chars=ANY_TEXT.filter(bool))
def test_load_gives_what_was_saved(tmp_path_factory: pytest.TempPathFactory, chars: str) -> None:
    file = tmp_path_factory.getbasetemp() / "saved.txt"
    Vocabulary(chars).save(file)
    assert Vocabulary.load(file).chars == tuple(sorted(set(chars)))


@pytest.mark.parametrize("chars", AWKWARD.values(), ids=AWKWARD.keys())
def test_awkward_characters_survive_the_file_and_the_lookup(chars: str, file: Path) -> None:
    expected = Vocabulary(chars)
    expected.save(file)
    lookup = lookup_of(chars)
    assert Vocabulary.load(file) == expected
    assert lookup.encode(tensor(chars)).to_list() == [expected.encode(chars).tolist()]
    assert b"".join(lookup.chars_of(tf.constant(expected.encode(chars), tf.int64)).numpy()).decode() == chars


def test_chars_are_sorted_and_distinct() -> None:
    assert Vocabulary("b😀aBa\n").chars == ("\n", "B", "a", "b", "😀")
    assert Vocabulary(["b", "a"]) == Vocabulary("abba")
    assert hash(Vocabulary("ba")) == hash(Vocabulary("ab"))
    assert Vocabulary("ab") != Vocabulary("abc")
    assert Vocabulary("ab") != ("a", "b")


def test_size_counts_the_unknown_id() -> None:
    assert Vocabulary("abc").size == 4


def test_unknown_characters_have_id_0_and_read_as_the_replacement_character() -> None:
    known = Vocabulary("ac")
    assert known.encode("abc\ud800").tolist() == [1, 0, 2, 0]
    assert known.decode([1, 0, 2]) == "a\ufffdc"
    assert known.unknown_chars("zcbz") == ["z", "b"]
    assert known.unknown_chars("ca") == []


def test_character_lookup_of_unknown_characters_and_ids() -> None:
    lookup = lookup_of("a\nc")
    assert lookup.encode(tensor("xa", "", "\nb")).to_list() == [[0, 2], [], [1, 0]]
    assert lookup.ids_of(tensor("c", "z", "\n")).numpy().tolist() == [3, 0, 1]
    chars = lookup.chars_of(tf.constant([[0, 1], [2, 3]], tf.int64)).numpy()
    assert chars.tolist() == [["\ufffd".encode(), b"\n"], [b"a", b"c"]]


def test_character_lookups_in_one_process_keep_to_their_own_vocabulary() -> None:
    before = lookup_of("ab")
    after = lookup_of("xy")
    assert before.encode(tensor("abxy")).to_list() == [[1, 2, 0, 0]]
    assert after.encode(tensor("abxy")).to_list() == [[0, 0, 1, 2]]
    assert after.chars_of(tf.constant([1, 2], tf.int64)).numpy().tolist() == [b"x", b"y"]


@pytest.mark.slow
def test_character_lookup_is_saved_with_its_file(tmp_path: Path) -> None:
    module = tf.Module()
    module.lookup = lookup_of("a\nb")
    module.encode = tf.function(
        lambda texts: module.lookup.encode(texts).to_tensor(), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, tmp_path / "saved")
    assert Vocabulary.load(tmp_path / "saved" / "assets" / "vocabulary.txt") == Vocabulary("a\nb")
    loaded = tf.saved_model.load(tmp_path / "saved")
    assert loaded.encode(tensor("ab\nz")).numpy().tolist() == [[2, 3, 1, 0]]


def test_encode_and_decode_of_nothing() -> None:
    known = Vocabulary("ab")
    assert known.encode("").shape == (0,)
    assert known.encode("").dtype == np.uint8
    assert known.decode([]) == ""
    assert known.decode(np.array([], np.uint8)) == ""


@pytest.mark.parametrize(
    ("n_chars", "dtype"),
    [(1, np.uint8), (255, np.uint8), (256, np.uint16), (65535, np.uint16), (65536, np.uint32)],
    ids=["1", "255", "256", "65535", "65536"],
)
def test_dtype_is_the_smallest_that_holds_every_id(n_chars: int, dtype: type) -> None:
    chars = [chr(0x10000 + i) for i in range(n_chars)]
    known = Vocabulary(chars)
    ids = known.encode("".join(chars))
    assert known.dtype == dtype
    assert ids.dtype == dtype
    assert ids.tolist() == list(range(1, n_chars + 1))
    assert known.decode(ids[-1:]) == chars[-1]


@pytest.mark.parametrize("wrong", [4, 1000, -1, -4], ids=["size", "far above", "-1", "-size"])
def test_decode_refuses_ids_that_are_not_in_the_vocabulary(wrong: int) -> None:
    with pytest.raises(IndexError, match=str(wrong)):
        Vocabulary("abc").decode([1, wrong])


def test_save_writes_one_character_a_line(file: Path) -> None:
    Vocabulary("\na\ré").save(file)
    assert file.read_bytes() == b"[LF]\n[CR]\na\n\xc3\xa9\n"


def test_file_has_names_for_marks(file: Path) -> None:
    vocabulary = Vocabulary("a\x02\x03")
    vocabulary.save(file)
    assert file.read_bytes() == b"[REPLY]\n[END]\na\n"
    assert Vocabulary.load(file) == vocabulary


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"a", b"a\nb", b"ab\n", b"b\na\n", b"a\na\n", b"a\r\nb\r\n", b"[UNK]\na\n", b"e\xcc\x81\n"],
    ids=[
        "empty",
        "empty line",
        "no line end",
        "no last line end",
        "two characters",
        "unsorted",
        "twice",
        "CRLF",
        "a token",
        "combined",
    ],
)
def test_load_refuses_what_save_does_not_write(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(UserError) as error:
        Vocabulary.load(file)
    assert str(error.value) == f"{file} is not a vocabulary: it needs one character a line, sorted and distinct."


@pytest.mark.parametrize("case", ["missing", "folder", "not UTF-8"])
def test_load_names_the_file_that_cannot_be_read(case: str, file: Path) -> None:
    if case == "folder":
        file.mkdir()
    elif case == "not UTF-8":
        file.write_bytes(b"a\n\xff\n")
    reason = {"missing": "No such file", "folder": "Is a directory", "not UTF-8": "invalid start byte"}[case]
    with pytest.raises(UserError) as error:
        Vocabulary.load(file)
    assert str(error.value).startswith(f"{file} is not a readable vocabulary: ")
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("min_count", "kept"), [(1, "abc"), (2, "bc"), (3, "c")], ids=["all", "twice or more", "three times"]
)
def test_from_counts_keeps_what_occurs_often_enough(min_count: int, kept: str) -> None:
    assert Vocabulary.from_counts(Counter("abbccc"), min_count=min_count) == Vocabulary(kept)


def test_from_counts_keeps_what_is_always_needed() -> None:
    assert Vocabulary.from_counts(Counter("abbccc"), min_count=3, always="ax") == Vocabulary("acx")


def test_from_counts_refuses_to_keep_nothing() -> None:
    with pytest.raises(UserError, match=r"^No character occurs 1,000 times\. Lower min_count\.$"):
        Vocabulary.from_counts(Counter("abbccc"), min_count=1000)


@pytest.mark.parametrize(
    ("chars", "message"),
    [
        ("", r"^A vocabulary needs at least one character\.$"),
        (["a", "bc"], r"^A vocabulary holds single characters, not 'bc'\.$"),
        (["", "a"], r"^A vocabulary holds single characters, not ''\.$"),
    ],
    ids=["none", "two in one", "empty"],
)
def test_vocabulary_refuses(chars: str | list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Vocabulary(chars)


EVERY_CHARACTER = "".join(chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)


@pytest.mark.slow
def test_every_character_of_unicode_comes_back(tmp_path: Path) -> None:
    every = Vocabulary(EVERY_CHARACTER)
    assert every.decode(every.encode(EVERY_CHARACTER)) == EVERY_CHARACTER
    assert np.array_equal(every.ids_of(points_of(EVERY_CHARACTER)), np.arange(1, every.size))
    every.save(tmp_path / "vocabulary.txt")
    assert Vocabulary.load(tmp_path / "vocabulary.txt") == every
    lookup = CharacterLookup(every)
    ids = lookup.encode(tf.constant([EVERY_CHARACTER])).flat_values
    assert np.array_equal(ids, np.arange(1, every.size))
    assert b"".join(lookup.chars_of(ids).numpy()).decode() == EVERY_CHARACTER


@pytest.mark.parametrize(
    "char", ["\ufeff", "\0", "\n", "\r", "\x85", "\u2028", "\ufdd0", "\uffff", "\u0301"], ids=ascii
)
def test_a_character_alone_comes_back(char: str, tmp_path: Path) -> None:
    alone = Vocabulary(char)
    alone.save(tmp_path / "vocabulary.txt")
    assert Vocabulary.load(tmp_path / "vocabulary.txt") == alone
    lookup = CharacterLookup(alone)
    assert lookup.encode(tf.constant([char, "x"])).to_list() == [[1], [0]]
    assert lookup.chars_of(tf.constant([1], tf.int64)).numpy()[0].decode() == char


@pytest.mark.parametrize("half", ["\ud800", "\udfff", "\udce9"], ids=ascii)
def test_vocabulary_refuses_half_a_character(half: str) -> None:
    with pytest.raises(UserError, match=r"^chars cannot be written as UTF-8: '"):
        Vocabulary(["a", half])


def test_lookup_reads_bytes_that_are_no_characters_as_unknown() -> None:
    lookup = CharacterLookup(Vocabulary("a\ufdd0"))
    for wrong in (b"\xed\xa0\x80", b"\xed\xb0\x80", b"\xff", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"):
        (ids,) = lookup.encode(tf.constant([b"a" + wrong + b"a"])).to_list()
        assert (ids[0], set(ids[1:-1]), ids[-1]) == (1, {0}, 1), wrong
