"""`charflow train`: what a run folder holds, which settings win, and stopping and going on."""

import contextlib
import importlib
import io
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from charflow.model.config import Config
from charflow.model.presets import preset
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.corpus.corpus import build_corpus
from charflow.pipeline.tables import override
from charflow.pipeline.vocabulary import Vocabulary

HELD_OUT = "held_out_part_bits"


def lines_of(rows: list[str], count: int) -> list[str]:
    return rows * (count // len(rows))


@pytest.fixture
def chat(write_chat: Callable) -> Path:
    """Sixty short messages of three users, enough for windows of 10."""
    return write_chat(*lines_of(["mira,oh my dears", "ada,a plan", "bot,build passed"], 60))


def config_of(folder: Path) -> Config:
    return RunDir(folder).load()[0]


# --- what a run leaves behind


def test_train_writes_the_run_folder(trained_run: Path) -> None:
    assert {child.name for child in trained_run.iterdir() if not child.name.startswith(".")} == {
        *["config.toml", "vocabulary.txt", "corpus.json", "metrics.jsonl", "curves.png"],
        *["placement.json", "losses.f32", "result.json"],
        *["samples", "checkpoints", "logs"],
    }
    assert {child.name for child in (trained_run / "checkpoints").iterdir()} == {"best", "latest"}
    assert (trained_run / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [file.name[:19] for file in (trained_run / "logs").iterdir()] == ["events.out.tfevents"]


def test_train_writes_samples_at_four_temperatures(trained_run: Path) -> None:
    names = {file.name for file in (trained_run / "samples").iterdir()}
    step = RunDir(trained_run).read_result()["best_step"]
    assert names == {f"step-{step:08d}-temperature-{t}.txt" for t in ("0.2", "0.5", "1", "1.2")}
    for name in names:
        seed_text, _, text = (trained_run / "samples" / name).read_text(encoding="utf-8").partition("|")
        assert (len(seed_text), len(text)) == (40, 401)  # and the line end


def test_train_writes_the_vocabulary_and_the_facts_of_its_corpus(trained_run: Path, sample_chat: str) -> None:
    corpus = build_corpus(sample_chat, replace(preset("default").corpus, users=("mira",)))
    assert Vocabulary.load(trained_run / "vocabulary.txt") == corpus.vocabulary
    assert RunDir(trained_run).corpus_facts() == corpus.facts()


def test_train_writes_a_row_an_evaluation(trained_run: Path) -> None:
    rows = RunDir(trained_run).read_metrics()
    steps = [row["step"] for row in rows]
    assert steps == sorted(set(steps))
    assert steps[-1] == 30
    assert rows[-1][HELD_OUT] < rows[0][HELD_OUT]


def test_train_json_has_the_figures(trained: tuple) -> None:
    folder, done = trained
    rows = RunDir(folder).read_metrics()
    facts = RunDir(folder).corpus_facts()
    figures = done.json
    assert figures["run"] == str(folder)
    assert (figures["reason"], figures["steps"]) == ("finished", 30)
    assert figures["bits_per_char"] == pytest.approx(min(row[HELD_OUT] for row in rows))
    (best,) = (row for row in rows if row["step"] == figures["best_step"])
    assert figures["train_bits_per_char"] == best["train_bits"]
    assert figures["held_out_characters"] == facts["held_out_characters"]
    assert 0 < figures["accuracy"] < 1
    assert figures["windows_per_second"] > 0
    assert 0 < figures["longest_copied_run"] < 40
    assert figures["seconds"] >= rows[-1]["elapsed"]


def test_train_leaves_nothing_in_the_temporary_folder(trained: tuple) -> None:
    folder, _ = trained
    assert list((folder.parent / "tmp").iterdir()) == []


def test_train_tells_its_plan_and_nothing_of_tensorflow(trained: tuple) -> None:
    _, done = trained
    lines = done.err.splitlines()
    assert [line.split()[0] for line in lines[:8]] == [
        *["messages", "longest", "characters", "windows", "weights", "memory", "computes", "ends"],
    ]
    assert lines[6].split(maxsplit=2)[2] == "CPU:0 under OneDeviceStrategy"
    assert "229 of 600 rows (371 other user)" in lines[0]
    assert lines[7].split() == ["ends", "after", "30", "steps"]
    known = r"Bits per character.*| +step +epoch .*| +[\d,]+ .*|This will take about .*|evaluating .* …|looking .* …"
    assert [line for line in lines[8:] if not re.fullmatch(known, line)] == []


# --- which settings win


@pytest.mark.slow
def test_train_without_options_is_the_default_preset(
    call: Callable, untrained: list[Config], chat: Path, tmp_path: Path
) -> None:
    assert call("train", chat, "--out", tmp_path / "run").status == 0
    assert untrained == [override(preset("default"), {"data": (str(chat),), "training": {"memory": "off"}})]
    assert config_of(tmp_path / "run") == untrained[0]


def test_train_takes_the_tutorial_preset(call: Callable, untrained: list[Config], chat: Path, tmp_path: Path) -> None:
    assert call("train", chat, "--out", tmp_path / "run", "--preset", "tutorial").status == 0
    assert untrained == [replace(preset("tutorial"), data=(str(chat),))]
    training = untrained[0].training
    assert (training.window_length, training.targets, training.optimizer, training.epochs) == (
        40,
        "next",
        "rmsprop",
        15,
    )
    assert untrained[0].corpus.fraction == 0.2


def test_train_puts_options_over_the_file_and_the_file_over_the_preset(
    call: Callable, untrained: list[Config], chat: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[corpus]\nusers = ["ada"]\n[corpus.text]\nlowercase = false\n'
        "[network]\nunits = 5\nlayers = 2\n[training]\nbatch_size = 7\n"
    )
    options = ["--preset", "tutorial", "--config", file, "--units", 6, "--user", "mira", "--seed", 3]
    assert call("train", chat, "--out", tmp_path / "run", *options).status == 0
    config = config_of(tmp_path / "run")
    assert config == untrained[0]
    assert (config.network.units, config.corpus.users, config.training.seed) == (6, ("mira",), 3)  # option
    assert (config.network.layers, config.training.batch_size, config.corpus.text.lowercase) == (2, 7, False)  # file
    assert (config.training.optimizer, config.corpus.fraction) == ("rmsprop", 0.2)  # preset


LIMITS = [
    ([], None, (15, 0, 0.0)),
    (["--steps", 7], None, (0, 7, 0.0)),
    (["--epochs", 2], None, (2, 0, 0.0)),
    (["--time-limit", 9], None, (0, 0, 9.0)),
    (["--epochs", 2, "--time-limit", 9], None, (2, 0, 9.0)),
    ([], "steps = 50", (0, 50, 0.0)),
    (["--epochs", 3], "steps = 50", (3, 0, 0.0)),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "in_file", "limits"),
    LIMITS,
    ids=["preset", "steps", "epochs", "time", "epochs and time", "file", "option over file"],
)
def test_train_limits_replace_those_of_what_is_below(
    call: Callable,
    untrained: list[Config],
    chat: Path,
    tmp_path: Path,
    options: list[object],
    in_file: str | None,
    limits: tuple[int, int, float],
) -> None:
    if in_file:
        (tmp_path / "mine.toml").write_text(f"[training]\n{in_file}\n")
        options = [*options, "--config", tmp_path / "mine.toml"]
    done = call("train", chat, "--out", tmp_path / "run", "--preset", "tutorial", *options)
    assert done.status == 0, done.err
    training = untrained[0].training
    assert (training.epochs, training.steps, training.time_limit) == limits


@pytest.mark.slow
def test_train_keeps_and_drops_several_users(
    call: Callable, untrained: list[Config], chat: Path, tmp_path: Path
) -> None:
    assert call("train", chat, "--out", tmp_path / "a", "--user", "ada", "--user", "mira").status == 0
    assert call("train", chat, "--out", tmp_path / "b", "--drop-user", "bot").status == 0
    assert [config.corpus.users for config in untrained] == [("ada", "mira"), ()]
    assert untrained[1].corpus.drop_users == ("bot",)
    facts = [RunDir(tmp_path / name).corpus_facts() for name in "ab"]
    assert [fact["messages"] for fact in facts] == [40, 40]
    assert [fact["dropped"] for fact in facts] == [{"other user": 20}, {"dropped user": 20}]


def test_train_remembers_its_data_wherever_it_is_called(
    call: Callable, untrained: list[Config], chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("train", chat.name, "--out", "run").status == 0
    assert config_of(tmp_path / "run").data == (str(chat),)


def test_train_takes_a_folder_that_is_empty(
    call: Callable, untrained: list[Config], chat: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    assert call("train", chat, "--out", tmp_path / "run").status == 0


def test_train_reads_the_cache_the_second_time(
    call: Callable, untrained: list[Config], chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    assert call("train", chat, "--out", tmp_path / "a", "--cache", cache).status == 0
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr("charflow.pipeline.corpus.corpus.read_messages", None)  # reading again would fail
    assert call("train", chat, "--out", tmp_path / "b", "--cache", cache).status == 0
    assert RunDir(tmp_path / "a").corpus_facts() == RunDir(tmp_path / "b").corpus_facts()


@pytest.mark.slow
def test_train_without_cache_writes_none(
    call: Callable, untrained: list[Config], chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert call("train", chat, "--out", tmp_path / "a", "--no-cache").status == 0
    assert not (tmp_path / "cache").exists()
    assert call("train", chat, "--out", tmp_path / "b").status == 0
    assert (tmp_path / "cache").exists()


# --- starting from another run

TINY = ["--units", 4, "--window-length", 10, "--batch-size", 4, "--sample-every", 0]


@pytest.mark.slow
def test_train_from_a_run_says_what_it_starts_from_and_what_is_new(
    call: Callable, trained_run: Path, write_chat: Callable, tmp_path: Path
) -> None:
    chat = write_chat(*lines_of(["ada,oh my dears \N{SNOWMAN}", "ada,the beans are growing"], 40))
    options = ["--user", "ada", "--from", trained_run, "--steps", 2, "--evaluations", 1]
    done = call("train", chat, "--out", tmp_path / "run", *options)
    assert done.status == 0, done.err
    assert (
        "note: 20 characters of the text (2.78%) are new to the run that this one starts from, and read as [UNK]."
        in done.err
    )
    assert re.search(rf"^starts from +{trained_run}$", done.err, re.MULTILINE), done.err
    rows = [line.split() for line in done.err.splitlines() if re.match(r" +[02] ", line)]
    assert [len(row) for row in rows] == [6, 7]  # before the first step there is no loss of training
    assert Vocabulary.load(tmp_path / "run" / "vocabulary.txt") == Vocabulary.load(trained_run / "vocabulary.txt")
    again = call("train", chat, "--out", tmp_path / "run", "--resume", "--from", trained_run, "--steps", 3)
    assert again.status == 0, again.err
    figures = call("evaluate", tmp_path / "run", "--json").json
    assert figures["base_bits_per_char"] == pytest.approx(
        RunDir(tmp_path / "run").read_metrics()[0][HELD_OUT], abs=1e-4
    )
    assert "the run that it started from" in call("evaluate", tmp_path / "run").out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--units", 25], "{run} was trained with other settings: leave --units out, or start from another run."),
        (["--keep-case"], "{run} was trained with other settings: leave --keep-case out, or start from another run."),
        (
            ["--held-out", 0.2],
            "{run} was trained with other settings: leave --held-out out, or start from another run.",
        ),
        (["--preset", "tutorial"], "--preset is of no use with --from: that run's settings count; leave it out."),
        (["--fraction", 0.5], "--from takes all messages, so that none held out were learned: leave --fraction out."),
        (["--from", "none at all"], "none at all holds no run: it has no config.toml. Make one with charflow train."),
    ],
    ids=["units", "case", "held out", "preset", "fraction", "no run"],
)
def test_train_from_a_run_refuses(
    refused: Callable, trained_run: Path, sample_chat: str, tmp_path: Path, options: list[object], message: str
) -> None:
    words = ["train", sample_chat, "--out", tmp_path / "run", "--user", "ada", "--from", trained_run, "--steps", 1]
    assert refused(*words, *options) == message.format(run=trained_run)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_train_of_one_among_many_learns_everybody_first_and_once(
    call: Callable, sample_chat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charflow.model.training.everybody._LEAST", 10_000)
    monkeypatch.setattr("charflow.model.training.everybody._A_SECOND", 10_000)
    monkeypatch.setattr("charflow.model.training.everybody._LEAST_SECONDS", 1)
    options = ["--time-limit", 2, *TINY, "--cache", tmp_path / "cache"]
    first = call("train", sample_chat, "--out", tmp_path / "a", "--user", "bram", *options)
    assert first.status == 0, first.err
    (base,) = (path for path in (tmp_path / "cache" / "bases").iterdir() if path.is_dir())
    assert first.err.startswith("First 2 s on everybody, kept for whoever is next; then 0 s at most on the")
    assert RunDir(base).corpus_facts()["messages"] > 4 * RunDir(tmp_path / "a").corpus_facts()["messages"]
    trained = (base / "losses.f32").read_bytes()
    second = call("train", sample_chat, "--out", tmp_path / "b", "--user", "olena", *options)
    assert second.err.startswith("Everybody has been learned before; now 0 s at most on the person.\n")
    assert (base / "losses.f32").read_bytes() == trained
    assert {config_of(tmp_path / name).training.start_from for name in "ab"} == {str(base)}
    assert {config_of(tmp_path / name).training.memory for name in "ab"} == {"everybody"}
    assert re.search(
        r"^counting everybody's contexts …\ncounting everybody's contexts: \d+ s$", first.err, re.MULTILINE
    )
    assert len(list((tmp_path / "cache" / "counts").glob("*.npz"))) == 1
    alone = call("train", sample_chat, "--out", tmp_path / "c", "--user", "olena", *options, "--from", "none")
    assert (alone.status, "verybody" in alone.err) == (0, False)
    assert config_of(tmp_path / "c").training.memory == "off"


# --- stopping and going on


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, sample_chat: str, start: Callable) -> SimpleNamespace:
    """A run that lived for a while, was asked to share its folder, and was ended by Ctrl-C."""
    app = importlib.import_module("charflow.cli.app")
    folder = tmp_path_factory.mktemp("runs") / "interrupted"
    options = ["--user", "mira", "--units", 8, "--window-length", 20, "--time-limit", 600]
    process = start("train", sample_chat, "--out", folder, *options)
    told = []
    for line in process.stderr:
        told.append(line)
        if line.startswith("This will take about"):  # it is past its tenth step
            break
    with contextlib.redirect_stderr(io.StringIO()) as second_err:
        second = app.run(["train", sample_chat, "--out", str(folder), "--resume"])
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    return SimpleNamespace(
        folder=folder,
        pid=process.pid,
        status=process.returncode,
        out=out,
        err="".join(told) + err,
        second=second,
        second_err=second_err.getvalue(),
    )


def test_second_train_in_a_folder_is_refused_while_the_first_lives(interrupted: SimpleNamespace) -> None:
    assert (interrupted.second, interrupted.second_err) == (
        2,
        f"charflow: {interrupted.folder} is in use by process {interrupted.pid}: wait, or name another folder.\n",
    )
    assert interrupted.status == 130  # and went on until Ctrl-C


def test_ctrl_c_saves_and_says_where(interrupted: SimpleNamespace) -> None:
    last = interrupted.err.splitlines()[-1]
    found = re.fullmatch(
        rf"charflow: interrupted after step ([\d,]+); saved in {interrupted.folder}, --resume goes on from there\.",
        last,
    )
    assert found, last
    step = int(found[1].replace(",", ""))
    assert step > 10
    assert (interrupted.folder / "checkpoints" / "latest" / f"ckpt-{step}.index").exists()
    assert "Traceback" not in interrupted.err


def test_resume_goes_on_to_the_end(interrupted: SimpleNamespace, call: Callable, sample_chat: str) -> None:
    step = int(re.findall(r"interrupted after step ([\d,]+)", interrupted.err)[0].replace(",", ""))
    done = call("train", sample_chat, "--out", interrupted.folder, "--resume", "--steps", step + 30)
    assert done.status == 0, done.err
    assert re.search(rf"^goes on after +step {step:,}, \d+ s of training$", done.err, re.MULTILINE), done.err
    rows = RunDir(interrupted.folder).read_metrics()
    steps = [row["step"] for row in rows]
    assert steps == sorted(set(steps))
    assert [row for row in rows if row["step"] > step]
    assert steps[-1] == step + 30
    assert config_of(interrupted.folder).training.steps == step + 30
    assert config_of(interrupted.folder).training.time_limit == 0
    # It also is the one training here whose samples and result are shown to people.
    assert [f"\n--- temperature {t} ---\n" in done.out for t in (0.2, 0.5, 1, 1.2)] == [True] * 4
    assert re.search(r"^After step [\d,]+, the best, from “", done.out, re.MULTILINE)
    result = [line.split() for line in done.out.splitlines()[-6:]]
    assert result[0][:4] == ["ended", "finished,", f"{step + 30:,}", "steps"]
    assert [line[0] for line in result[1:5]] == ["weights", "held", "copied", "longest"]
    assert result[5] == ["written", "to", str(interrupted.folder)]


def test_resume_of_a_finished_run_is_refused(refused: Callable, own_run: Path, sample_chat: str) -> None:
    message = refused("train", sample_chat, "--out", own_run, "--resume")
    assert re.fullmatch(
        rf"{own_run} has already been trained to its end \(30 steps, \d+ s\): "
        r"give a higher --epochs, --steps or --time-limit\.",
        message,
    )


@pytest.mark.parametrize(
    "options",
    [["--units", 25], ["--user", "ada"], ["--seed", 1], ["--learning-rate", 0.5], ["--keep-case"]],
    ids=["units", "user", "seed", "learning rate", "case"],
)
def test_resume_refuses_changed_settings(
    refused: Callable, own_run: Path, sample_chat: str, options: list[object]
) -> None:
    before = (own_run / "config.toml").read_bytes()
    assert refused("train", sample_chat, "--out", own_run, "--resume", *options) == (
        f"A resumed run keeps its settings: leave {options[0]} out; only --epochs, --steps, --time-limit, "
        "--evaluations, --patience and --sample-every may change."
    )
    assert (own_run / "config.toml").read_bytes() == before


@pytest.mark.parametrize("option", ["--preset", "--config"])
def test_resume_refuses_a_preset_and_a_file(refused: Callable, own_run: Path, sample_chat: str, option: str) -> None:
    message = refused("train", sample_chat, "--out", own_run, "--resume", option, "default")
    assert message == f"A resumed run keeps its settings: leave {option} out."


def test_resume_takes_the_settings_it_has(
    call: Callable, untrained: list[Config], own_run: Path, sample_chat: str
) -> None:
    before = config_of(own_run)
    options = ["--user", "mira", "--units", 24, "--steps", 30]
    assert call("train", sample_chat, "--out", own_run, "--resume", *options).status == 0
    assert untrained == [before]


def test_resume_refuses_another_text(refused: Callable, own_run: Path, sample_chat: str, tmp_path: Path) -> None:
    shorter = tmp_path / "shorter.csv"
    shorter.write_text(Path(sample_chat).read_text(encoding="utf-8").replace("dears", "sread"), encoding="utf-8")
    message = refused("train", shorter, "--out", own_run, "--resume", "--steps", 40)
    assert message == (
        f"{own_run} was trained on another text: resume with the same data and filters, or name another folder."
    )


def test_resume_refuses_a_folder_without_a_run(refused: Callable, sample_chat: str, tmp_path: Path) -> None:
    message = refused("train", sample_chat, "--out", tmp_path / "none", "--resume")
    assert message == f"{tmp_path}/none holds no run: it has no config.toml. Make one with charflow train."
    assert not (tmp_path / "none").exists()


# --- users by their names


@pytest.mark.slow
def test_run_of_a_name_keeps_the_id_and_goes_on_by_either(call: Callable, write_chat: Callable, tmp_path: Path) -> None:
    chat = write_chat(*["id7,mira,oh my dears", "id8,ada,a plan", "bot,helper,passed"] * 20, header="userid,name,text")
    run, columns = tmp_path / "run", ["--user-column", "userid", "--text-column", "text"]
    tiny = ["--units", 4, "--layers", 1, "--window-length", 10, "--batch-size", 4, "--sample-every", 0, "--no-cache"]
    named = ["--user", "mira", "--drop-user", "helper"]
    assert call("train", chat, "--out", run, *columns, *named, *tiny, "--steps", 1).status == 0
    assert (config_of(run).corpus.users, config_of(run).corpus.drop_users) == (("id7",), ("bot",))
    renamed = Path(str(chat))
    renamed.write_text(chat.read_text().replace("mira", "moira"))
    done = call("train", renamed, "--out", run, "--resume", "--user", "moira", "--drop-user", "helper", "--steps", 2)
    assert (done.status, config_of(run).corpus.users) == (0, ("id7",)), done.err
    other = call("train", chat, "--out", run, "--resume", "--user", "ada", "--steps", 9)
    assert (other.status, "leave --user out" in other.err) == (2, True)
