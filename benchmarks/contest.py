"""Runs contenders by turns, each in a process of its own, and compares their rates.

One after another they do a short piece of work (A B C A B C ...), so that whatever else
the machine does slows all of them alike. Each process keeps its own settings, threads
and memory; it is stopped while others have their turn, so that no buffer is filled in
their time.

A contender's program calls `Turn.take` whenever it is ready for the next piece, and
reports what the last one gave.
"""

import dataclasses
import os
import pathlib
import signal
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence


class Over(Exception):
    """No more turns: the contender may go home."""


class Turn:
    """A contender's side: standard input says when, standard output says how fast."""

    def take(self, rate: float | None = None) -> None:
        """Report the rate of the last piece (none before the first), and wait.

        Raises:
            Over: there is no next piece.
        """
        print("ready" if rate is None else repr(float(rate)), flush=True)
        if not sys.stdin.readline():
            raise Over


@dataclasses.dataclass(frozen=True)
class Result:
    """What came out for one contender.

    Attributes:
        rates: of each round.
        megabytes: the most memory that its process had at once.
    """

    rates: tuple[float, ...]
    megabytes: float

    @property
    def rate(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rates)

    def times(self, other: "Result") -> float:
        """Return how many times as fast as another: the median of the rounds."""
        return statistics.median(self._ratios(other))

    def spread(self, other: "Result") -> str:
        """Write the smallest and the largest ratio of a round."""
        ratios = self._ratios(other)
        return f"{min(ratios):.2f}-{max(ratios):.2f}"

    def _ratios(self, other: "Result") -> list[float]:
        return [a / b for a, b in zip(self.rates, other.rates, strict=True)]


def against_peer(program: str, row: str, *, rounds: int) -> dict:
    """Let ours and two of the peer take turns; the second of them is the control.

    Args:
        program: started as `program --contender ours|peer row`.
        row: what the program calls this comparison.
        rounds: turns of each that count.

    Returns:
        The rates "ours" and "peer", their "ratio" with the "spread" of the rounds, the
        "control" with "control_spread", and the "megabytes" of ours and the peer.
    """
    sides = {"ours": "ours", "peer": "peer", "control": "peer"}
    came = run(
        {name: [program, "--contender", side, row] for name, side in sides.items()},
        rounds=rounds,
    )
    ours, peer, control = came["ours"], came["peer"], came["control"]
    return {
        "ours": ours.rate,
        "peer": peer.rate,
        "ratio": ours.times(peer),
        "spread": ours.spread(peer),
        "control": control.times(peer),
        "control_spread": control.spread(peer),
        "megabytes": [ours.megabytes, peer.megabytes],
    }


def run(
    commands: Mapping[str, Sequence[str]], *, rounds: int, warm_ups: int = 1
) -> dict[str, Result]:
    """Let the contenders take turns.

    Args:
        commands: name -> Python program and its arguments.
        rounds: turns of each that count.
        warm_ups: turns before them that do not.

    Raises:
        RuntimeError: one of them failed.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    processes = {
        name: subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for name, command in commands.items()
    }
    try:
        for name, process in processes.items():
            _answer(name, process)
            process.send_signal(signal.SIGSTOP)
        rates = {name: [] for name in processes}
        for number in range(-warm_ups, rounds):
            for name, process in processes.items():
                process.send_signal(signal.SIGCONT)
                process.stdin.write("go\n")
                process.stdin.flush()
                rate = float(_answer(name, process))
                process.send_signal(signal.SIGSTOP)
                if number >= 0:
                    rates[name].append(rate)
        return {
            name: Result(tuple(rates[name]), _peak_megabytes(process.pid))
            for name, process in processes.items()
        }
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGCONT)
            process.stdin.close()
        for process in processes.values():
            process.wait()


def _answer(name: str, process: subprocess.Popen) -> str:
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{name} failed: {process.args}")
    return line


def _peak_megabytes(process: int) -> float:
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024
