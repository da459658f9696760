"""`charflow export`: makes a version and checks it, or checks one that is there."""

import importlib
import io
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from charflow.export.check import Finding, check
from charflow.export.model_card import read_model_card
from charflow.model.run.run_dir import RunDir
from tests.support import Outcome

CHECKS = [
    "graph has stock ops only",
    "loads into a session",
    "loads as functions",
    "has a model card",
    "five signatures, batch first, no scalar",
    "defaults where they may be left out",
    "batch of 1 and of 3 agree, both ways",
    "equals the in-process generator",
    "stream in chunks equals generate",
    "beats guessing",
    "warm-up file replays",
]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, trained_run: Path) -> SimpleNamespace:
    """Version 1 in a new folder, exported and checked in earnest, and what that printed."""
    base = tmp_path_factory.mktemp("models") / "mira"
    app = importlib.import_module("charflow.cli.app")
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        status = app.run(["export", str(trained_run), "--to", str(base)])
    return SimpleNamespace(base=base, version=base / "1", status=status, out=out.getvalue(), err=err.getvalue())


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """Replaces the check, whose tests are in tests/export, by these findings."""
    findings = [Finding("loads into a session", True, "5 signatures")]
    monkeypatch.setattr("charflow.export.check.check_in_fresh_process", lambda folder, **_: findings)
    return findings


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch, found: list[Finding]) -> list[dict]:
    """Replaces the export by one that writes nothing; lists the options it was given."""
    given: list[dict] = []

    def export_run(run: Path, base: Path, **options: Any) -> Path:
        given.append({"run": run, "base": base, **options})
        return base / "1"

    monkeypatch.setattr("charflow.export.publish.export_run", export_run)
    return given


def test_export_makes_a_version_and_checks_it(first: SimpleNamespace, trained_run: Path) -> None:
    assert (first.status, first.err) == (0, "")
    lines = first.out.splitlines()
    assert lines[0] == f"Exported {trained_run} as {first.version}."
    rows = [line.partition("  ok  ") for line in lines[2:]]
    seen = {name.strip(): seen.strip() for name, _, seen in rows}
    assert list(seen) == CHECKS
    assert all(seen.values())
    assert seen["loads into a session"] == "5 signatures, tables initialised"
    assert seen["has a model card"].startswith("version 1, ")
    assert seen["equals the in-process generator"].startswith("5 texts, ")
    assert seen["warm-up file replays"] == "7 requests"
    assert read_model_card(first.version)["version"] == 1


def test_export_json_has_the_checks(
    call: Callable, trained_run: Path, first: SimpleNamespace, found: list[Finding]
) -> None:
    done = call("export", trained_run, "--to", first.base, "--json")
    assert (done.status, done.err) == (0, "")
    assert done.json == {
        "version": str(first.base / "2"),
        "passed": True,
        "failed": [],
        "checks": {"loads into a session": "5 signatures"},
    }
    configs = ["batching.config", "models.config", "monitoring.config"]
    assert sorted(child.name for child in first.base.iterdir()) == ["1", "2", *configs]


def test_export_gives_on_its_options(call: Callable, exported: list[dict]) -> None:
    options = [
        *["--version", 5, "--length", 30, "--temperature", 0.7, "--top-k", 3, "--top-p", 0.9, "--seed", -1],
        *["--stop", "\n", "--context", "window", "--max-prompt", 20, "--max-completion", 40, "--xla"],
    ]
    assert call("export", "run", "--to", "base", *options).status == 0
    (given,) = exported
    settings, limits = given.pop("settings"), given.pop("limits")
    assert callable(given.pop("verify"))
    assert given == {"run": Path("run"), "base": Path("base"), "version": 5, "context": "window", "xla": True}
    assert (settings.max_chars, settings.temperature, settings.top_k) == (30, 0.7, 3)
    assert (settings.top_p, settings.seed, settings.stop) == (0.9, -1, "\n")
    assert (limits.prompt_chars, limits.completion_chars) == (20, 40)


def test_export_has_the_settings_of_the_design(call: Callable, exported: list[dict]) -> None:
    assert call("export", "run", "--to", "base").status == 0
    (given,) = exported
    assert (given["version"], given["context"]) == (None, "stream")
    assert (given["settings"].max_chars, given["settings"].temperature, given["settings"].stop) == (400, 0.5, "")
    assert (given["limits"].prompt_chars, given["limits"].completion_chars) == (4096, 4096)


def test_export_check_shows_a_table(call: Callable, found: list[Finding], tmp_path: Path) -> None:
    done = call("export", "--check", tmp_path / "1")
    assert (done.status, done.err) == (0, "")
    assert [line.split() for line in done.out.splitlines()] == [
        ["check", "seen"],
        ["loads", "into", "a", "session", "ok", "5", "signatures"],
    ]


def test_export_check_names_the_first_failure(refused: Callable, found: list[Finding], tmp_path: Path) -> None:
    found += [Finding("has a model card", False, "there is none"), Finding("warm-up file replays", False, "empty")]
    message = refused("export", "--check", tmp_path / "1", underway=True)
    assert message == f"{tmp_path / '1'} does not pass: has a model card: there is none."


def test_export_check_shows_what_failed(call: Callable, found: list[Finding], tmp_path: Path) -> None:
    found += [Finding("has a model card", False, "there is none")]
    shown = call("export", "--check", tmp_path / "1")
    assert ["has", "a", "model", "card", "FAILED", "there", "is", "none"] in [
        line.split() for line in shown.out.splitlines()
    ]
    figures = call("export", "--check", tmp_path / "1", "--json")
    assert figures.status == 2
    assert (figures.json["passed"], figures.json["checks"]["has a model card"]) == (False, "there is none")


def test_export_check_without_a_card_is_one_good_sentence(
    refused: Callable, first: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charflow.export.check.check_in_fresh_process", check)  # the process is that of `first`
    version = shutil.copytree(first.version, tmp_path / "1")
    shutil.rmtree(version / "assets.extra")
    message = refused("export", "--check", version, underway=True)
    assert message.startswith(f"{version} does not pass: has a model card: ")
    assert "it was not exported by charflow" in message
    assert not message.endswith("..")
    assert "UserError" not in message


@pytest.mark.parametrize("what", ["run", "base", "nothing"])
def test_export_check_refuses_what_is_no_version(
    refused: Callable, trained_run: Path, first: SimpleNamespace, tmp_path: Path, what: str
) -> None:
    folder = {"run": trained_run, "base": first.base, "nothing": tmp_path / "no"}[what]
    assert refused("export", "--check", folder) == f"{folder} is not an exported version: it has no saved_model.pb."


def test_export_refuses_a_version_that_exists(refused: Callable, trained_run: Path, first: SimpleNamespace) -> None:
    message = refused("export", trained_run, "--to", first.base, "--version", 1)
    assert message == f"{first.base} already has version 1: leave --version out for the next number."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--temperature", -1], "--temperature must be at least 0, not -1 (0 is greedy)."),
        (["--context", "all"], "--context must be stream or window, not 'all'."),
        (["--version", 0], "--version must be at least 1, not 0."),
        (["--max-prompt", 0], "--max-prompt must be at least 1, not 0."),
        (
            ["--length", 50, "--max-completion", 40],
            "--length is 50, over the longest completion, 40: lower it or raise --max-completion.",
        ),
    ],
    ids=["temperature", "context", "version", "no prompt", "length over the limit"],
)
def test_export_refuses_options_out_of_range(
    refused: Callable, trained_run: Path, tmp_path: Path, options: list[object], message: str
) -> None:
    assert refused("export", trained_run, "--to", tmp_path / "model", *options) == message
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "options",
    [["--top-k", 2**40], ["--length", 2**40, "--max-completion", 2**41], ["--max-prompt", 2**40]],
    ids=["top-k", "length", "prompt"],
)
def test_export_refuses_numbers_that_do_not_fit(
    refused: Callable, trained_run: Path, found: list[Finding], tmp_path: Path, options: list[object]
) -> None:
    refused("export", trained_run, "--to", tmp_path / "model", *options)
    assert not (tmp_path / "model").exists()


def test_export_of_a_folder_of_runs_makes_models_of_one_server(
    call: Callable[..., Outcome], people_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an export writes, and its check, are tried above."""

    def export_run(run: RunDir, base: Path, *, verify: Callable[[Path], None], **settings: Any) -> Path:
        (base / "1").mkdir(parents=True)
        verify(base / "1")
        return base / "1"

    checked: list[Path] = []
    monkeypatch.setattr("charflow.export.people.export_run", export_run)
    monkeypatch.setattr(
        "charflow.export.check.check_in_fresh_process", lambda folder, **_: checked.append(folder) or []
    )
    done = call("export", people_runs, "--to", tmp_path / "m")
    assert done.status == 0, done.err
    assert done.out.splitlines() == [
        *(
            f"Exported {people_runs / name} as {tmp_path / 'm' / name / '1'}."
            for name in ("ada", "bo", "mira-k-36a7cf")
        ),
        f"All at once: charflow serve --model_config_file={tmp_path / 'm' / 'models.config'}",
    ]
    assert len(checked) == 3


def test_export_of_a_folder_of_runs_has_no_version_for_all(
    refused: Callable[..., str], people_runs: Path, tmp_path: Path
) -> None:
    message = refused("export", people_runs, "--to", tmp_path / "m", "--version", 3)
    assert "--version is of one model, and each of these gets its next: leave it out." in message


@pytest.mark.slow
def test_litert_writes_models_and_compares_them(call: Callable, trained_run: Path, tmp_path: Path) -> None:
    done = call("export", trained_run, "--litert", "--to", tmp_path / "a")
    assert (done.status, done.err) == (0, "")
    first, heads, *rows = done.out.splitlines()
    assert first == f"Exported {trained_run} for LiteRT as {tmp_path / 'a'}."
    assert heads.split() == ["model", "bytes", "bits", "per", "character"]
    names, _, bits = zip(*(row.rsplit(maxsplit=2) for row in rows), strict=True)
    assert names == (str(trained_run), "model.tflite", "model_int8.tflite")
    assert bits[0] == bits[1]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "model.json", "model.tflite", "model_int8.tflite", "run.py",
    ]  # fmt: skip


@pytest.mark.slow
def test_litert_json_has_the_figures_and_what_is_not_applied_is_said(
    call: Callable, own_run: Path, tmp_path: Path
) -> None:
    settings = (own_run / "config.toml").read_text()
    (own_run / "config.toml").write_text(settings.replace("scrub = false", "scrub = true"))
    done = call("export", own_run, "--litert", "--to", tmp_path / "a", "--json")
    assert done.err == "charflow: warning: run.py does not normalise prompts by scrub: do that before.\n"
    assert done.json["folder"] == str(tmp_path / "a")
    assert [each["name"] for each in done.json["models"]] == [str(own_run), "model.tflite", "model_int8.tflite"]


@pytest.mark.slow
def test_hub_writes_a_folder_and_lists_its_files(call: Callable, trained_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "our toad"
    done = call("export", trained_run, "--hub", folder)
    assert (done.status, done.err) == (0, "")
    first, heads, *rows, last = done.out.splitlines()
    assert first == f"Exported {trained_run} for the Hugging Face hub as {folder}."
    assert heads.split() == ["file", "bytes"]
    sizes = {name: int(size.replace(",", "")) for name, size in map(str.split, rows)}
    assert sizes == {path.name: path.stat().st_size for path in folder.iterdir()}
    assert last == f"Name a licence in its README.md, then: hf upload YOU/MODEL '{folder}'"
    again = call("export", trained_run, "--hub", tmp_path / "b", "--json")
    assert (again.json["folder"], set(again.json["files"])) == (str(tmp_path / "b"), set(sizes))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "--hub", "a"], "Name a run and where its versions go: charflow export RUN --to BASE."),
        (["export", "run", "--hub", "a", "--litert"], "--litert is of no use with --hub: leave it out."),
    ],
    ids=["no run", "twice"],
)
def test_hub_refuses_what_it_cannot_do(refused: Callable, arguments: list[str], message: str) -> None:
    assert refused(*arguments) == message
