"""Which messages of a chat count and how they become text: what `corpus` and `prepared` are told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, TypeAlias

from charflow.pipeline.bounds import Bounds
from charflow.pipeline.errors import SettingError, UserError, quoted
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.option import Option
from charflow.pipeline.settings import Count, Natural, check
from charflow.pipeline.text_settings import TextSettings

Fraction: TypeAlias = Annotated[float, Bounds(above=0, at_most=1)]
HeldOut: TypeAlias = Annotated[float, Bounds(at_least=0, below=1)]
HeldOutBy: TypeAlias = Literal["messages", "person"]

USERS = ("users", "drop_users")  # the settings that name people; which ids these have stands in the files


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """Which messages count and how they become text.

    Attributes:
        users: ids or names to keep, as one person; empty keeps everybody. A corpus that was read has the ids.
        drop_users: ids or names to leave out.
        fraction: the first `int(n * fraction)` of the n messages kept so far are used.
        min_length: least code points in a message; empty messages never count.
        min_count: characters that occur less often become `[UNK]`.
        held_out: share that is never trained on; of the characters where the last messages have hardly any (see
            `tail_start`).
        held_out_by: "messages" holds out the last of all, "person" the last of each user's, which then stand at the
            end of the text together (see `held_out`).
        text: normalisation of the characters.
        csv: columns and form of the files.
    """

    users: Annotated[
        tuple[str, ...],
        Option("Keep this user, by id or name; repeat to join several. [default: all]", "ID", name="user"),
    ] = ()
    drop_users: Annotated[
        tuple[str, ...], Option("Leave this user out, such as a bot; repeatable.", "ID", name="drop-user")
    ] = ()
    fraction: Annotated[Fraction, Option("Use the first F of the messages, 0 to 1.")] = 1.0
    min_length: Annotated[Natural, Option("Leave out messages of fewer characters.")] = 1
    min_count: Annotated[Count, Option("Characters that occur less often become [UNK].")] = 1
    held_out: Annotated[HeldOut, Option("Share of the messages, at the end, to test on.")] = 0.1
    held_out_by: Annotated[HeldOutBy, Option("person: the last of each one; messages: of all.", "BY")] = "messages"
    text: TextSettings = field(default_factory=TextSettings)
    csv: CsvFormat = field(default_factory=CsvFormat)

    def __post_init__(self) -> None:
        check(self)
        if both := sorted(set(self.users) & set(self.drop_users)):
            raise UserError(f"User {quoted(both[0])} is both kept and dropped.")

    @property
    def people(self) -> dict[str, tuple[str, ...]]:
        """Those of the settings that name people: what is kept of them when their ids are known."""
        return {name: getattr(self, name) for name in USERS}

    def with_people(self, people: Mapping[str, Sequence[str]]) -> "CorpusSettings":
        """The same settings of other people."""
        named: dict[str, Any] = {name: tuple(people[name]) for name in USERS if name in people}
        return replace(self, **named)

    def check_person(self) -> None:
        """Makes sure, when it is known what all settings are, that replies are somebody's.

        Raises:
            SettingError: nobody is named.
        """
        if self.text.reply and not self.users:
            raise SettingError("{reply} learns what one person answers to the others: name the person with {users}.")
