"""The errors that a user can mend, each with the exit code that the apps document.

An app prints such an error as two lines, the message (what is wrong, naming the flag
or the file) and the remedy (one action), and exits with `exit_code`. Any other
exception is a bug and exits with 1.
"""


class UserError(Exception):
    """An error with a remedy.

    Args:
        message: what is wrong, naming the flag, file or value.
        remedy: one action that mends it.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str):
        super().__init__(message)
        self.remedy = remedy


class UsageError(UserError, ValueError):
    """A flag, an argument or a combination of them is wrong."""

    exit_code = 2


class DataError(UserError):
    """A picture, an annotation or a data set is missing or broken."""

    exit_code = 3


class ModelFileError(UserError):
    """A checkpoint, a weights file or a SavedModel is missing or damaged."""

    exit_code = 4


class DivergedError(UserError):
    """The loss or a gradient is not finite."""

    exit_code = 5


class ResourceError(UserError):
    """The disk, the memory or a device is exhausted."""

    exit_code = 6


class NetworkError(UserError):
    """Something must be fetched and there is no network."""

    exit_code = 7


class InterruptedRun(UserError):
    """A signal stopped the run; everything is saved and the same command resumes.

    Args:
        message: what was stopped, and at which step.
        remedy: the command that resumes.
        exit_code: 75 after SIGTERM (and a lost worker), 130 after Ctrl-C.
    """

    def __init__(self, message: str, remedy: str, exit_code: int = 75):
        super().__init__(message, remedy)
        self.exit_code = exit_code
