"""Tries a request again while the server is unavailable and the deadline allows.

Exponential back-off with full jitter: before try n + 1 the pause is drawn evenly from 0 to 0.1 · 2^n s, at most 5 s,
so that clients that failed together do not come back together. A call that goes on with something begun, such as the
next chunk of a text, is patient: the server that answered before is probably being started again, which takes seconds,
so it is tried as long as the deadline allows.
Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from charflow.serving.client.arguments import int_between, seconds
from charflow.serving.errors import DeadlineExceeded, Unavailable

Answer = TypeVar("Answer")

_FIRST, _LONGEST = 0.1, 5.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How long, and how often.

    Attributes:
        address: named in errors.
        timeout: seconds for a whole call, its retries and pauses included.
        retries: most tries after the first.
        pause: waits so many seconds.
    """

    address: str
    timeout: float
    retries: int
    pause: Callable[[float], Awaitable[None]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "timeout", seconds("timeout", self.timeout))
        object.__setattr__(self, "retries", int_between(0, 2**31 - 1)("retries", self.retries))

    def deadline(self) -> float:
        """When a call that begins now must end, on the monotonic clock."""
        return time.monotonic() + self.timeout

    async def ask(
        self, request: Callable[[float], Awaitable[Answer]], deadline: float, *, patient: bool = False
    ) -> Answer:
        """Sends a request that is given the seconds left, again and again if need be.

        Args:
            request: sends it.
            deadline: when the call must end.
            patient: tries without counting, unless there are to be no retries at all.

        Raises:
            Unavailable: the last try failed so, or the next would come after the deadline.
            DeadlineExceeded: the time ran out.
            ServingError: what the server said.
        """
        tries = 0
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._too_late()
            try:
                return await request(left)
            except DeadlineExceeded as error:
                if time.monotonic() >= deadline:
                    raise self._too_late() from error
                raise  # the server's own limit
            except Unavailable:
                pause = random.uniform(0, min(_LONGEST, _FIRST * 2**tries))
                enough = tries >= self.retries and not (patient and self.retries)
                if enough or time.monotonic() + pause >= deadline:
                    raise
            tries += 1
            await self.pause(pause)

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"{self.address}: no answer within {self.timeout:g} s.")
