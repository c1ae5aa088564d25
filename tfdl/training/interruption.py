"""Turns SIGTERM and Ctrl-C into a request that the loop answers at a step's end."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

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

    def check(self, *, agree: Callable[[bool], int] = bool) -> None:
        """Stop here if a signal has come; for long work that loses nothing.

        Args:
            agree: whether a signal has come here -> whether one has come to any worker,
                so that all of them stop at the same step.

        Raises:
            InterruptedRun: a signal has come.
        """
        if not agree(self.is_requested):
            return
        number = self._signal or signal.SIGTERM
        elsewhere = "" if self.is_requested else ", sent to another worker"
        raise errors.InterruptedRun(
            f"stopped by {signal.Signals(number).name}{elsewhere}",
            "resume with the same command",
            exit_code=_EXIT_CODES[number],
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
