"""Proves a file of another runtime against the model in memory, and publishes both."""

import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tfdl.export import parity

SIGNATURE = "serve_tensor"

Answer = Callable[..., Mapping[str, np.ndarray]]


def without_strings(signatures: Mapping[str, Callable]) -> Callable:
    """Leave out what other runtimes have no type for.

    Args:
        signatures: with "serve_tensor", a tf.function of `images` with an input
            signature that returns a dict.

    Returns:
        A tf.function of the same input that returns the numbers of "serve_tensor".
    """
    function = signatures[SIGNATURE]

    @tf.function(input_signature=function.input_signature)
    def numbers(images: tf.Tensor) -> dict[str, tf.Tensor]:
        answered = function(images)
        return {
            name: value for name, value in answered.items() if value.dtype != tf.string
        }

    return numbers


def prove(
    answer: Answer,
    reference: Callable,
    inputs: Mapping[str, tf.Tensor],
    *,
    tolerance: float,
    align: parity.Align = parity.as_it_is,
) -> dict:
    """Compare a runtime's answers with those in memory, together and row by row.

    Args:
        answer: the runtime, of named arrays.
        reference: the function in memory, as `without_strings` makes it.
        inputs: name -> tensor, rows first.
        tolerance: as in `parity.prove`; infinity reports differences and allows them.
        align: likewise.

    Returns:
        {"num_examples", "outputs": name -> figures as in `parity.compare`}.

    Raises:
        ModelFileError: an output differs by more.
    """
    arrays = {name: value.numpy() for name, value in inputs.items()}
    num_rows = len(next(iter(arrays.values())))
    rows = [
        answer(**{name: value[row : row + 1] for name, value in arrays.items()})
        for row in range(num_rows)
    ]
    singly = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    expected = reference(**inputs)
    outputs = parity.compare(
        SIGNATURE,
        expected,
        align(expected, answer(**arrays), tolerance),
        align(expected, singly, tolerance),
        tolerance=tolerance,
    )
    for figures in outputs.values():
        if figures["tolerance"] == math.inf:  # JSON has no word for it
            figures["tolerance"] = None
    return {"num_examples": num_rows, "outputs": outputs}


def measured(answer: Answer, reference: Callable, measure: Callable | None) -> dict:
    """Measure both on the same data -> {"in_memory", "served"}, or {} without data."""
    if measure is None:
        return {}
    return {
        "in_memory": measure({SIGNATURE: reference}),
        "served": measure({SIGNATURE: answer}),
    }


def publish(path: pathlib.Path, content: bytes, report: Mapping) -> pathlib.Path:
    """Write a file, and what is known of it as JSON beside it.

    Each appears whole, by a rename.

    Args:
        path: of the file; the report is `<file>.json`.
        content: of the file.
        report: what JSON can hold; the file's size is added.

    Returns:
        The path.
    """
    report = {"file": path.name, "bytes": len(content), **report}
    text = json.dumps(report, indent=2) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, data in ((path.name, content), (f"{path.name}.json", text.encode())):
        unfinished = path.with_name(f".tmp-{os.getpid()}-{name}")
        try:
            unfinished.write_bytes(data)
            os.replace(unfinished, path.with_name(name))
        finally:
            unfinished.unlink(missing_ok=True)
    return path
