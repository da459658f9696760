"""The error every package of charflow raises for what a user can put right.

`cli` prints its message as one sentence and exits with status 2; a program that embeds charflow catches it.
"""


class UserError(ValueError):
    """A wrong file, argument or folder: the message says where, what was found, and what to do next."""
