"""Writes a trained run's network in the format that was asked for."""

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import tensorflow as tf

from tfdl.export import card, parity, savedmodel
from tfdl.export.formats import onnx, tflite


class Options(Protocol):
    """What was asked for, see `tfdl.training.verbs.Export`."""

    run: pathlib.Path
    base: pathlib.Path
    format: str
    quantization: str


def write(
    options: Options,
    infer: Callable,
    *,
    reference: Callable,
    build: savedmodel.Build,
    labels: Sequence[str],
    examples: Mapping[str, Mapping[str, tf.Tensor]],
    calibration: tf.Tensor,
    measure: savedmodel.Measure | None,
    align: parity.Align = parity.as_it_is,
) -> pathlib.Path:
    """Write `<base>/<name>/<version>`, or `<name>.tflite` or `<name>.onnx` beside it.

    The name is that of the run's folder. The run's flags and metrics are copied beside
    a SavedModel.

    Args:
        options: the run, the folder of all models, the format and its quantization.
        infer: the network to write, a tf.function with an input signature.
        reference: the network that was evaluated, which a SavedModel must equal.
        build: network -> {signature: tf.function}, see `savedmodel.write`.
        labels: names of the classes, for `labels.txt`.
        examples: signature -> input -> tensor, of two rows or more, for the proof.
        calibration: see `tflite.write`.
        measure: signatures -> metrics of the test split, or None without data.
        align: see `parity.prove`.

    Returns:
        The version's folder, or the file.

    Raises:
        UserError: see the formats' own `write`.
    """
    base = options.base / options.run.resolve().name
    if options.format == "savedmodel":
        return savedmodel.write(
            base,
            infer,
            reference=reference,
            build=build,
            examples=examples,
            assets={"labels.txt": "\n".join(labels) + "\n"},
            extras=_texts_of_run(base.name, options.run, labels),
            measure=measure,
            align=align,
        )
    shared = {"build": build, "measure": measure, "align": align}
    shared["examples"] = examples["serve_tensor"]
    if options.format == "tflite":
        shared["quantization"] = options.quantization
        return tflite.write(base, infer, calibration=calibration, **shared)
    return onnx.write(base, infer, **shared)


def _texts_of_run(name: str, run: pathlib.Path, labels: Sequence[str]) -> dict:
    config = (run / "config.json").read_text()
    measured = run / "eval" / "metrics.json"
    metrics = json.loads(measured.read_text()) if measured.exists() else {}
    about = card.text(name, config=json.loads(config), metrics=metrics, labels=labels)
    return {"config.json": config, "model_card.md": about}
