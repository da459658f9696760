"""`charflow export`: a run as a new version of a SavedModel, or the check of one."""

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charflow.cli import options
from charflow.cli.modes import mode
from charflow.cli.terminal import console
from charflow.cli.terminal.tensorflow_log import load_tensorflow
from charflow.cli.terminal.waiting import waiting
from charflow.model.decoding.settings import Limits, SamplingSettings
from charflow.pipeline.errors import UserError, quoted_list
from charflow.sentences import listed
from charflow.serving.layout import MODELS

if TYPE_CHECKING:
    from charflow.export.check import Finding


@mode("hub", ignores=("to", "check", "litert", "version", "changes", "context", "limits", "xla"))
@mode("litert", ignores=("check", "version", "changes", "context", "limits", "xla"))
@mode("check", ignores=("run", "to", "version", "changes", "context", "limits"))
@mode("stop_at_end", given=False, ignores=("max_messages",))
@options.settings(
    SamplingSettings, defaults=True, describe=lambda told: f"Of serving_default: {told[0].lower()}{told[1:]}"
)
@options.settings(Limits, place="limits", defaults=True)
def export(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="Folder of a trained run, or of several.")] = None,
    to: Annotated[Path | None, typer.Option(metavar="BASE", help="Folder of its versions, or of the models.")] = None,
    check: Annotated[Path | None, typer.Option(metavar="DIR", help="Only check this exported version.")] = None,
    litert: Annotated[bool, typer.Option("--litert", help="Write a LiteRT model, for devices, to BASE.")] = False,
    hub: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write this folder, for the Hugging Face hub.")
    ] = None,
    version: Annotated[int | None, typer.Option(metavar="N", help="Its number. [default: the next]")] = None,
    changes: options.Changes = options.NO_CHANGES,
    context: options.Context = "stream",
    limits: options.Changes = options.NO_CHANGES,
    xla: Annotated[
        bool, typer.Option("--xla", help="Also by XLA, for servers that allow it; with --check, allow it.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Export a run to BASE/<version>, ready for TensorFlow Serving, and check it; or check one with --check.

    Of a folder of runs each becomes a model of its own, BASE/<run>/<version>, all of them in BASE/models.config.

    With --litert BASE gets one decoding step as .tflite files, float32 and int8, and run.py, which writes with them.

    With --hub FOLDER gets the weights, what is needed to write with them, and a card, and names nobody of the chat.
    """
    if check is not None:
        _check_and_show(check, xla=xla, json=json)
        return
    if run is not None and hub is not None:
        load_tensorflow()
        _export_hub(run, hub, json=json)
        return
    if run is None or to is None:
        raise UserError("Name a run and where its versions go: charflow export RUN --to BASE.")
    load_tensorflow()
    if litert:
        _export_litert(run, to, json=json)
        return
    from charflow.model.run.run_dir import holds_runs

    wanted: dict[str, Any] = {
        "settings": SamplingSettings(**changes),
        "context": context,
        "limits": Limits(**limits),
        "xla": xla,
    }
    if holds_runs(run):
        if version is not None:
            raise UserError("--version is of one model, and each of these gets its next: leave it out.")
        _export_people(run, to, wanted, json=json)
        return
    _export_one(run, to, {**wanted, "version": version}, json=json)


def _export_one(run: Path, base: Path, wanted: dict[str, Any], *, json: bool) -> None:
    from charflow.export.publish import export_run

    found: list[Finding] = []
    checked: list[Path] = []

    def verify(folder: Path) -> None:
        checked.append(folder)
        found.extend(_check(folder, xla=wanted["xla"]))
        _refuse_failed(folder, found)

    try:
        with waiting("exporting and checking"):
            published = export_run(run, base, verify=verify, **wanted)
    except UserError:
        if found:
            _show(checked[0], found, json=json)
        raise
    _warn(run)
    if not json:
        console.out.print(f"Exported {run} as {published}.")
    _show(published, found, json=json)


def _export_people(folder: Path, base: Path, wanted: dict[str, Any], *, json: bool) -> None:
    from charflow.export.people import People

    people = People(folder, base)

    def verify(version_folder: Path) -> None:
        _refuse_failed(version_folder, _check(version_folder, xla=wanted["xla"]))

    published: list[Path] = []
    exporting = people.export(verify=verify, **wanted)
    while True:
        with waiting(f"exporting and checking {len(published) + 1} of {len(people.runs)}"):
            done = next(exporting, None)
        if done is None:
            break
        published.append(done[1])
        _warn(done[0].path)
        if not json:
            console.out.print(f"Exported {done[0].path} as {done[1]}.")
    config = base.resolve() / MODELS
    if people.unnamed:
        them = quoted_list(people.unnamed)
        console.remark([f"{config} was there and is as it was, without {them}: delete it to have it written anew"])
    if json:
        console.print_json({"models": [str(each) for each in published], "config": str(config)})
    else:
        console.out.print(f"All at once: charflow serve --model_config_file={config}")


def _export_litert(run: Path, folder: Path, *, json: bool) -> None:
    from charflow.export.litert import export_litert, measure_litert, not_applied

    with waiting("converting"):
        export_litert(run, folder)
    with waiting("scoring"):
        found = measure_litert(run, folder)
    _warn(run)
    if unread := not_applied(run):
        console.err.print(f"charflow: warning: run.py does not normalise prompts by {listed(unread)}: do that before.")
    if json:
        console.print_json({"folder": str(folder), "models": [asdict(each) for each in found]})
        return
    console.out.print(f"Exported {run} for LiteRT as {folder}.")
    console.columns(
        console.out,
        ["model", "bytes", "bits per character"],
        [(each.name, f"{each.n_bytes:,}", "" if each.bits is None else f"{each.bits:.4f}") for each in found],
    )


def _export_hub(run: Path, folder: Path, *, json: bool) -> None:
    from charflow.export.hub import export_hub
    from charflow.model.run.run_dir import RunDir

    with waiting("writing"):
        export_hub(run, folder)
    _warn(run)
    if RunDir(folder).memory_file.exists():
        console.err.print(
            "charflow: warning: memory.npz has stretches of characters as they stand in the chat; train with "
            "--memory off to have none."
        )
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    if json:
        console.print_json({"folder": str(folder), "files": files})
        return
    console.out.print(f"Exported {run} for the Hugging Face hub as {folder}.")
    console.columns(console.out, ["file", "bytes"], [(name, f"{size:,}") for name, size in files.items()], right=1)
    console.out.print(f"Name a licence in its README.md, then: hf upload YOU/MODEL {quote(str(folder))}")


def _warn(run: Path) -> None:
    from charflow.model.evaluation.memorisation import report_of, warnings_of
    from charflow.model.run.run_dir import RunDir

    for warning in warnings_of(report_of(RunDir(run))):
        console.err.print(f"charflow: warning: {warning}")


def _check_and_show(version_folder: Path, *, xla: bool, json: bool) -> None:
    with waiting("checking"):
        findings = _check(version_folder, xla=xla)
    _show(version_folder, findings, json=json)
    _refuse_failed(version_folder, findings)


def _check(version_folder: Path, *, xla: bool) -> "list[Finding]":
    from charflow.export.check import check_in_fresh_process

    return check_in_fresh_process(version_folder, xla=xla)


def _show(version_folder: Path, findings: "list[Finding]", *, json: bool) -> None:
    failed = [finding.check for finding in findings if not finding.passed]
    if json:
        console.print_json(
            {
                "version": str(version_folder),
                "passed": not failed,
                "failed": failed,
                "checks": {finding.check: finding.seen for finding in findings},
            }
        )
        return
    console.columns(
        console.out,
        ["check", "", "seen"],
        [(finding.check, "ok" if finding.passed else "FAILED", finding.seen) for finding in findings],
    )


def _refuse_failed(version_folder: Path, findings: "list[Finding]") -> None:
    if failed := [finding for finding in findings if not finding.passed]:
        raise UserError(f"{version_folder} does not pass: {failed[0].check}: {failed[0].seen}.")
