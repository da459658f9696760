"""What is noticed about long messages."""

import json
from dataclasses import asdict

import pytest

from charflow.pipeline.formats.long_messages import LongMessage, LongMessages, Noticed

ROWS = {
    "rows": ("\n".join(["hi", *["1,mira,now,ok"] * 20, "2,ada,now"]), 4, True),
    "three rows of many columns": ("\n".join(["hi", *["1,mira,now,ok"] * 3, "2"]), 4, True),
    "three rows of two columns": ("\n".join(["hi", *["mira,ok"] * 3, "2"]), 2, False),
    "twenty rows of two columns": ("\n".join(["hi", *["mira,ok"] * 20, "2"]), 2, True),
    "rows with CRLF": ("\r\n".join(["hi", *["1,mira,now,ok"] * 20, "2"]), 4, True),
    "prose": ("\n".join(["well, I think", "that this is", "long, and good, or not", "so"] * 9), 2, False),
    "code": ("\n".join(["def f(a, b):", "    return a", "", "x = f(1, 2)"] * 9), 2, False),
    "one line": ("1,mira,now,ok", 4, False),
}


@pytest.mark.parametrize(("text", "columns", "suspicious"), ROWS.values(), ids=ROWS)
def test_look_into_suspects_lines_that_look_like_rows(text: str, columns: int, suspicious: bool) -> None:
    long = LongMessages("chat.csv", ",", columns)
    long.look_into(7, ["mira", text])
    assert [message.line for message in long.swallowing] == ([7] if suspicious else [])


def test_see_keeps_the_first_of_the_longest() -> None:
    long = LongMessages("chat.csv", ",", 2)
    for line, text in enumerate(["a", "b\r\nc\rd\ne", "1234567"], start=2):
        long.see(line, text)
    assert long.noticed() == Noticed(LongMessage("chat.csv", 3, 4, 8))
    assert str(long.longest) == "8 characters in 4 lines (chat.csv, line 3)"
    assert str(LongMessage("chat.csv", 1_234, 1, 1)) == "1 character (chat.csv, line 1,234)"
    assert str(LongMessage("chat.txt", 0, 1, 1)) == "1 character (chat.txt)"


@pytest.mark.parametrize(
    "noticed", [Noticed(), Noticed(LongMessage("a", 1, 2, 3), (LongMessage("b", 4, 5, 6),))], ids=["nothing", "both"]
)
def test_noticed_comes_back_from_its_table(noticed: Noticed) -> None:
    assert Noticed.from_table(json.loads(json.dumps(asdict(noticed)))) == noticed
    assert Noticed.from_table({}) == Noticed()
    assert Noticed.of_all([noticed, Noticed(LongMessage("c", 1, 1, 1))]).swallowing == noticed.swallowing
