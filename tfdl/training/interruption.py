"""Turns SIGTERM and Ctrl-C into a request that the loop answers at a step's end."""

import contextlib
import os
import signal
from collections.abc import Iterator

from tfdl import errors

_EXIT_CODES = {signal.SIGTERM: 75, signal.SIGINT: 130}


class Interruption:
    """Remembers the first signal; a second one ends the process at once."""

    def __init__(self):
        self._signal = None

    @property
    def is_requested(self) -> bool:
        """Whether a signal has come."""
        return self._signal is not None

    def check(self) -> None:
        """Stop here if a signal has come; for long work that loses nothing.

        Raises:
            InterruptedRun: a signal has come.
        """
        if self.is_requested:
            raise errors.InterruptedRun(
                f"stopped by {signal.Signals(self._signal).name}",
                "resume with the same command",
                exit_code=_EXIT_CODES[self._signal],
            )

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over for a while."""
        earlier = {
            number: signal.signal(number, self._remember) for number in _EXIT_CODES
        }
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)

    def _remember(self, number, _frame):
        if self.is_requested:
            os._exit(_EXIT_CODES[number])
        self._signal = number  # nothing else is safe inside a handler
