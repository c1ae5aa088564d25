"""Proves in a fresh process that an export answers as the model in memory does."""

import contextlib
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.export import stranger

# Of a difference, as a share of the output's largest magnitude where that is over 1.
TOLERANCES = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 5e-2}

# What TensorFlow Serving can write as JSON.
DTYPES = (tf.float32, tf.int32, tf.int64, tf.bool, tf.string)

_SCRIPT = pathlib.Path(stranger.__file__)
_PATIENCE_SECONDS = 600

Answers = Mapping[str, tf.Tensor]
# (expected, found, tolerance) -> found, in the order of what was expected
Align = Callable[[Answers, Answers, float], Answers]


def as_it_is(_: Answers, found: Answers, __: float) -> Answers:
    """Compare answers in the order in which they came."""
    return found


def prove(
    folder: pathlib.Path,
    functions: Mapping[str, Callable],
    examples: Mapping[str, Mapping[str, tf.Tensor]],
    *,
    tolerance: float,
    align: Align = as_it_is,
) -> dict:
    """Compare an export with the functions in memory, on examples.

    A process that has TensorFlow and not tfdl loads the export, answers the examples of
    every signature together and one by one, and replays the warm-up requests.

    Args:
        folder: of the export, complete but for its number.
        functions: signature -> function in memory.
        examples: signature -> input -> tensor, of two rows or more.
        tolerance: most that a float may differ; other outputs must be equal, unless it
            is over that of float32.
        align: (expected, found, tolerance) -> found, where rounding alone may decide on
            the order of a list, or on its last members.

    Returns:
        {"signatures": signature -> {"num_examples", "outputs": name -> figures as in
        `compare`}, "warmup_records", "seconds"}.

    Raises:
        ModelFileError: an output differs, has another form than a server can answer
            with, or the export does not load or answer.
    """
    start = time.monotonic()
    with _same_arithmetic():
        expected = {
            name: functions[name](**inputs) for name, inputs in examples.items()
        }
    for name, answers in expected.items():
        check_form(name, answers, num_rows=_num_rows(examples[name]))
    found = _ask(folder, examples)
    report = {}
    for name, answers in expected.items():
        _check_shapes(name, found["shapes"][name])
        together, singly = (
            {
                output: stranger.unpacked(entry)
                for output, entry in found["answers"][name][way].items()
            }
            for way in ("together", "singly")
        )
        report[name] = {
            "num_examples": _num_rows(examples[name]),
            "outputs": compare(
                name,
                answers,
                align(answers, together, tolerance),
                align(answers, singly, tolerance),
                tolerance=tolerance,
            ),
        }
    return {
        "signatures": report,
        "warmup_records": found["warmup_records"],
        "seconds": round(time.monotonic() - start, 1),
    }


def check_form(signature: str, answers: Answers, *, num_rows: int) -> None:
    """Check that a server can write the outputs row by row.

    Args:
        signature: the name for messages.
        answers: output -> tensor.
        num_rows: of the inputs.

    Raises:
        ModelFileError: an output's dtype is none of `DTYPES`, it is a scalar, or it has
            another number of rows.
    """
    for name, value in answers.items():
        place = f"output {name} of signature {signature}"
        if value.dtype not in DTYPES:
            raise errors.ModelFileError(
                f"{place} is {value.dtype.name}",
                f"cast it to one of {', '.join(dtype.name for dtype in DTYPES)}",
            )
        if value.shape.rank == 0 or len(value) != num_rows:
            raise errors.ModelFileError(
                f"{place} has shape {tuple(value.shape)} for {num_rows} examples",
                "give it one row for each example",
            )


def compare(
    signature: str,
    expected: Answers,
    together: Answers,
    singly: Answers,
    *,
    tolerance: float,
) -> dict[str, dict]:
    """Compare the outputs of a signature.

    Args:
        signature: the name for messages.
        expected: output -> tensor, of the function in memory.
        together: the same of the export, all rows in one call.
        singly: the same, a call for each row.
        tolerance: as in `prove`.

    Returns:
        output -> {"dtype", "max_abs_difference" between memory and export,
        "max_abs_difference_single" between one call and a call for each row,
        "tolerance"}; of what is no float, the share of values that differ.

    Raises:
        ModelFileError: a difference exceeds the tolerance, or an output is missing.
    """
    report = {}
    for name, value in expected.items():
        place = f"output {name} of signature {signature}"
        if name not in together:
            raise errors.ModelFileError(f"{place} is missing", "report this as a bug")
        limit = _limit(value, tolerance)
        figures = {
            "max_abs_difference": difference(value, together[name]),
            "max_abs_difference_single": difference(together[name], singly[name]),
        }
        for figure, measured in figures.items():
            if not measured <= limit:
                raise errors.ModelFileError(
                    f"{place}: {figure} is {measured:.3g}, more than {limit:.3g}",
                    "nothing was published; if the model's numbers are huge or not "
                    "finite, train it again, else report this as a bug",
                )
        report[name] = {"dtype": value.dtype.name, **figures, "tolerance": limit}
    return report


def difference(first: tf.Tensor, second: tf.Tensor) -> float:
    """Measure the largest absolute difference of floats, else the share that differs.

    Args:
        first: any tensor.
        second: one of the same dtype; if its shape is another, they differ by infinity.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.dtype != second.dtype:
        return math.inf
    if first.size == 0:
        return 0.0
    if np.issubdtype(first.dtype, np.floating):
        return float(np.max(np.abs(first.astype(np.float64) - second)))
    return float(np.mean(first != second))


def _limit(value: tf.Tensor, tolerance: float) -> float:
    if value.dtype.is_floating:
        return tolerance * max(1.0, float(tf.reduce_max(tf.abs(value))))
    # In a lower precision, the most probable class of a doubtful example may change.
    return 0.0 if tolerance <= TOLERANCES["float32"] else 1.0


def _check_shapes(signature: str, shapes: Mapping[str, list | None]) -> None:
    """Check that the graph itself says that any number of rows may come."""
    for name, shape in shapes.items():
        if not shape or shape[0] is not None:
            raise errors.ModelFileError(
                f"output {name} of signature {signature} has static shape {shape}",
                "leave the batch dimension open",
            )


def _ask(folder: pathlib.Path, examples: Mapping) -> dict:
    questions = {
        signature: {name: stranger.packed(value) for name, value in inputs.items()}
        for signature, inputs in examples.items()
    }
    with tempfile.TemporaryDirectory() as place:
        asked, answered = (pathlib.Path(place, name) for name in ("asked", "answered"))
        asked.write_text(json.dumps(questions))
        command = [sys.executable, "-I", str(_SCRIPT), str(folder)]
        # Without a GPU, whose memory this process holds.
        alone = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
        try:
            done = subprocess.run(
                [*command, str(asked), str(answered)],
                env=os.environ | alone,
                capture_output=True,
                text=True,
                timeout=_PATIENCE_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise errors.ModelFileError(
                f"the export does not answer within {_PATIENCE_SECONDS} seconds",
                "nothing was published; free the processor and try again",
            ) from error
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
            raise errors.ModelFileError(
                f"the export does not answer in a process without tfdl: {reason}",
                "nothing was published; keep Python out of the graph",
            )
        return json.loads(answered.read_text())


@contextlib.contextmanager
def _same_arithmetic() -> Iterator[None]:
    """Compute in full float32 on a GPU too, as the other process does on the CPU."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _num_rows(inputs: Mapping[str, tf.Tensor]) -> int:
    return len(next(iter(inputs.values())))
