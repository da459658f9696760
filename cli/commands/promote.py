"""`charflow promote`: moves a label of a served model to another version, or back."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charflow.cli import options
from charflow.cli.lines import read_lines
from charflow.cli.modes import mode
from charflow.cli.terminal import console
from charflow.cli.terminal.grpc_log import quiet_grpc
from charflow.cli.terminal.waiting import waiting
from charflow.pipeline.bounds import Bounds
from charflow.pipeline.settings import checked
from charflow.serving.errors import UsageError

if TYPE_CHECKING:
    from charflow.serving.promotion.comparison import Comparison, Latency
    from charflow.serving.promotion.promote import Move

_COMPARISON = ("texts", "prompts", "samples", "max_slowdown")


@checked
@mode("rollback", ignores=("version", "force", *_COMPARISON))
@mode("force", ignores=_COMPARISON)
def promote(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="Folder of the model's versions.")],
    version: Annotated[int | None, typer.Argument(metavar="VERSION", help="The candidate.")] = None,
    label: Annotated[str, typer.Option(metavar="NAME", help="The label to move.")] = "stable",
    server: Annotated[str, typer.Option(metavar="HOST:PORT", help="gRPC address of the server.")] = "127.0.0.1:8500",
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The models.config the server was started with. [default: BASE's]"),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Model in that file. [default: the only one]")
    ] = None,
    texts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Held-out text, a message a line, for bits per character.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Prompts, one a line. [default: an empty one]")
    ] = None,
    samples: Annotated[
        int, typer.Option(metavar="N", help="Completions of 100 characters to time."), Bounds(at_least=1)
    ] = 200,
    max_slowdown: Annotated[
        float, typer.Option(metavar="R", help="How many times as long they may take."), Bounds(above=0)
    ] = 1.5,
    force: Annotated[bool, typer.Option("--force", help="Move the label without a comparison.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Move it to the version it was before.")] = False,
    tls: options.Encrypt = False,
    ca: options.Authority = None,
    cert: options.Certificate = None,
    key: options.PrivateKey = None,
    json: options.Json = False,
) -> None:
    """Move a label of a served model to VERSION, unless that is worse than the version it is now."""
    if not rollback and version is None:
        raise UsageError("Name the version: charflow promote BASE VERSION --texts FILE.")
    quiet_grpc()
    from charflow.serving import ArgumentError, Tls
    from charflow.serving.promotion.comparison import ComparisonSettings
    from charflow.serving.promotion.promote import LabelPlace, WorseError
    from charflow.serving.promotion.promote import promote as promote_to
    from charflow.serving.promotion.promote import rollback as roll_back

    comparing = None
    if texts is not None:
        lines = _lines(prompts) if prompts is not None else [""]
        comparing = ComparisonSettings(texts=_lines(texts), prompts=lines, requests=samples, max_slowdown=max_slowdown)
    try:
        certificates = Tls(ca=ca, cert=cert, key=key) if tls or ca or cert or key else None
        place = LabelPlace(base=base, label=label, server=server, config=config, model=model, tls=certificates)
        with waiting("moving the label" if comparing is None else "trying both versions"):
            move = roll_back(place) if version is None else promote_to(place, version, comparing, force=force)
    except WorseError as error:
        _show(error.refused, moved=False, json=json)
        raise
    except ArgumentError as error:
        raise UsageError(str(error)) from error
    _show(move, moved=True, json=json)


def _lines(path: Path) -> list[str]:
    """Reads the lines of a file that are not empty."""
    return [line for line in read_lines(path) if line.strip()]


def _show(move: "Move", *, moved: bool, json: bool) -> None:
    found = move.comparison
    if json:
        facts = {"model": move.model, "label": move.label, "before": move.before, "after": move.after, "moved": moved}
        console.print_json({**facts, "comparison": found and {**asdict(found), "faults": found.faults}})
        return
    if found:
        names = ["", f"version {move.before}", f"version {move.after}", "change"]
        console.columns(console.out, names, _rows(found), right=3)
    if moved:
        before = "new" if move.before is None else f"version {move.before}"
        console.out.print(f"{move.label} of {move.model}: {before} -> version {move.after}.")


def _rows(found: "Comparison") -> list[tuple[str, str, str, str]]:
    bits = found.bits
    return [
        (
            f"bits per character, {bits.texts:,} texts",
            f"{bits.incumbent:.3f}",
            f"{bits.candidate:.3f}",
            f"{bits.difference:+.3f} ± {bits.error:.3f}",
        ),
        (
            "unknown characters",
            f"{bits.unknown[0]:,}",
            f"{bits.unknown[1]:,}",
            f"{bits.unknown[1] - bits.unknown[0]:+,}",
        ),
        _latency_row("p50", found.p50, found.requests),
        _latency_row("p99", found.p99, found.requests),
    ]


def _latency_row(name: str, latency: "Latency", requests: int) -> tuple[str, str, str, str]:
    return (
        f"{name} of {requests:,} completions",
        f"{latency.incumbent:.1f} ms",
        f"{latency.candidate:.1f} ms",
        f"x {latency.ratio:.2f}",
    )
