"""Shows the runs of all people of a chat: a bar for the one that is trained, a line for each that ended, a table.

`train --each-user` hands it to `EachUser.train` as the listener.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from charflow.cli import noticed
from charflow.cli.terminal import console
from charflow.pipeline.errors import counted

if TYPE_CHECKING:
    from charflow.model.training.each_user import EachUser, Outcome, Person
    from charflow.model.training.plan import Plan
    from charflow.model.training.report import Report
    from charflow.model.training.samples import Sample

_WIDEST_NAME = 26  # columns, beside four of figures


class PeopleScreen:
    """Is told what happens in each run, and shows it.

    Args:
        each: the people.
    """

    def __init__(self, each: "EachUser") -> None:
        self._each, self._of = each, len(each.people)
        self._progress = console.err.progress()
        self._task = self._progress.add_task("", total=1.0, figures="")

    def __enter__(self) -> "PeopleScreen":
        few = counted(self._each.left_out, "other")
        console.err.print(f"{counted(self._of, 'user')} to learn; {few} with too few messages left out.")
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def started(self, person: "Person", number: int) -> None:
        who = console.cut(person.name, _WIDEST_NAME)
        self._progress.update(self._task, description=f"{number} of {self._of}, {who}", completed=0.0, figures="")

    def resumed(self, step: int, elapsed: float, damaged: Sequence[str]) -> None: ...

    def counting(self, seconds: float | None) -> None:
        noticed.counting(seconds)

    def planned(self, plan: "Plan") -> None:
        self._progress.update(self._task, figures="compiling …")

    def ending(self, doing: str, share: float = 0.0) -> None:
        self._progress.update(self._task, completed=1.0, figures=doing)

    def advanced(self, report: "Report") -> None:
        self._progress.update(self._task, completed=report.progress, figures=f"{report.train_bits:.3f} bits/char")

    def evaluated(self, row: dict[str, Any]) -> None: ...

    def sampled(self, sample: "Sample") -> None: ...

    def ended(self, outcome: "Outcome") -> None:
        """Says what came of a run."""
        bits = f", {outcome.bits_per_char:.3f} bits per character" if outcome.bits_per_char is not None else ""
        what = f"failed: {outcome.why}" if outcome.why else f"{outcome.state}{bits}."
        console.err.print(f"{outcome.person.name}: {what}")


def show_outcomes(outcomes: "Sequence[Outcome]") -> None:
    """Prints a table of all runs."""
    console.columns(
        console.out,
        ["person", "characters", "bits/char", "base", "seconds", "state"],
        [
            (
                console.cut(each.person.name, _WIDEST_NAME),
                f"{each.characters:,}",
                _bits(each.bits_per_char),
                _bits(each.base_bits_per_char),
                f"{each.seconds:.1f}",
                each.state,
            )
            for each in outcomes
        ],
        right=5,
    )


def figures_of(each: "EachUser", outcomes: "Sequence[Outcome]") -> dict[str, Any]:
    """The same for --json."""
    people = [{**asdict(outcome.person), **asdict(outcome), "run": str(outcome.run)} for outcome in outcomes]
    for person in people:
        del person["person"], person["signal"]
    return {
        "out": str(each.out),
        "base": str(each.base) if each.base else None,
        "left_out": each.left_out,
        "people": people,
    }


def _bits(bits: float | None) -> str:
    return "" if bits is None else f"{bits:.3f}"
