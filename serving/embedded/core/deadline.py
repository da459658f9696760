"""When a call's time is up: made once, at the door that takes the call, and read wherever something waits.

`grpc.server` makes it of the caller's own deadline, `rest.app` of the server's limit; `core`, `batching`, `servable`
and `models` are handed it and measure no time of their own.
"""

import math
import time
from dataclasses import dataclass, field

from charflow.serving.errors import DeadlineExceeded


@dataclass(frozen=True, order=True)
class Deadline:
    """A moment on the monotonic clock; the later of two is the greater.

    Attributes:
        end: by `time.monotonic()`; infinite where nothing bounds the call.
        allowed: seconds that the call had when it began.
    """

    end: float = math.inf
    allowed: float = field(default=math.inf, compare=False)

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """The deadline of a call that begins now.

        >>> 0 < Deadline.after(0.5).left() <= 0.5
        True
        """
        return cls(time.monotonic() + seconds, seconds)

    def left(self) -> float:
        """Seconds until then; 0 or less afterwards."""
        return self.end - time.monotonic()

    def error(self) -> DeadlineExceeded:
        """What a call that outlives it gets."""
        return DeadlineExceeded(f"Deadline exceeded: the request took longer than {self.allowed} s")


NEVER = Deadline()
