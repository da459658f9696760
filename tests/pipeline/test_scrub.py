"""What is replaced by placeholders, kind by kind, and what only looks like it."""

import doctest
import re
import time

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from charflow.pipeline import scrub as module
from charflow.pipeline.scrub import KINDS, Kind, count_finds, finds_in, scrub
from charflow.pipeline.text import normalise
from charflow.pipeline.text_settings import TextSettings

# Of each placeholder: texts that are one whole find, and texts without any.
FOUND = {
    "link": [
        "http://a.example",
        "https://mira:secret@host.example:8443/path?q=1&x=a@b.example#top",
        "HTTPS://EXAMPLE.COM/",
        "ftp://files.example/x",
        "http://localhost:3000/",
        "https://de.wikipedia.org/wiki/Moor_(Landschaft)",
        "https://bücher.example/straße",
        "www.example.org",
        "www.a.example/b",
        "example.com",
        "chat.example.io/room",
        "shop.co.uk",
        "youtu.be/dQw4w9W",
        "git@github.com:mira/pump.git",
    ],
    "email": [
        "mira@example.com",
        "Mira.B+toad@mail.sub.example.co.uk",
        "müller@bücher.example",
        "x@xn--bcher-kva.example",
        "a_b%c@d-e.org",
        "test@пример.рф",
    ],
    "iban": [
        "DE89 3704 0044 0532 0130 00",
        "de89370400440532013000",
        "GB29 NWBK 6016 1331 9268 19",
        "FR14 2004 1010 0505 0001 3M02 606",
        "NL91ABNA0417164300",
        "NO93 8601 1117 947",
        "IT60X0542811101000000123456",
    ],
    "card": [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5555555555554444",
        "378282246310005",
        "3782 822463 10005",
        "3056 930902 5904",
    ],
    "ip": [
        "192.168.1.17",
        "10.0.0.1",
        "8.8.8.88",
        "255.255.255.255",
        "2001:db8::1",
        "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
        "fe80::1ff:fe23:4567:890a",
        "FD12:3456:789A::",
    ],
    "phone": [
        "+49 (0)170 1234567",
        "+491701234567",
        "+1-555-123-4567",
        "+1 (555) 123-4567",
        "+7 (999) 123-45-67",
        "+33 6 12 34 56 78",
        "0049 170 1234567",
        "(555) 123-4567",
        "555-123-4567",
        "555.123.4567",
        "1 800 555 1234",
        "0170/1234567",
        "0170 1234567",
        "01701234567",
        "(030) 12345678",
        "030 1234 5678",
        "06 12 34 56 78",
        "07700 900123",
    ],
    "name": ["@mira", "@Mira-B_7", "@0x0936"],
}
KEPT = {
    "link": ["node.js", "foo.py", "e.g. this", "index.js/app.js", "this.name", "array.push(x)", "a.com.txt", "and/or"],
    "email": ["a@b", "x @ y", "lodash@4.17.1", "pkg@1.2.3", "M@N.T", "a@"],
    "iban": ["DE89", "ab12cdef0123456789abcdef", "54ee77ff15522ed4b3dc7cbb", "in20 minutes"],
    "card": ["1424915071329", "0.4111111111111111", "1,000,000", "1234 5678 9012", "9111 1111 1111 1111", "2024-01-02"],
    "ip": [
        "1.2.3.4",
        "v10.2.3.4",
        "version 10.0.19041.1",
        "1.2.3",
        "300.1.1.1",
        "10:30",
        "12:34:56",
        "2015:10:30",
        "std::vector",
        "a::b",
        "dead::beef",
        "fade::in",
        "::1",
    ],
    "phone": [
        "1,000,000",
        "2024-01-02",
        "01/02/2015",
        "10:30",
        "1424915071",
        "0123456789",
        "0010101010",
        "54ee77ff15522ed4b3dc7cbb",
        "100-200-3000",
        "1 + 1234567",
        "x+1234567",
        "00042",
        "3.14159265358",
    ],
    "name": ["npm i @scope/pkg", "a@b", "@", "@ mira", "C#@-", "foo@@bar/x"],
}


def scrubbed(*texts: str) -> list[str]:
    return [text.decode() for text in scrub(tf.constant([text.encode() for text in texts])).numpy()]


def test_scrub_examples_hold() -> None:
    assert doctest.testmod(module) == (0, 2)


def test_kinds_all_have_examples() -> None:
    assert {kind.name for kind in KINDS} == set(FOUND) == set(KEPT)


def test_kinds_have_placeholders_that_are_found_by_none() -> None:
    for kind in KINDS:
        assert kind.placeholder == kind.placeholder.lower()
        assert kind.placeholder.isascii() and kind.placeholder.isprintable()
        assert len(kind.placeholder) <= 7
        assert scrubbed(kind.placeholder) == [kind.placeholder]


@pytest.mark.parametrize(("name", "find"), [(name, find) for name, finds in FOUND.items() for find in finds], ids=ascii)
def test_scrub_replaces_a_find_wherever_it_stands(name: str, find: str) -> None:
    shown = f"<{name}>"
    around = ["{}", "see {}", "{} is it", "({})", "x, {}, y", "{}!", "{}\n", "ж {} ж", "\x03{}\x03", "{} {}", "[a]({})"]
    assert scrubbed(*(text.format(find, find) for text in around)) == [text.format(shown, shown) for text in around]


@pytest.mark.parametrize("text", [text for texts in KEPT.values() for text in texts], ids=ascii)
def test_scrub_keeps_what_only_looks_like_a_find(text: str) -> None:
    assert scrubbed(text, f"so {text} it is") == [text, f"so {text} it is"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("read http://a.example/b.", "read <link>."),
        ("read http://a.example/b, or (http://c.example)?", "read <link>, or (<link>)?"),
        ("[![x](https://a.example/x.png)](https://a.example)", "[![x](<link>)](<link>)"),
        ("**http://a.example**", "**<link>**"),
        ("<http://a.example>", "<<link>>"),
        ("mailto:mira@example.com", "mailto:<email>"),
        ("Mira <mira@example.com>", "Mira <<email>>"),
        ("http://a.example/?to=mira@example.com", "<link>"),
        ("@mira @ada,@bram", "<name> <name>,<name>"),
        ("@mira's", "<name>'s"),
        ("10.0.0.1:8080 10.0.0.2", "<ip>:8080 <ip>"),
        ("tel:+491701234567", "tel:<phone>"),
        ("DE89 3704 0044 0532 0130 00 is mine", "<iban> is mine"),
        ("it is example.com.", "it is <link>."),
    ],
)
def test_scrub_leaves_what_stands_around_a_find(text: str, expected: str) -> None:
    assert scrubbed(text) == [expected]


PIECES = [text for texts in (*FOUND.values(), *KEPT.values()) for text in texts]
PIECES += [piece for text in PIECES for piece in (text[:3], text[-3:])] + list("<>@:/.,-_+()[]'\"\n\x03é 0a")
PIECES += [kind.placeholder for kind in KINDS]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=8).map("".join), min_size=20))
@pytest.mark.slow
def test_scrub_twice_is_scrub_once(texts: list[str]) -> None:
    once = scrubbed(*texts)
    assert scrubbed(*once) == once


def assert_nothing_is_missed(texts: list[bytes]) -> None:
    left, counts = tf.constant(texts), []
    for kind in KINDS:  # the plain way: each looks at every text
        counts.append([len(finds) for finds in kind.finds(left) if finds])
        left = kind.replaced(left)
    assert scrub(tf.constant(texts)).numpy().tolist() == left.numpy().tolist()
    assert [found.numpy().tolist() for _, found in finds_in(tf.constant(texts))] == counts


def as_python(pattern: str) -> str:
    """A pattern of RE2 for `re`, of fewer letters: what it finds RE2 finds, too."""
    for classes, letters in ((r"\pL", "a-zäжſK"), (r"\pN", "0-9²"), (r"\p{Z}", " ")):
        pattern = pattern.replace(classes, letters)
    return pattern


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=8).map("".join), min_size=20))
@pytest.mark.slow
def test_scrub_misses_nothing_that_patterns_find_in_every_text(texts: list[str]) -> None:
    assert_nothing_is_missed([text.encode() for text in texts])


@settings(max_examples=10, deadline=None)
@given(st.data())
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.slow
def test_kinds_need_only_what_all_their_finds_have(kind: Kind, data: st.DataObject) -> None:
    made = st.from_regex(re.compile(as_python(kind.pattern), re.IGNORECASE | re.ASCII), fullmatch=True)
    texts = [text.encode() for text in data.draw(st.lists(made, min_size=5, max_size=5))]
    finds = kind.finds(tf.constant(texts))
    assert any(finds)
    needed = tf.strings.regex_full_match(texts, rf"(?i)\C*(?:{kind.needs})\C*").numpy().tolist()
    assert [text for text, found, seen in zip(texts, finds, needed, strict=True) if found and not seen] == []


def test_scrub_reads_what_is_no_utf8() -> None:
    texts = [b"\xff @mira \xc3", b"\xff", b"\xed\xa0\x80 http://a.example \x80 +49 170 1234567\xc0"]
    assert scrub(tf.constant(texts)).numpy().tolist() == [
        b"\xff <name> \xc3",
        b"\xff",
        b"\xed\xa0\x80 <link> \x80 <phone>\xc0",
    ]


@given(st.text(alphabet=st.characters(categories=["L", "Zs"]), max_size=50))
def test_scrub_changes_no_plain_words(text: str) -> None:
    assert scrubbed(text) == [text]


@pytest.mark.parametrize(
    "piece",
    ["a", "1", "@", ".", "a.", "1 ", "a@", "(", "http://", "a:", "0170 ", "+1", "::", "a.com.", "de89 ", "@a-", "(0)"],
)
def test_scrub_takes_linear_time(piece: str) -> None:
    begun = time.monotonic()
    scrubbed(piece * (300_000 // len(piece)))
    assert time.monotonic() - begun < 30  # what backtracks takes hours


def test_scrub_keeps_the_shape() -> None:
    assert scrub(tf.fill([2, 3], "@mira")).numpy().tolist() == [[b"<name>"] * 3] * 2


def test_normalise_scrubs_last() -> None:
    fullwidth = "MIRA\u200b＠EXAMPLE．COM"
    on = TextSettings(scrub=True, unicode_form="NFKC")
    assert normalise(tf.constant(fullwidth), on).numpy() == b"<email>"
    assert normalise(tf.constant("@Mira"), TextSettings()).numpy() == b"@mira"


def test_count_finds_counts_by_kind() -> None:
    text = "@mira: see http://a.example or \ufdd3 example.com, not 1.2.3.4"
    assert count_finds(text) == {"link": 2, "mention": 1}
    assert count_finds("nothing") == {}
