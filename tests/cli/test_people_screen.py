"""`charflow train --each-user`: a line for each run, and a table."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import Outcome

TINY = ["--units", 4, "--steps", 1, "--window-length", 8, "--from", "none", "--min-messages", 40]


@pytest.mark.usefixtures("_no_texts")
@pytest.mark.slow
def test_train_each_user_shows_every_run(call: Callable[..., Outcome], people_chat: Path, tmp_path: Path) -> None:
    (tmp_path / "people" / "bo").mkdir(parents=True)
    (tmp_path / "people" / "bo" / "letter.txt").touch()
    done = call("train", people_chat, "--each-user", "--out", tmp_path / "people", *TINY)
    assert done.status == 2
    assert "3 users to learn; 1 other with too few messages left out.\n" in done.err
    assert "ada: trained, " in done.err
    assert "bo: failed: " in done.err
    assert done.err.endswith(
        f"1 of 3 runs could not be made; the same command goes on from what is in {tmp_path / 'people'}.\n"
    )
    head, *rows = [line.split() for line in done.out.splitlines()]
    assert head == ["person", "characters", "bits/char", "base", "seconds", "state"]
    assert [(row[0], row[-1]) for row in rows] == [("ada", "trained"), ("bo", "failed"), ("Mira", "trained")]
    assert max(map(len, done.out.splitlines())) <= 80

    (tmp_path / "people" / "bo" / "letter.txt").unlink()
    figures = call("train", people_chat, "--each-user", "--out", tmp_path / "people", *TINY, "--json").json
    assert [person["state"] for person in figures["people"]] == ["kept", "trained", "kept"]
    assert (figures["left_out"], figures["base"]) == (1, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--each-user", "--user", "ada"], "--user is of no use with --each-user: leave it out."),
        (["--each-user", "--resume"], "--resume is of no use with --each-user: leave it out."),
        (["--min-messages", 3], "--min-messages is of no use without --each-user: leave it out."),
        (["--each-user", "--min-messages", 0], "--min-messages must be at least 1, not 0."),
        (
            ["--each-user", "--min-messages", 99],
            "Nobody has 99 messages: lower --min-messages. Most active: 'ada' (40), 'bo' (40), 'Mira K.' (40).",
        ),
    ],
)
def test_train_each_user_refuses(
    refused: Callable[..., str], people_chat: Path, tmp_path: Path, options: list[object], message: str
) -> None:
    assert refused("train", people_chat, "--out", tmp_path / "people", *options) == message
