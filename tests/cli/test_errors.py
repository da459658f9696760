"""A user's mistakes: exit status 2, one line that says what to do, no traceback, nothing half-written."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from charflow.model.config import Config
from charflow.model.run.run_dir import RunDir

LITTLE = ["--units", 8, "--window-length", 20, "--steps", 6]


def everything_in(folder: Path) -> dict[str, bytes]:
    """Contents by name; the lock file, which has the number of the last process, does not count."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


# --- the chat


CHATS = {
    "missing file": (None, [], "{chat}: no such file."),
    "empty file": ([], [], "{chat} is empty: it has no header and no rows."),
    "header only": (["fromUser.id,text"], [], "{chat}: there is no readable row below the header."),
    "wrong text column": (
        ["id,fromUser.id,texts", "1,mira,hi"],
        [],
        "{chat}: no column 'text'. Columns are: 'id', 'fromUser.id', 'texts'. Pass --text-column texts.",
    ),
    "wrong user column": (
        ["who,text", "mira,hi"],
        [],
        "{chat}: no column 'fromUser.id'. Columns are: 'who', 'text'. Pass --user-column who.",
    ),
    "column asked for": (
        ["fromUser.id,text", "mira,hi"],
        ["--text-column", "body"],
        "{chat}: no column 'body'. Columns are: 'fromUser.id', 'text'. Pass --text-column text.",
    ),
    "no such user": (
        ["fromUser.id,text", *["mira,hi"] * 3, *["ada,hey"] * 2, "bram,YO", "bram,NO", "bram,OH", "bram,AH"],
        ["--user", "nobody"],
        "No messages from user 'nobody': 0 of 9 rows. Most active: 'bram' (4), 'mira' (3), 'ada' (2).",
    ),
    "unbalanced quote": (
        ["fromUser.id,text", "mira,hi", 'ada,"oh', "mira,there"],
        [],
        "{chat}, line 3: a quote opens here and is not closed properly. Pass --skip-bad-rows to leave it out.",
    ),
    "two unbalanced quotes": (
        ["fromUser.id,text", 'mira,"hi', 'ada,"oh', "mira,there"],
        [],
        "{chat}, line 2: a quote opens here and is not closed properly. It is the first of 2 such rows. "
        "Pass --skip-bad-rows to leave them out.",
    ),
    "too few fields": (
        ["fromUser.id,text", "mira,hi", "ada"],
        [],
        "{chat}, line 3: the row has 1 field where 2 are expected. Pass --skip-bad-rows to leave it out.",
    ),
    "not UTF-8": (
        ["fromUser.id,text", "mira,hi", b"ada,caf\xf0\x9f au lait"],
        [],
        "{chat}, line 3: the row has bytes that are not UTF-8. Pass --encoding cp1250 (it then reads 'cafđź'). Or "
        "pass --skip-bad-rows to leave it out.",
    ),
    "UTF-16": (
        ["fromUser.id,text".encode("utf-16-le")],
        [],
        "{chat} is UTF-16-LE without a byte order mark, not UTF-8.",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "explore"])
@pytest.mark.parametrize("case", CHATS)
def test_bad_chat_is_refused(
    refused: Callable, untrained: list[Config], write_chat: Callable, tmp_path: Path, case: str, command: str
) -> None:
    rows, options, expected = CHATS[case]
    chat = write_chat(*rows[1:], header=rows[0]) if rows else tmp_path / "chat.csv"
    if rows == []:
        chat.touch()
    out = ["--out", tmp_path / "run"] if command == "train" else []
    message = refused(command, chat, *out, *options)
    assert message.startswith(expected.format(chat=chat))
    assert not (tmp_path / "run").exists()


def test_column_names_of_several_lines_stay_on_one(refused: Callable, tmp_path: Path) -> None:
    chat = tmp_path / "chat.csv"
    chat.write_text('fromUser.id,"te\nxt"\nmira,hi\n')
    assert "no column 'text'" in refused("explore", chat)


def test_bad_rows_are_counted_when_they_are_skipped(
    call: Callable, untrained: list[Config], write_chat: Callable, tmp_path: Path
) -> None:
    chat = write_chat("mira,hi", 'ada,"oh', b"ada,caf\xe9 au lait", "mira,there")
    done = call("train", chat, "--out", tmp_path / "run", "--skip-bad-rows")
    facts = RunDir(tmp_path / "run").corpus_facts()
    assert done.status == 0
    assert (facts["rows"], facts["messages"], facts["dropped"]) == (4, 2, {"bad row": 2})


@pytest.mark.parametrize("command", ["train", "explore"])
def test_folder_without_a_chat_is_refused(
    refused: Callable, untrained: list[Config], tmp_path: Path, command: str
) -> None:
    out = ["--out", tmp_path / "run"] if command == "train" else []
    message = refused(command, tmp_path, *out)
    assert message.startswith(f"{tmp_path} holds no file in a format that charflow reads (")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "explore", "prepare"])
@pytest.mark.slow
def test_text_column_of_something_else_is_remarked_on(
    call: Callable, untrained: list[Config], write_chat: Callable, tmp_path: Path, command: str
) -> None:
    chat = write_chat(
        *["mira,2014-07-20T22:14:20.114Z", "mira,2015-01-01T00:00:00.000Z"] * 4, header="fromUser.id,sent"
    )
    folder = {
        "train": ["--out", tmp_path / "new"],
        "prepare": ["--to", tmp_path / "new"],
        "explore": ["--user", "mira"],
    }
    done = call(command, chat, "--text-column", "sent", *folder[command])
    assert done.status == 0
    assert "charflow: note: 68% of the text are digits: if these are dates or ids, name the messages" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--user", "--drop-user"])
@pytest.mark.parametrize("command", ["train", "explore", "prepare", "sweep"])
def test_user_whom_nobody_knows_is_refused(
    refused: Callable, untrained: list[Config], write_chat: Callable, tmp_path: Path, command: str, option: str
) -> None:
    chat = write_chat("mira,hi", "ada,hey", "bo,oh")
    folder = {"train": "--out", "sweep": "--out", "prepare": "--to"}.get(command)
    several = ["--drop-user", "bo"] if option == "--drop-user" else []
    options = [*several, option, "Mira", *([folder, tmp_path / "new"] if folder else [])]
    left_out = ", who should be left out" if option == "--drop-user" else ""
    assert refused(command, chat, *options) == f"No messages from user 'Mira'{left_out}; did you mean 'mira'?"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("key", ["users", "drop_users"])
def test_user_of_a_toml_file_whom_nobody_knows_is_refused(
    refused: Callable, untrained: list[Config], write_chat: Callable, tmp_path: Path, key: str
) -> None:
    (tmp_path / "a.toml").write_text(f'[corpus]\n{key} = ["ada", "mira "]\n')
    message = refused(
        "train", write_chat("mira,hi", "ada,hey"), "--out", tmp_path / "run", "--config", tmp_path / "a.toml"
    )
    assert message.startswith("No messages from user 'mira '")
    assert message.endswith("; did you mean 'mira'?")


@pytest.mark.slow
def test_corpus_shorter_than_a_window_is_refused(refused: Callable, write_chat: Callable, tmp_path: Path) -> None:
    chat = write_chat("mira,oh my dears")
    short = "The text has {} characters: too short for one window of {} and the character after it."
    advice = " Take more messages, or a smaller --window-length."
    assert refused("train", chat, "--out", tmp_path / "run") == short.format(11, 64) + advice
    assert refused("explore", chat, "--user", "mira") == short.format(11, 40) + advice
    assert not (tmp_path / "run").exists()


def test_filters_that_leave_nothing_are_refused(refused: Callable, write_chat: Callable, tmp_path: Path) -> None:
    chat = write_chat("mira,hi", "ada,hey", "mira,")
    message = refused("train", chat, "--out", tmp_path / "run", "--min-length", 9)
    assert message == ("No message is left of 3 rows (1 empty, 2 too short). Most active: 'mira' (2), 'ada' (1).")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("place", ["no folder", "no picture"])
def test_plot_that_cannot_be_written_is_refused(
    refused: Callable, write_chat: Callable, tmp_path: Path, place: str
) -> None:
    plot = {"no folder": tmp_path / "missing" / "users.png", "no picture": tmp_path / "users.xyz"}[place]
    message = refused("explore", write_chat("mira,hi"), "--plot", plot)
    assert str(plot.parent if place == "no folder" else plot.suffix.strip(".")) in message
    assert [child.name for child in tmp_path.iterdir()] == ["chat.csv"]


TARGETS = {
    "train": (["{chat}"], "--out", "the run"),
    "sweep": (["{chat}", "--trials", "1"], "--out", "the run"),
    "prepare": (["{chat}"], "--to", "the corpus"),
    "demo": ([], "--out", "the demo"),
    "export": (["{run}"], "--to", "the model's versions"),
}


@pytest.mark.parametrize("command", TARGETS)
def test_file_where_a_folder_is_meant_is_refused(
    refused: Callable, trained_run: Path, write_chat: Callable, tmp_path: Path, command: str
) -> None:
    words, option, content = TARGETS[command]
    chat = write_chat("mira,hi")
    given = [word.format(chat=chat, run=trained_run) for word in words]
    assert refused(command, *given, option, chat) == f"{chat} is a file: name a folder for {content}."
    (tmp_path / "link").symlink_to("gone")
    message = f"{tmp_path}/link is a link that points to nothing (gone): name a folder for {content}."
    assert refused(command, *given, option, tmp_path / "link") == message
    assert sorted(child.name for child in tmp_path.iterdir()) == ["chat.csv", "link"]


def test_every_option_for_a_folder_to_write_is_tried() -> None:
    from tests.cli.test_command_line import commands

    assert {name for name, command in commands() for each in command.params if each.name in ("out", "to")} == set(
        TARGETS
    )


@pytest.mark.parametrize("command", ["explore", "prepare", "train", "sweep", "evaluate", "bench train"])
def test_file_that_is_given_twice_is_refused(
    refused: Callable, trained_run: Path, write_chat: Callable, tmp_path: Path, command: str
) -> None:
    chat, link = write_chat(*["mira,oh my dears"] * 9), tmp_path / "link.csv"
    link.symlink_to(chat)
    words = {"train": ["--out"], "sweep": ["--out"], "prepare": ["--to"]}.get(command, [])
    first = [trained_run] if command == "evaluate" else []
    message = refused(*command.split(), *first, chat, link, *words, *[tmp_path / "new" for _ in words])
    assert message == f"{link} is given twice, as {chat} too: name it once, or its messages would count twice."
    assert not (tmp_path / "new").exists()


# --- the settings


SETTINGS = {
    "unknown preset": (["--preset", "best"], None, "Unknown preset 'best': use default or tutorial."),
    "missing config": (["--config", "none.toml"], None, "none.toml cannot be read: No such file or directory."),
    "unknown key": (
        [],
        "[network]\nunitz = 3\n",
        "{file}: unknown key 'network.unitz'. Keys of network: cell, units, layers, dropout, input_init.",
    ),
    "unknown table": ([], "[net]\nunits = 3\n", "{file}: unknown key 'net'. Keys of the file: data, corpus, "),
    "wrong type": ([], '[network]\nunits = "3"\n', "{file}: network.units must be a whole number, not '3'."),
    "float for int": (
        [],
        "[training]\nbatch_size = 32.5\n",
        "{file}: training.batch_size must be a whole number, not 32.5.",
    ),
    "number for list": ([], "[corpus]\nusers = 7\n", "{file}: corpus.users must be a text or a list of texts, not 7."),
    "value for table": ([], "network = 3\n", "{file}: network is a table of settings, not 3."),
    "value for training": ([], "training = 3\n", "{file}: training is a table of settings, not 3."),
    "no TOML": ([], "[network\n", "{file} is not TOML: "),
    "bad value in file": ([], '[network]\ncell = "rnn"\n', "{file}: network.cell must be lstm or gru, not 'rnn'."),
    "cell": (["--cell", "rnn"], None, "--cell must be lstm or gru, not 'rnn'."),
    "units": (["--units", 0], None, "--units must be at least 1, not 0."),
    "fraction": (["--fraction", 2], None, "--fraction must be above 0 and at most 1, not 2."),
    "held out": (["--held-out", 1], None, "--held-out must be at least 0 and below 1, not 1."),
    "kept and dropped": (["--user", "a", "--drop-user", "a"], None, "User 'a' is both kept and dropped."),
    "no end": (["--steps", 0], None, "A run needs an end: set --epochs, --steps or --time-limit."),
    "delimiter": (["--delimiter", ";;"], None, "--delimiter must be one character other than a quote"),
    "Unicode form": (["--unicode-form", "nfx"], None, "--unicode-form must be empty, NFC or NFKC, not 'NFX'."),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_bad_setting_is_refused(
    refused: Callable, untrained: list[Config], write_chat: Callable, tmp_path: Path, case: str
) -> None:
    options, content, expected = SETTINGS[case]
    file = tmp_path / "mine.toml"
    if content:
        file.write_text(content)
        options = ["--config", file]
    message = refused("train", write_chat("mira,hi"), "--out", tmp_path / "run", *options)
    assert message.startswith(expected.format(file=file))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--learning-rate", "nan"),
        ("--learning-rate", "inf"),
        ("--clip-norm", "nan"),
        ("--time-limit", "nan"),
        ("--beta-2", "nan"),
        ("--dropout", "nan"),
        ("--seed", 2**63),
        ("--seed", -1),
    ],
    ids=lambda value: str(value),
)
def test_number_that_is_none_or_does_not_fit_is_refused(
    refused: Callable, untrained: list[Config], write_chat: Callable, tmp_path: Path, option: str, value: object
) -> None:
    message = refused("train", write_chat("mira,hi"), "--out", tmp_path / "run", option, value)
    assert message.startswith(f"{option} must be ")
    assert not (tmp_path / "run").exists()


# --- the run folder


def test_run_folder_that_exists_is_refused_and_kept(refused: Callable, own_run: Path, sample_chat: str) -> None:
    before = everything_in(own_run)
    message = refused("train", sample_chat, "--out", own_run)
    assert message == f"{own_run} already holds a run: pass --resume to continue it, or name another folder."
    assert everything_in(own_run) == before


@pytest.mark.parametrize("kind", ["other files", "file"])
def test_out_that_is_something_else_is_refused_and_kept(
    refused: Callable, sample_chat: str, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("mine")
    out = {"other files": tmp_path, "file": file}[kind]
    says = {"other files": "holds other files: name a new or empty", "file": "is a file: name a"}[kind]
    assert refused("train", sample_chat, "--out", out) == f"{out} {says} folder for the run."
    assert everything_in(tmp_path) == {"mine.txt": b"mine"}


def test_resume_with_another_vocabulary_is_refused(refused: Callable, own_run: Path, write_chat: Callable) -> None:
    chat = write_chat(*["mira,oh my dears"] * 50)
    before = everything_in(own_run)
    assert refused("train", chat, "--out", own_run, "--resume", "--steps", 40) == (
        f"{own_run} was trained with another vocabulary (37 characters; the data now has 11): "
        "resume with the same data and filters, or name another folder."
    )
    assert everything_in(own_run) == before


@pytest.mark.parametrize(
    "arguments",
    [["generate"], ["evaluate"], ["export", "--to", "model"]],
    ids=["generate", "evaluate", "export"],
)
def test_folder_without_a_run_is_refused(
    refused: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command, *options = arguments
    message = refused(command, tmp_path, *options)
    assert message == f"{tmp_path} holds no run: it has no config.toml. Make one with charflow train."
    assert list(tmp_path.iterdir()) == []


def cut_short(run: Path, kind: str) -> None:
    """Cuts the newest checkpoints, best and latest, in half."""
    for place in ("best", "latest"):
        newest = tf.train.latest_checkpoint(str(run / "checkpoints" / place))
        file = Path(newest + kind)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


COMMANDS = {
    "generate": (["generate", "{run}"], "best"),
    "evaluate": (["evaluate", "{run}"], "best"),
    "export": (["export", "{run}", "--to", "{run}-model"], "best"),
    "resume": (["train", "{chat}", "--out", "{run}", "--resume", "--steps", "40"], "latest"),
}


@pytest.mark.parametrize("kind", [".data-00000-of-00001", ".index"], ids=["data", "index"])
@pytest.mark.parametrize("command", ["generate", "evaluate", "export"])
def test_checkpoint_cut_short_is_refused(
    refused: Callable, own_run: Path, sample_chat: str, command: str, kind: str
) -> None:
    cut_short(own_run, kind)
    before = everything_in(own_run)
    arguments, place = COMMANDS[command]
    message = refused(*(argument.format(run=own_run, chat=sample_chat) for argument in arguments))
    assert re.match(rf"The checkpoint {own_run}/checkpoints/{place}/ckpt-\d+ is damaged or cut short: ", message)
    assert everything_in(own_run) == before
    assert not Path(f"{own_run}-model").exists()


def test_resume_skips_a_damaged_checkpoint_with_a_warning(call: Callable, own_run: Path, sample_chat: str) -> None:
    cut_short(own_run, ".index")
    done = call("train", sample_chat, "--out", own_run, "--resume", "--steps", 31)
    assert done.status == 0, done.err
    assert re.search(r"charflow: warning: the checkpoint ckpt-\d+ is damaged; the one before it is taken\.", done.err)
    assert RunDir(own_run).read_metrics()[-1]["step"] == 31


@pytest.mark.parametrize("name", ["vocabulary.txt", "corpus.json", "metrics.jsonl", "config.toml"])
@pytest.mark.parametrize("command", ["evaluate", "export", "resume"])
def test_damaged_file_of_a_run_is_named(
    call: Callable, own_run: Path, sample_chat: str, monkeypatch: pytest.MonkeyPatch, name: str, command: str
) -> None:
    monkeypatch.setattr("charflow.export.check.check_in_fresh_process", lambda folder, **_: [])
    (own_run / name).write_text('{"half\n')
    arguments, _ = COMMANDS[command]
    done = call(*(argument.format(run=own_run, chat=sample_chat) for argument in arguments))
    if (name, command) == ("metrics.jsonl", "evaluate"):  # which does not need it
        assert done.status == 0
        return
    assert done.status == 2, done
    assert len(done.err.splitlines()) == 1
    assert str(own_run / name) in done.err
    assert not Path(f"{own_run}-model").exists()


# --- what goes wrong underway


@pytest.mark.slow
def test_loss_that_diverges_gives_advice(refused: Callable, sample_chat: str, tmp_path: Path) -> None:
    hopeless = ["--optimizer", "sgd", "--learning-rate", 1e38, "--clip-norm", 0, "--schedule", "constant"]
    message = refused(
        *["train", sample_chat, "--out", tmp_path / "run", "--user", "mira", *hopeless, *LITTLE, "--json"],
        underway=True,
    )
    advice = r"; start a new run with a lower --learning-rate \(it is 1e\+38\) or with --clip-norm 1\. "
    assert re.match(
        r"The loss diverged after step \d+: it is \S+ bits per character, where guessing takes \S+" + advice, message
    )
    assert message.endswith("No checkpoint was saved yet.")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_loss_that_diverges_does_not_replace_the_latest_checkpoint(
    refused: Callable, call: Callable, own_run: Path, sample_chat: str
) -> None:
    before = call("generate", own_run, "--length", 50).out
    kept = {name: content for name, content in everything_in(own_run).items() if name.startswith("checkpoints/")}
    config = (own_run / "config.toml").read_text()
    (own_run / "config.toml").write_text(re.sub("learning_rate = .*", "learning_rate = 3e38", config))
    options = ["--resume", "--steps", 1000, "--evaluations", 1000]  # evaluates, and saves, as soon as it can
    message = refused("train", sample_chat, "--out", own_run, *options, underway=True)
    assert message.startswith("The loss diverged after step ")
    after = {name: content for name, content in everything_in(own_run).items() if name.startswith("checkpoints/")}
    assert after == kept
    rows = RunDir(own_run).read_metrics()
    assert all(math.isfinite(row["held_out_part_bits"]) for row in rows)
    assert call("generate", own_run, "--length", 50).out == before


@pytest.mark.slow
def test_first_checkpoint_on_a_full_disk_leaves_no_half_of_it(
    call: Callable, refused: Callable, full_disk: Callable, sample_chat: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train = ["train", sample_chat, "--user", "mira", *LITTLE, "--units", 24, "--no-cache", "--out"]
    call(*train, tmp_path / "first")  # compiles what the suite keeps in a file
    with full_disk(20_000):
        message = refused(*train, run, underway=True)
    assert re.match(rf"The checkpoint of step \d+ could not be saved in {run}/checkpoints/\w+: ", message)
    assert "File too large" in message
    assert [name for name in everything_in(run) if name.startswith("checkpoints/")] == []


def test_full_disk_is_told_without_tensorflow_s_inner_words(
    refused: Callable, full_disk: Callable, trained_run: Path, tmp_path: Path
) -> None:
    with full_disk(1000):
        message = refused("export", trained_run, "--to", tmp_path / "model")
    assert "{{" not in message
    assert "Op:" not in message


def test_later_checkpoint_on_a_full_disk_keeps_the_one_before(
    call: Callable, refused: Callable, full_disk: Callable, own_run: Path, sample_chat: str
) -> None:
    text = call("generate", own_run, "--length", 50).out
    kept = {name: content for name, content in everything_in(own_run).items() if name.startswith("checkpoints/")}
    resume = ["train", sample_chat, "--out", own_run, "--resume", "--steps", 40]
    with full_disk(60_000):  # enough for the picture of the curves, not for a checkpoint
        message = refused(*resume, underway=True)
    assert "could not be saved" in message
    assert f"The checkpoint before it is intact: {own_run}/checkpoints/" in message
    after = {name: content for name, content in everything_in(own_run).items() if name.startswith("checkpoints/")}
    assert after == kept
    assert call("generate", own_run, "--length", 50).out == text
    done = call(*resume)  # the disk has room again
    assert done.status == 0, done.err
    assert RunDir(own_run).read_metrics()[-1]["step"] == 40


@pytest.mark.slow
def test_new_run_on_a_full_disk_can_be_tried_again(
    call: Callable, refused: Callable, untrained: list[Config], full_disk: Callable, sample_chat: str, tmp_path: Path
) -> None:
    command = ["train", sample_chat, "--out", tmp_path / "run", "--no-cache"]
    with full_disk(400):
        message = refused(*command)
    assert str(tmp_path / "run") in message
    done = call(*command)
    assert done.status == 0, done.err


def test_resume_on_a_full_disk_keeps_the_settings(
    call: Callable, refused: Callable, untrained: list[Config], full_disk: Callable, own_run: Path, sample_chat: str
) -> None:
    before = everything_in(own_run)
    with full_disk(200):
        message = refused("train", sample_chat, "--out", own_run, "--resume", "--steps", 40, "--no-cache")
    assert str(own_run) in message
    assert everything_in(own_run) == before


@pytest.mark.slow
def test_curves_on_a_full_disk_are_named(
    call: Callable, refused: Callable, full_disk: Callable, sample_chat: str, tmp_path: Path
) -> None:
    train = ["train", sample_chat, "--user", "mira", *LITTLE, "--units", 4, "--no-cache", "--out"]
    call(*train, tmp_path / "first")  # compiles what the suite keeps in a file, larger than those of the run
    with full_disk(20_000):  # a checkpoint of 4 units takes 13 kB, the picture more than 30
        message = refused(*train, tmp_path / "run", underway=True)
    assert str(tmp_path / "run") in message
    assert [name for name in everything_in(tmp_path / "run") if name.endswith(".png")] == []


def test_cache_on_a_full_disk_is_named(
    refused: Callable, untrained: list[Config], full_disk: Callable, sample_chat: str, tmp_path: Path
) -> None:
    command = ["train", sample_chat, "--out", tmp_path / "run", "--cache", tmp_path / "cache"]
    with full_disk(20_000):
        message = refused(*command)
    assert message.startswith(f"The corpus cache {tmp_path}/cache cannot be written (")
    assert "(None)" not in message
    assert message.endswith("): free some room. Or name another folder with --cache, or pass --no-cache.")
    assert everything_in(tmp_path / "cache") == {}
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_plot_on_a_full_disk_is_named(
    refused: Callable, full_disk: Callable, write_chat: Callable, tmp_path: Path
) -> None:
    plot = tmp_path / "users.png"
    with full_disk(1000):
        message = refused("explore", write_chat("mira,hi"), "--plot", plot)
    assert str(plot) in message
    assert not plot.exists()


def test_export_into_a_folder_with_something_else_is_refused(
    refused: Callable, trained_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    message = refused("export", trained_run, "--to", tmp_path)
    assert message == (
        f"{tmp_path} holds something other than model versions (mine.txt): name another folder, or empty this one."
    )
    assert everything_in(tmp_path) == {"mine.txt": b"mine"}


def test_export_on_a_full_disk_leaves_nothing(
    refused: Callable, full_disk: Callable, trained_run: Path, tmp_path: Path
) -> None:
    with full_disk(50_000):
        message = refused("export", trained_run, "--to", tmp_path / "model")
    assert message.startswith(f"Version 1 could not be written to {tmp_path}/model: ")
    assert "File too large" in message
    assert list(tmp_path.iterdir()) == []


def test_temperature_below_zero_is_refused_before_the_run_is_read(refused: Callable) -> None:
    message = refused("generate", "no-run", "--temperature", -0.5)
    assert message == "--temperature must be at least 0, not -0.5 (0 is greedy)."


def test_model_that_does_not_fit_into_memory_is_refused(
    refused: Callable, sample_chat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object, **__: Any) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nwith shape[1000000000]")

    monkeypatch.setattr("charflow.model.training.steps.Network", no_room)
    message = refused("train", sample_chat, "--out", tmp_path / "run", "--units", 10**9)
    assert "memory" in message
    assert not (tmp_path / "run").exists()
