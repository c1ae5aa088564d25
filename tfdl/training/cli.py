"""The command line of every app: verbs, presets, errors and exit codes."""

import contextlib
import dataclasses
import errno
import io
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tyro

from tfdl import errors
from tfdl.training import flags as shared_flags, strategy

_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Lines of TensorFlow's messages that say where an error is and not what.
_PLACES = ("Graph execution error", "Detected at", "<stack traces", "File ")

Verbs = Mapping[Callable[[Any], None], type]


def main(
    verbs: Verbs,
    description: str,
    *,
    presets: Mapping[str, Any],
    task: str,
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a verb of an app, and turn what goes wrong into two lines and an exit code.

    Args:
        verbs: function, named as the verb -> dataclass of the flags that it takes.
        description: what `--help` without a verb prints.
        presets: name -> instance of the flags of `train`, to be changed by flags.
        task: the folder below `runs` that runs are kept in by default.
        arguments: the command line without the program's name; by default sys.argv's.

    Returns:
        The exit code: 0 ok, 1 bug, 2 usage, 3 data, 4 model file, 5 diverged, 6
        resources, 7 network, 75 terminated and resumable, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] in (["-h"], ["--help"]):
        print(description)
        return 0

    def call_verb():
        function, flags = _parse(verbs, presets, task, arguments)
        run = getattr(flags, "run", None)
        if isinstance(run, shared_flags.Run):
            strategy.create(run.strategy)
        function(flags)

    return _exit_code(call_verb, debug="--debug" in arguments)


def main_without_verbs(
    function: Callable[[Any], None],
    kind: type,
    *,
    arguments: Sequence[str] | None = None,
) -> int:
    """Run an app that does one thing, and whose flags are spelled with underscores.

    Args:
        function: what the app does.
        kind: dataclass of the flags that it takes.
        arguments: as for `main`.

    Returns:
        The exit code, as of `main`.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)

    def call():
        function(_flags(kind, None, arguments, _program(), use_underscores=True))

    return _exit_code(call, debug="--debug" in arguments)


def say(*lines: str) -> None:
    """Print lines as they are, unwrapped."""
    print(*lines, sep="\n", flush=True)


def _exit_code(call: Callable[[], None], *, debug: bool) -> int:
    """Call an app, and say what went wrong if anything does."""
    try:
        with _plain_warnings():
            call()
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        message, remedy, code = _explain(error)
        print(f"error: {' '.join(message.split())}\nremedy: {remedy}", file=sys.stderr)
        return code
    return 0


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Write warnings for people: what, and not where in the code."""
    kept = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = kept


def _parse(verbs, presets, task, arguments: list[str]):
    """Return (the verb's function, its flags)."""
    if not arguments:
        raise errors.UsageError(
            f"name a verb: {', '.join(v.__name__ for v in verbs)}",
            "VERB --help lists the flags of each",
        )
    functions = {function.__name__: function for function in verbs}
    verb = shared_flags.choose("verb", arguments[0], functions)
    function, kind = functions[verb], verbs[functions[verb]]
    preset, rest = _take_preset(presets, arguments[1:])
    if isinstance(preset, kind):
        default = preset
    else:
        default = None
        takes_run = any(field.name == "run" for field in dataclasses.fields(kind))
        if preset is not None and takes_run and "--run" not in rest:
            rest = ["--run", str(shared_flags.run_of(preset, task)), *rest]
    return function, _flags(kind, default, rest, f"{_program()} {verb}")


def _take_preset(presets, arguments: list[str]):
    """Return (the preset that the arguments name or None, the other arguments)."""
    for number, argument in enumerate(arguments):
        name, has_value, value = argument.partition("=")
        if name != "--preset":
            continue
        end = number + 1
        if not has_value:
            value = "".join(arguments[end : end + 1])
            end += 1
        shared_flags.choose("--preset", value, presets)
        return presets[value], arguments[:number] + arguments[end:]
    return None, arguments


def _flags(kind: type, default, arguments: list[str], program: str, **options):
    """Parse flags with tyro, and put what it has to say into one line."""
    said = io.StringIO()
    markers = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    extra = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                kind,
                args=arguments,
                config=markers,
                prog=program,
                **extra,
                **options,
            )
    except SystemExit as error:
        if not error.code:
            raise
        _raise_own(error)
        message, suggestion = _first_paragraphs(said.getvalue())
        remedy = suggestion or f"{program} --help lists the flags"
        raise errors.UsageError(message, remedy) from None


def _raise_own(error: BaseException | None) -> None:
    """Raise what our own check of a flag said, before tyro put it into a box."""
    while error is not None:
        if isinstance(error, errors.UserError):
            raise error from None
        error = error.__context__


def _first_paragraphs(box: str) -> tuple[str, str]:
    """Take the message, and a suggestion, out of tyro's box."""
    lines = [line.strip(" │╭╮╰╯") for line in box.splitlines()[1:]]
    message, suggestion = [], ""
    for line in lines:
        if "─" in line or line.startswith("Argument helptext"):
            break
        message.append(line)
    for number, line in enumerate(lines):
        if line.startswith("Perhaps you meant"):
            suggestion = f"did you mean {lines[number + 1].split()[0]}?"
    return " ".join(filter(None, message)), suggestion


def _program() -> str:
    return f"python {sys.argv[0]}"


def _explain(error: BaseException) -> tuple[str, str, int]:
    """Return (what is wrong, what mends it, exit code)."""
    text = str(error) or type(error).__name__
    first = _first_line(text)
    if isinstance(error, errors.UserError):
        return text, error.remedy, error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "stopped by Ctrl-C", "run the same command again", 130
    if isinstance(error, tf.errors.UnavailableError):
        remedy = "restart every worker with the same command; they resume"
        return f"a worker is lost: {first}", remedy, 75
    if isinstance(error, tf.errors.NotFoundError):  # deleted during the training
        return first, "put the file back, then run the same command again", 3
    if isinstance(error, OSError) and error.errno in _DISK_IS_FULL:
        return text, "free disk space, then run the same command again", 6
    if isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
        remedy = "choose a smaller --batch-size, --image-size or --cache-mb"
        return f"the memory is exhausted: {first}", remedy, 6
    remedy = "run it again with --debug and report the traceback"
    return f"{type(error).__name__}: {first}", remedy, 1


def _first_line(text: str) -> str:
    """Return the line that says what is wrong in a message of any length."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    reasons = [line for line in lines if not line.startswith(_PLACES)] or lines
    # AutoGraph puts the reason last, TensorFlow first and the node's name after it.
    return reasons[-1 if lines[0].startswith("in user code") else 0].partition(" [[")[0]
