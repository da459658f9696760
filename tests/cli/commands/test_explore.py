"""`charflow explore` against pandas."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from rich.cells import cell_len

from charflow.pipeline.formats.messages import read_messages
from charflow.pipeline.marks import END
from charflow.pipeline.scrub import KINDS


def counted(table: pd.DataFrame) -> list[dict]:
    """The most active users, most messages first, as a list of rows."""
    groups = table.assign(characters=table["text"].str.len()).groupby("fromUser.id", sort=False)["characters"]
    users = groups.agg(messages="size", characters="sum").sort_values("messages", ascending=False, kind="stable")
    return users.reset_index(names="user").head(10).assign(names=[[]] * min(len(users), 10)).to_dict("records")


def longest(table: pd.DataFrame, path: str) -> dict:
    """The longest message; its line is told by what stands above it."""
    place = int(table["text"].str.len().to_numpy().argmax())
    above = table.iloc[:place].to_csv(index=False).replace("\r\n", "\n")
    text = table["text"][place]
    return {"path": path, "line": above.count("\n") + 1, "lines": text.count("\n") + 1, "characters": len(text)}


NO_SECRETS = [
    {"kind": noun, "count": 0, "messages": 0, "examples": []} for noun in dict.fromkeys(kind.noun for kind in KINDS)
]


@pytest.mark.slow
def test_explore_json_equals_pandas(call: Callable, sample_chat: str, sample_table: pd.DataFrame) -> None:
    done = call("explore", sample_chat, "--json")
    assert (done.status, done.err) == (0, "")
    assert done.json == {
        "rows": len(sample_table),
        "users": sample_table["fromUser.id"].nunique(),
        "characters": int(sample_table["text"].str.len().sum()),
        "dropped_rows": 0,
        "repeated_headers": 0,
        "longest": longest(sample_table, sample_chat),
        "swallowing": [],
        "chats": [],
        "empty_messages": int((sample_table["text"] == "").sum()),
        "most_active": counted(sample_table),
        "secrets": NO_SECRETS,
    }


@pytest.mark.slow
def test_explore_shows_the_same_as_a_table(call: Callable, sample_chat: str, sample_table: pd.DataFrame) -> None:
    done = call("explore", sample_chat)
    words = [line.split() for line in done.out.splitlines()]
    assert (done.status, done.err) == (0, "")
    assert ["rows", f"{len(sample_table):,}"] in words
    assert ["characters", f"{sample_table['text'].str.len().sum():,}"] in words
    start = words.index(["user", "messages", "characters"]) + 1
    expected = [[row["user"], f"{row['messages']:,}", f"{row['characters']:,}"] for row in counted(sample_table)]
    assert words[start : start + len(expected)] == expected


@pytest.mark.slow
def test_explore_leaves_dropped_users_out_of_the_table(
    call: Callable, sample_chat: str, sample_table: pd.DataFrame
) -> None:
    done = call("explore", sample_chat, "--drop-user", "mira", "--drop-user", "buildbot", "--json")
    kept = sample_table[~sample_table["fromUser.id"].isin(["mira", "buildbot"])]
    assert done.json["most_active"] == counted(kept)
    assert done.json["rows"] == len(sample_table)


@pytest.mark.slow
def test_explore_user_equals_pandas(call: Callable, sample_chat: str, sample_table: pd.DataFrame) -> None:
    done = call("explore", sample_chat, "--user", "mira", "--window-length", 30, "--window-shift", 7, "--json")
    texts = sample_table.loc[sample_table["fromUser.id"] == "mira", "text"].tolist()
    told = [text.lower() for text in texts if text]
    text, train_text = ("".join(each + END for each in part) for part in (told, told[: len(told) - len(told) // 10]))
    user = done.json["user"]
    windows = len(range(0, len(train_text) - 30, 7))
    assert user == {
        "user": "mira",
        "ids": ["mira"],
        "messages": len(texts),
        "characters": sum(map(len, texts)),
        "distinct_characters": len(set(text)),
        "windows": windows,
        "corpus_bytes": len(text),
        "one_hot_bytes": windows * 31 * len(set(text)),
        "first": texts[:20],
        "secrets": NO_SECRETS,
        "first_windows": [],
    }


@pytest.mark.slow
def test_explore_user_is_shown_with_the_first_messages(
    call: Callable, sample_chat: str, sample_table: pd.DataFrame
) -> None:
    done = call("explore", sample_chat, "--user", "ada", "--window-length", 10)
    texts = sample_table.loc[sample_table["fromUser.id"] == "ada", "text"].tolist()
    assert done.status == 0
    assert "\nUser ada:\n" in done.out
    assert "First 20 messages:\n  1  " + texts[0].replace("\n", "\n     ") in done.out
    assert " 20  " + texts[19].split("\n")[0] in done.out
    assert " 21  " not in done.out


@pytest.mark.slow
def test_explore_shows_the_first_windows_and_the_next_characters(call: Callable, write_chat: Callable) -> None:
    chat = write_chat("mira,One plan", "mira,two plans", "mira,and a third plan", "mira,four")
    done = call("explore", chat, "--user", "mira", "--window-length", 8, "--windows", 2)
    assert done.out.endswith(
        "\nFirst 2 windows, and the next character:\n  1  'one plan' → [END]\n  2  ' plan\\x03tw' → 'o'\n"
    )
    assert "windows, and" not in call("explore", chat, "--user", "mira", "--window-length", 8).out


@pytest.mark.slow
def test_explore_shows_masked_what_scrub_replaces(call: Callable, write_chat: Callable) -> None:
    chat = write_chat("mira,see http://a.example or http://b.example @ada", "ada,mira@example.com it is", "ada,@ada")
    done = call("explore", chat, "--user", "mira", "--window-length", 5)
    words = [line.split() for line in done.out.splitlines()]
    assert ["link", "ht•••••••••e", "2", "2"] in words
    assert ["e-mail", "address", "mi•••••••••m", "0", "1"] in words
    assert ["mention", "@•••", "1", "2"] in words
    assert max(map(cell_len, done.out.partition("What --scrub")[2].splitlines())) <= 80
    assert "\nWhat --scrub replaces:\n" in done.out


@pytest.mark.parametrize("options", [[], ["--scrub"]], ids=["as it is", "scrubbed"])
@pytest.mark.slow
def test_explore_counts_what_scrub_replaces_either_way(call: Callable, write_chat: Callable, options: list) -> None:
    chat = write_chat("mira,see http://a.example/x @ada @ada now", "ada,call me", "ada,@ada")
    done = call("explore", chat, "--user", "mira", "--window-length", 5, *options, "--json")
    found = {each["kind"]: each for each in done.json["secrets"] if each["count"]}
    own = {each["kind"]: each["count"] for each in done.json["user"]["secrets"] if each["count"]}
    assert (found["mention"]["count"], found["mention"]["messages"], found["link"]["count"]) == (3, 2, 1)
    assert own == {"link": 1, "mention": 2}
    remark = "The text holds 1 link and 2 mentions: --scrub puts placeholders in their place."
    assert (remark in " ".join(done.err.split())) == (not options)


@pytest.mark.slow
def test_explore_says_where_there_is_nothing_to_replace(call: Callable, sample_chat: str) -> None:
    assert "\nNothing that --scrub replaces was found.\n" in call("explore", sample_chat).out


@pytest.mark.parametrize("name", ["users.png", "users.PNG"], ids=["png", "PNG"])
@pytest.mark.slow
def test_explore_plot_draws_a_png_where_it_says(call: Callable, sample_chat: str, tmp_path: Path, name: str) -> None:
    plot = tmp_path / name
    done = call("explore", sample_chat, "--plot", plot)
    assert (done.status, done.err) == (0, "")
    assert [child.name for child in tmp_path.iterdir()] == [name]
    assert plot.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert f"Bar chart: {plot}\n" in done.out


@pytest.mark.slow
def test_explore_plot_and_json_go_together(call: Callable, sample_chat: str, tmp_path: Path) -> None:
    done = call("explore", sample_chat, "--json", "--plot", tmp_path / "users.png")
    assert done.json["users"] == 7
    assert (tmp_path / "users.png").exists()


@pytest.mark.slow
def test_explore_skips_counts_and_names_bad_rows(call: Callable, write_chat: Callable) -> None:
    chat = write_chat("mira,hi", 'ada,"oh no', b"bram,caf\xe9", "tomas", "mira,again")
    figures = call("explore", chat, "--skip-bad-rows", "--json").json
    assert (figures["rows"], figures["dropped_rows"]) == (2, 3)
    shown = call("explore", chat, "--skip-bad-rows").out
    assert f"  {chat}, line 3: a quote opens here and is not closed properly\n" in shown
    assert f"  {chat}, line 4: the row has bytes that are not UTF-8\n" in shown
    assert f"  {chat}, line 5: the row has 1 field where 2 are expected\n" in shown


@pytest.mark.parametrize(
    ("header", "row", "options"),
    [
        ("who,when,what", "mira,now,hi", ["--user-column", "who", "--text-column", "what"]),
        ("fromUser.id;text", "mira;hi", ["--delimiter", ";"]),
        ("fromUser.id\ttext", "mira\thi", ["--delimiter", "\\t"]),
        ("mira,hi", "mira,hi", ["--no-header", "--user-column", 0, "--text-column", 1]),
    ],
    ids=["columns", "semicolon", "tab", "no header"],
)
@pytest.mark.slow
def test_explore_reads_other_forms(
    call: Callable, write_chat: Callable, header: str, row: str, options: list[object]
) -> None:
    chat = write_chat(row, header=header)
    messages = 2 if "--no-header" in options else 1
    figures = call("explore", chat, *options, "--json").json
    assert figures["most_active"] == [{"user": "mira", "names": [], "messages": messages, "characters": 2 * messages}]


@pytest.mark.slow
def test_explore_reads_many_files(call: Callable, write_chat: Callable, tmp_path: Path) -> None:
    write_chat("mira,hi", name="a.csv")
    write_chat("mira,there", "ada,yes", name="b.csv")
    figures = call("explore", tmp_path / "*.csv", "--json").json
    assert figures["most_active"][0] == {"user": "mira", "names": [], "messages": 2, "characters": 7}


@pytest.mark.slow
def test_explore_bounds_what_it_shows_of_a_long_message(call: Callable, write_chat: Callable) -> None:
    chat = write_chat("mira,hi", "mira," + "oh my " * 100_000, "mira,bye")
    done = call("explore", chat, "--user", "mira")
    assert done.status == 0
    assert len(done.out) < 2500
    assert "oh m… (600,000 characters)\n  3  bye\n" in done.out
    first = call("explore", chat, "--user", "mira", "--json").json["user"]["first"]
    assert [len(text) for text in first] == [2, 1000 + len("… (600,000 characters)"), 3]


@pytest.mark.slow
def test_explore_reads_a_chat_once(call: Callable, write_chat: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = write_chat("mira,hi there", 'ada,"oh no', "mira,again and again")
    reads = []

    def counted(*arguments: object) -> object:
        reads.append(arguments)
        return read_messages(*arguments)

    monkeypatch.setattr("charflow.pipeline.formats.messages.read_messages", counted)
    monkeypatch.setattr("charflow.pipeline.corpus.corpus.read_messages", counted)
    done = call("explore", chat, "--skip-bad-rows", "--user", "mira", "--window-length", 5)
    assert (done.status, done.err, len(reads)) == (0, "", 1)


@pytest.mark.slow
def test_explore_plot_names_what_no_font_has(call: Callable, write_chat: Callable, tmp_path: Path) -> None:
    done = call("explore", write_chat("mira \U00030000,hi"), "--plot", tmp_path / "users.png")
    assert done.status == 0
    assert done.err == (
        f"charflow: note: no font here has '\U00030000': {tmp_path}/users.png shows boxes. "
        "Noto Sans CJK has most of the world.\n"
    )


@pytest.mark.slow
def test_explore_shows_a_chat_as_it_stands(call: Callable, write_chat: Callable, tmp_path: Path) -> None:
    ids = ["[/bo]", "[red]", ":smile:", "mira ", "", "\x1b[31mred", "x" * 10_000, "ada"]
    chat = write_chat(*(f'"{user}","[link=x] :tada: \x1b]0;title\x07 \r\nand {"x" * 300}"' for user in ids))
    done = call("explore", chat, "--user", "[/bo]", "--window-length", 5, "--plot", tmp_path / "[red]x.png")
    assert done.status == 0, done.err
    table = done.out.partition("Most active:\n")[2].partition("\n\n")[0].splitlines()[1:]
    assert [line.rsplit(maxsplit=2)[0].strip() for line in table] == [
        *["[/bo]", "[red]", ":smile:", "'mira '", "''", r"'\x1b[31mred'", f"'{'x' * 32}…' (10,000 characters)", "ada"]
    ]
    assert "\nUser [/bo]:\n" in done.out
    assert "  1  [link=x] :tada: \\x1b]0;title\\x07 \n     and xxx" in done.out
    assert f"Bar chart: {tmp_path}/[red]x.png\n" in done.out


@pytest.mark.slow
@pytest.mark.parametrize(
    "user",
    ["x" * 58, "x" * 59, "x" * 61, "x" * 9000, "界" * 29, "界" * 61, " " * 56, " " * 70],
    ids=["whole", "too wide", "long", "longest", "Chinese", "long Chinese", "blank", "long blank"],
)
def test_explore_shows_ids_of_any_length_in_80_columns(
    call: Callable, terminal: Callable, write_chat: Callable, user: str
) -> None:
    chat = write_chat(*[f'"{user}",{"oh my dears " * 40}'] * 40, "ada,hi")
    assert call("explore", chat, "--json").json["most_active"][0]["user"] == user
    _, screen = terminal(80)
    assert call("explore", chat).status == 0
    table = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).partition("Most active:")[2].splitlines()
    assert max(map(cell_len, table)) <= 80
    (row,) = [line for line in table if "19,200" in line]
    whole = user if user.strip() else f"'{user}'"
    assert row.startswith(whole) if cell_len(whole) <= 58 else f"({len(user):,} characters)" in row


@pytest.mark.slow
def test_explore_reads_whatsapp_and_shows_what_was_left_out(call: Callable, tmp_path: Path) -> None:
    chat = tmp_path / "chat.txt"
    lines = ["Mira joined", f"Mira: <{'界 ' * 40}>", "Mira: <a\x1bb\tc>", "Mira: good evening"]
    chat.write_text("".join(f"24/12/19, 11:23 - {line}\n" for line in lines))
    done = call("explore", str(chat))
    said = f"{chat} is WhatsApp, Android, day first: 1 message of 1 person, 1 system line and 2 media marks left out."
    assert (done.status, done.err.split()) == (0, ["charflow:", *said.split()])
    heads, *rows = [line.rstrip() for line in done.out.splitlines() if re.match(r"left out|\d+ [a-z]", line)]
    assert (heads, rows[0]) == ("left out       such as", "1 system line  Mira joined")
    assert re.fullmatch(r"2 media marks  Mira: <(界 ){10,20}界?…", rows[1])
    assert cell_len(rows[1]) <= 80
    chats = call("explore", str(chat), "--json").json["chats"]
    assert chats[0]["left_out"][0] == {"reason": "system line", "count": 1, "example": "Mira joined"}


@pytest.mark.parametrize("names", [["mira", "Mira"], ["m" * 80, "x"], ["", ""], ["界" * 40, "mira ", "b"]])
@pytest.mark.slow
def test_explore_shows_names_beside_ids_in_80_columns(
    call: Callable, terminal: Callable, write_chat: Callable, names: list[str]
) -> None:
    rows = [f'"{"54ee77ff15522ed4b3dc7cbb"}","{name}",{"oh my dears " * 40}' for name in names] * 40
    chat = write_chat(*rows, "ada,Ada,hi", header="fromUser.id,fromUser.username,text")
    shown = call("explore", chat, "--json").json["most_active"]
    assert [row["names"] for row in shown] == [[name for name in names if name], ["Ada"]]
    _, screen = terminal(80)
    assert call("explore", chat).status == 0
    table = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).partition("Most active:")[2].splitlines()
    assert max(map(cell_len, table)) <= 80
    assert table[1].split() == ["user", "called", "messages", "characters"]
    assert table[2].startswith("54ee77ff15522ed4b3dc7cbb ")
    assert ("mira, Mira" in table[2]) == (names == ["mira", "Mira"])


@pytest.mark.slow
def test_explore_joins_users_and_takes_names(call: Callable, write_chat: Callable) -> None:
    chat = write_chat(*["id7,mira,hello there", "id8,bo,hi", "id9,mira2,bye"] * 9, header="fromUser.id,name,text")
    done = call("explore", chat, "--user", "mira", "--user", "id9", "--window-length", 5, "--drop-user", "bo")
    assert (done.status, "\nUser id7, id9:\nmessages             18\n" in done.out) == (0, True)
