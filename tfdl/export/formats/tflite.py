"""Writes a TensorFlow Lite file of the network and its postprocessing.

It takes `images`, not bytes: decoders and strings need the Flex delegate, which phones
and microcontrollers do not have.
"""

import contextlib
import math
import pathlib
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.export import freezing, parity
from tfdl.export.formats import publishing

SUFFIXES = {"none": "", "float16": "-float16", "int8": "-int8"}
TOLERANCES = {
    "none": parity.TOLERANCES["float32"],
    "float16": parity.TOLERANCES["float16"],
    "int8": math.inf,  # how good it is, the metric says
}


def write(
    base: pathlib.Path,
    infer: Callable,
    *,
    build: Callable[[Callable], Mapping[str, Callable]],
    examples: Mapping[str, tf.Tensor],
    quantization: str,
    calibration: tf.Tensor,
    measure: Callable[[Mapping[str, Callable]], dict[str, float]] | None,
    align: parity.Align = parity.as_it_is,
) -> pathlib.Path:
    """Write `<base>/<name>.tflite` and its report.

    Inputs and outputs are float32 in every kind, strings are left out, and the batch is
    open: `get_signature_runner("serve_tensor")` takes any number of rows, and with
    `invoke` they need `resize_tensor_input` first.

    Args:
        base: `savedmodels/<name>`.
        infer: the network, a tf.function with an input signature.
        build: as for `savedmodel.write`; "serve_tensor" is written.
        examples: {"images": tensor of two rows or more}.
        quantization: "none"; "float16", weights of half the size; "int8", weights and
            arithmetic in whole numbers.
        calibration: float32 (pictures, ...) like the network's input, from which int8
            takes its ranges; some hundred. Others ignore it.
        measure: as for `savedmodel.write`, of "serve_tensor" alone.
        align: see `parity.prove`.

    Returns:
        The path; beside it `<path>.json`.

    Raises:
        ModelFileError: the file does not answer as the network in memory does.
        UsageError: int8 without pictures to calibrate on.
    """
    if quantization == "int8" and not len(calibration):
        raise errors.UsageError(
            "--quantization int8 needs pictures for its ranges", "drop --skip-metric"
        )
    reference = publishing.without_strings(build(infer))
    function = publishing.without_strings(build(freezing.freeze(infer)))
    with _quiet():
        content = _convert(function, quantization, calibration)
        interpreter = tf.lite.Interpreter(model_content=content)
    runner = interpreter.get_signature_runner(publishing.SIGNATURE)

    def answer(images) -> dict:
        return runner(images=np.asarray(images))

    tolerance = TOLERANCES[quantization]
    report = publishing.prove(
        answer, reference, examples, tolerance=tolerance, align=align
    )
    report["metrics"] = publishing.measured(answer, reference, measure)
    report |= {"format": "tflite", "quantization": quantization}
    path = base / f"{base.name}{SUFFIXES[quantization]}.tflite"
    return publishing.publish(path, content, report)


def _convert(function: Callable, quantization: str, calibration: tf.Tensor) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        module = tf.Module()
        module.function = function
        signatures = {publishing.SIGNATURE: function.get_concrete_function()}
        tf.saved_model.save(module, folder, signatures=signatures)
        # Of a Keras model's concrete functions the converter makes NaN.
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if quantization != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantization == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if quantization == "int8":
            converter.representative_dataset = lambda: (
                {"images": calibration[row : row + 1]}
                for row in range(len(calibration))
            )
            whole_numbers = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
            converter.target_spec.supported_ops = [whole_numbers]
        return converter.convert()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide that the interpreter is to move to a package of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
