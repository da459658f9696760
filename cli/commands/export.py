"""`charflow export`: a run as a new version of a SavedModel, or the check of one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charflow.cli import options
from charflow.cli.modes import mode
from charflow.cli.terminal import console
from charflow.cli.terminal.tensorflow_log import load_tensorflow
from charflow.cli.terminal.waiting import waiting
from charflow.model.decoding.settings import Limits, SamplingSettings
from charflow.pipeline.errors import UserError

if TYPE_CHECKING:
    from charflow.export.check import Finding


@mode("check", ignores=("run", "to", "version", "changes", "context", "limits"))
@mode("stop_at_end", given=False, ignores=("max_messages",))
@options.settings(
    SamplingSettings, defaults=True, describe=lambda told: f"Of serving_default: {told[0].lower()}{told[1:]}"
)
@options.settings(Limits, place="limits", defaults=True)
def export(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="Folder of a trained run.")] = None,
    to: Annotated[Path | None, typer.Option(metavar="BASE", help="Folder of the model's versions.")] = None,
    check: Annotated[Path | None, typer.Option(metavar="DIR", help="Only check this exported version.")] = None,
    version: Annotated[int | None, typer.Option(metavar="N", help="Its number. [default: the next]")] = None,
    changes: options.Changes = options.NO_CHANGES,
    context: options.Context = "stream",
    limits: options.Changes = options.NO_CHANGES,
    json: options.Json = False,
) -> None:
    """Export a run to BASE/<version>, ready for TensorFlow Serving, and check it; or check one with --check."""
    if check is not None:
        _check_and_show(check, json=json)
        return
    if run is None or to is None:
        raise UserError("Name a run and where its versions go: charflow export RUN --to BASE.")
    load_tensorflow()
    from charflow.export.publish import export_run
    from charflow.model.evaluation.memorisation import report_of, warnings_of
    from charflow.model.run.run_dir import RunDir

    found: list[Finding] = []
    checked: list[Path] = []

    def verify(folder: Path) -> None:
        checked.append(folder)
        found.extend(_check(folder))
        _refuse_failed(folder, found)

    try:
        with waiting("exporting and checking"):
            published = export_run(
                run,
                to,
                version=version,
                settings=SamplingSettings(**changes),
                context=context,  # type: ignore[arg-type]  # it checks the name
                limits=Limits(**limits),
                verify=verify,
            )
    except UserError:
        if found:
            _show(checked[0], found, json=json)
        raise
    for warning in warnings_of(report_of(RunDir(run))):
        console.err.print(f"charflow: warning: {warning}")
    if not json:
        console.out.print(f"Exported {run} as {published}.")
    _show(published, found, json=json)


def _check_and_show(version_folder: Path, *, json: bool) -> None:
    with waiting("checking"):
        findings = _check(version_folder)
    _show(version_folder, findings, json=json)
    _refuse_failed(version_folder, findings)


def _check(version_folder: Path) -> "list[Finding]":
    from charflow.export.check import check_in_fresh_process

    return check_in_fresh_process(version_folder)


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
