"""What a user's mistake becomes: one line and exit code 1."""

from __future__ import annotations

import sys

PREFIX = "nnunetv2_lwi: "
"""Before every message, so that it can be told from nnU-Net's lines."""


class UserError(SystemExit):
    """A mistake that the user can mend; the message says what is wrong and what to do.

    nnU-Net's commands catch nothing. As a ``SystemExit`` with a text this ends any of them, and ours, with that text on
    stderr and exit code 1 instead of a traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(f"{PREFIX}{' '.join(message.split())}")

    def __reduce__(self) -> tuple[type, tuple[str]]:
        """From one process to another."""
        return type(self), (self.reason,)

    @property
    def message(self) -> str:
        """The text as printed."""
        return str(self.code)

    @property
    def reason(self) -> str:
        """The text without the prefix, for a line that has others."""
        return self.message.removeprefix(PREFIX)


class HasAWriter(UserError):
    """Another process writes to the folder."""


class DoesNotFit(UserError):
    """An answer: no."""


class CouldNotLook(UserError):
    """No answer: what the question is about could not be looked at."""


class BadUsage(UserError):
    """A command line that says too little, or something twice."""


EXIT_CODE_OF_BAD_USAGE = 2
"""Of a command line that argparse refuses, :class:`BadUsage` and :class:`CouldNotLook`; of any other mistake it is 1."""


def tell(message: str) -> None:
    """A line for the user that ends nothing, on stderr."""
    sys.stderr.write(f"{PREFIX}{message}\n")
    sys.stderr.flush()


def shortened(names: list[str], most: int = 4) -> str:
    """A list in words, cut after a few entries."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
