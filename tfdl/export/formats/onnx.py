"""Writes an ONNX file of the network and its postprocessing.

It takes `images`, not bytes: ONNX has no decoders of pictures.
"""

import importlib
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.export import freezing, parity
from tfdl.export.formats import publishing

_OPSET = 17


def write(
    base: pathlib.Path,
    infer: Callable,
    *,
    build: Callable[[Callable], Mapping[str, Callable]],
    examples: Mapping[str, tf.Tensor],
    measure: Callable[[Mapping[str, Callable]], dict[str, float]] | None,
    align: parity.Align = parity.as_it_is,
) -> pathlib.Path:
    """Write `<base>/<name>.onnx` and its report.

    Strings are left out, and the batch is open. The pictures' channels stay last.

    Args:
        base: `savedmodels/<name>`.
        infer: the network, a tf.function with an input signature.
        build: as for `savedmodel.write`; "serve_tensor" is written.
        examples: {"images": tensor of two rows or more}.
        measure: as for `savedmodel.write`, of "serve_tensor" alone.
        align: see `parity.prove`.

    Returns:
        The path; beside it `<path>.json`.

    Raises:
        ModelFileError: the file does not answer as the network in memory does.
        UsageError: the packages for ONNX are missing.
    """
    converter, runtime = _package("tf2onnx"), _package("onnxruntime")
    reference = publishing.without_strings(build(infer))
    function = publishing.without_strings(build(freezing.freeze(infer)))
    model, _ = converter.convert.from_function(
        function, input_signature=function.input_signature, opset=_OPSET
    )
    content = model.SerializeToString()
    answer = _answer(runtime, content)
    tolerance = parity.TOLERANCES["float32"]
    report = publishing.prove(
        answer, reference, examples, tolerance=tolerance, align=align
    )
    report["metrics"] = publishing.measured(answer, reference, measure)
    report |= {"format": "onnx", "opset": _OPSET}
    return publishing.publish(base / f"{base.name}.onnx", content, report)


def _package(name: str):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise errors.UsageError(
            f"--format onnx needs the package {name}",
            "pip install 'tfdl[onnx]'",
        ) from error


def _answer(runtime, content: bytes) -> Callable:
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]

    def answer(images) -> dict:
        values = session.run(outputs, {"images": np.asarray(images)})
        return dict(zip(outputs, values, strict=True))

    return answer
