"""The errors of the serving protocol, by the canonical codes that gRPC and TensorFlow share.

The embedded server raises them, its two adapters map the codes to gRPC and HTTP statuses, and the clients raise the
same classes again with the server's message.
"""

from typing import ClassVar

from charflow.sentences import Sentence, Spell


class UsageError(Exception):
    """A flag, a configuration file or a missing program that the user can put right; one sentence says how."""

    def __init__(self, message: str | Sentence) -> None:
        super().__init__(str(message))
        self._message = message

    def told(self, spell: Spell) -> str:
        """The sentence with each setting as `spell` writes it."""
        return self._message.told(spell) if isinstance(self._message, Sentence) else self._message


class ServingError(Exception):
    """A call that failed.

    Attributes:
        code: canonical name, such as NOT_FOUND.
        message: what the server said.
        counted: whether the server's metrics have the request that it ended, or will.
    """

    code: ClassVar[str] = "UNKNOWN"
    counted = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Cancelled(ServingError):
    """The caller gave up."""

    code = "CANCELLED"


class InvalidArgument(ServingError):
    """The request is wrong whatever the state of the server."""

    code = "INVALID_ARGUMENT"


class DeadlineExceeded(ServingError):
    """The time the caller gave ran out."""

    code = "DEADLINE_EXCEEDED"


class NotFound(ServingError):
    """No such model or version."""

    code = "NOT_FOUND"


class AlreadyExists(ServingError):
    """What was to be made is there."""

    code = "ALREADY_EXISTS"


class PermissionDenied(ServingError):
    """The caller may not."""

    code = "PERMISSION_DENIED"


class ResourceExhausted(ServingError):
    """Too large a message, or no memory."""

    code = "RESOURCE_EXHAUSTED"


class FailedPrecondition(ServingError):
    """The request does not fit what is served now, such as an unknown signature."""

    code = "FAILED_PRECONDITION"


class Aborted(ServingError):
    """The call lost a race."""

    code = "ABORTED"


class OutOfRange(ServingError):
    """A value is past the end."""

    code = "OUT_OF_RANGE"


class Unimplemented(ServingError):
    """The server cannot do that."""

    code = "UNIMPLEMENTED"


class Internal(ServingError):
    """The server is at fault."""

    code = "INTERNAL"


class Unavailable(ServingError):
    """Nobody answers, or a queue is full: trying again later may help."""

    code = "UNAVAILABLE"


class DataLoss(ServingError):
    """Data is damaged."""

    code = "DATA_LOSS"


class Unauthenticated(ServingError):
    """The caller did not say who they are."""

    code = "UNAUTHENTICATED"


_CLASSES = {error.code: error for error in ServingError.__subclasses__()}


def error_of(code: str, message: str) -> ServingError:
    """Makes the error of a canonical code; an unknown code gives a plain ServingError (UNKNOWN)."""
    return _CLASSES.get(code, ServingError)(message)
