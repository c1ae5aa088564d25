"""What went wrong with a request: a gRPC code, its HTTP status and a clean message.

TensorFlow Serving states every failure as a gRPC code and derives the HTTP status from
it, so that both protocols say the same.
"""

import re

import tensorflow as tf

from tfdl import errors

# TensorFlow Serving's map; only the last has no gRPC code.
HTTP_STATUSES = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "TOO_LARGE": 413,
}
_NAMES = {getattr(tf.errors, name, None): name for name in HTTP_STATUSES}
# Lines of TensorFlow's messages that say where an error is and not what.
_PLACES = ("Graph execution error", "Detected at", "<stack traces", "File ")
_ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])/[\w.@+~-]+(?:/[\w.@+~-]*)+")
_MAX_NAME = 100


class Failure(Exception):
    """A request that cannot be answered.

    Args:
        code: a key of HTTP_STATUSES.
        message: what the client is told.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        """The HTTP status."""
        return HTTP_STATUSES[self.code]


def invalid(message: str) -> Failure:
    """Build the failure of a request that is wrong in itself."""
    return Failure("INVALID_ARGUMENT", message)


def explain(error: Exception) -> Failure:
    """Turn any exception into what the client may know.

    Args:
        error: of a request: ours, a user error, TensorFlow's, or a bug.

    Returns:
        The failure. Nothing in it names a line of code, a node or an absolute path.
    """
    if isinstance(error, Failure):
        return error
    if isinstance(error, errors.UserError):
        return invalid(_without_paths(str(error)))
    if isinstance(error, RecursionError):
        return invalid("JSON Parse error: The document is nested too deeply.")
    if isinstance(error, tf.errors.OpError):
        return Failure(_NAMES.get(error.error_code, "UNKNOWN"), _reason(error.message))
    return Failure("INTERNAL", f"Internal error: {type(error).__name__}")


def short(name: str) -> str:
    """Cut a name that a client chose, before it is repeated to them."""
    return name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}..."


def _reason(message: str) -> str:
    """Return the line of a graph's error that says what is wrong."""
    lines = [line.strip() for line in message.splitlines() if line.strip()] or [""]
    reasons = [line for line in lines if not line.startswith(_PLACES)] or lines
    return _without_paths(reasons[0].partition(" [[")[0])


def _without_paths(message: str) -> str:
    return _ABSOLUTE_PATH.sub("<path>", message)
