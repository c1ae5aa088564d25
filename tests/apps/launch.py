"""Runs an app in a process of its own, which kills itself at a chosen moment.

    python launch.py APP DEVICES MOMENT ARGUMENTS...

DEVICES is the number of logical CPUs. MOMENT is "never", "step:N" (the rows of step N
are written and nothing else), "save:N" (the files of the checkpoint of step N are
written, its name is not), "validation:N" (at the N-th batch of it), or "signal:NAME:N"
(the signal comes while step N is recorded; the app goes on and answers it).
"""

import os
import pathlib
import runpy
import signal
import sys

import tfdl  # noqa: F401  # isort: skip
import tensorflow as tf

from tfdl.training import checkpoint, inference, logbook


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm_steps(kind: str, name: str, step: int) -> None:
    """Kill, or raise a signal, once the rows of a step are written."""
    write = logbook.Logbook.steps

    def steps(self, first, losses, rates):
        write(self, first, losses, rates)
        if first <= step < first + len(losses):
            kill() if kind == "step" else signal.raise_signal(getattr(signal, name))

    logbook.Logbook.steps = steps


def arm_save(step: int) -> None:
    """Kill when a checkpoint has its files and not its name."""
    publish = checkpoint._publish

    def half(unfinished, final):
        if final.name.endswith(f"{step:09d}"):
            kill()
        publish(unfinished, final)

    checkpoint._publish = half


def arm_validation(batch: int) -> None:
    """Kill at a batch of the first validation."""
    outputs = inference.outputs

    def some(*arguments, **options):
        for number, result in enumerate(outputs(*arguments, **options), 1):
            if number == batch:
                kill()
            yield result

    inference.outputs = some


def arm(moment: str) -> None:
    """Replace one function by one that also does what the moment asks for."""
    kind, *rest = moment.split(":")
    if kind in ("step", "signal"):
        arm_steps(kind, rest[0], int(rest[-1]))
    elif kind == "save":
        arm_save(int(rest[0]))
    elif kind == "validation":
        arm_validation(int(rest[0]))


if __name__ == "__main__":
    app, devices, moment, *arguments = sys.argv[1:]
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * int(devices)
    tf.config.set_logical_device_configuration(cpu, logical)
    arm(moment)
    sys.argv = [app, *arguments]
    sys.path.insert(0, str(pathlib.Path(app).parent))
    runpy.run_path(app, run_name="__main__")
