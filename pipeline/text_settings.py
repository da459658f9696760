"""What happens to a message's characters on their way into a corpus: `text` does it."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from charflow.pipeline.marks import END, REPLY
from charflow.pipeline.option import Option
from charflow.pipeline.settings import check

UnicodeForm = Literal["", "NFC", "NFKC"]


def _unicode_form(typed: str) -> dict[str, Any]:
    return {"unicode_form": typed.upper()}


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """What happens to a message's characters.

    Attributes:
        lowercase: by Unicode's full mapping (a final Σ becomes ς), in every locale the same.
        case_fold: NFKC_Casefold instead (ß becomes ss, ² becomes 2, soft hyphens vanish); needs tensorflow-text.
        unicode_form: applied before case; needs tensorflow-text.
        keep_invisible: keep byte order marks, soft hyphens, zero width spaces and marks of direction, which are
            otherwise left out first; joiners and variation selectors, which emoji are made with, always stay.
        ends: each message ends with `marks.END`, and people's own marks are left out; else a blank, as in the tutorial
            recipe, stands between messages, and a text never ends by itself.
        reply: before each message stands what somebody else wrote just before it, which is read and not learned, and
            `marks.REPLY`; messages then end.
        scrub: put placeholders in the place of what `scrub.KINDS` lists, last. Off unless asked for: it changes what
            people wrote, a link into `<link>` in a tenth of all messages of some chats, and finds only what is written
            in a usual way.
    """

    lowercase: Annotated[bool, Option("Do not lowercase.", name="keep-case")] = True
    case_fold: Annotated[bool, Option("Fold case fully.")] = False
    unicode_form: Annotated[UnicodeForm, Option("Normalise Unicode.", read=_unicode_form)] = ""
    keep_invisible: Annotated[bool, Option("Keep marks that show nothing, such as U+FEFF.")] = False
    ends: Annotated[bool, Option("Learn where messages end.", both=True)] = False
    reply: Annotated[bool, Option("Learn to answer what others wrote just before.")] = False
    scrub: Annotated[bool, Option("Replace e-mail addresses, phone numbers, links and the like.")] = False

    def __post_init__(self) -> None:
        check(self)
        object.__setattr__(self, "ends", self.ends or self.reply)

    @property
    def marks(self) -> tuple[str, ...]:
        """The characters of a corpus that nobody wrote."""
        return (REPLY, END) if self.reply else (END,) if self.ends else ()
