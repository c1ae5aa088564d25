"""Writes a version of a SavedModel that is proved first, and appears whole or not."""

import json
import pathlib
import shutil
import warnings
from collections.abc import Callable, Mapping

import tensorflow as tf

from tfdl import errors
from tfdl.export import freezing, parity, versions, warmup

EXTRA = "assets.extra"  # for people and servers; TensorFlow does not load it
METRIC_TOLERANCE = 1e-3  # one of a thousand doubtful examples may fall otherwise

Signatures = Mapping[str, Callable]
Build = Callable[[Callable], Signatures]
Measure = Callable[[Signatures], dict[str, float]]


def write(
    base: pathlib.Path,
    infer: Callable,
    *,
    reference: Callable,
    build: Build,
    examples: Mapping[str, Mapping[str, tf.Tensor]],
    assets: Mapping[str, str],
    extras: Mapping[str, str],
    measure: Measure | None,
    align: parity.Align = parity.as_it_is,
    warn: Callable[[str], None] = warnings.warn,
) -> pathlib.Path:
    """Write the next version of a model, prove it, then give it its number.

    Args:
        base: `savedmodels/<name>`; versions are the folders in it with a number as
            their name. The next is one more than the largest, so none is used twice.
        infer: the network, a tf.function with an input signature. Its variables become
            constants, which all signatures share.
        reference: what the export must equal: `infer`, or the same network in the
            precision it was trained in.
        build: network -> {signature: tf.function with an input signature, whose
            arguments have the names of its specs, that returns a dict}. It is called
            with `reference` for the answers in memory, and with constants for the
            export.
        examples: signature -> input -> tensor, of two rows or more; for the proof and
            for the warm-up requests.
        assets: file name -> text; kept in `assets/`, which TensorFlow loads, and in
            `assets.extra/`.
        extras: file name -> text; kept in `assets.extra/` alone.
        measure: signatures -> metrics, called with those in memory and those of the
            export; None where there are no data.
        align: see `parity.prove`.
        warn: takes one line where the network is too large for constants.

    Returns:
        The version's folder. Its `assets.extra/parity.json` holds what `parity.prove`
        reports, and both metrics. Differences are those of the lower precision of
        `infer` and `reference`.

    Raises:
        ModelFileError: the export does not answer as the network in memory.
        ResourceError: it cannot be written; nothing is left of it.
        UsageError: TensorFlow could not load it from there.
    """
    if set("[\\") & set(str(base.resolve())):
        raise errors.UsageError(
            f"{base}: TensorFlow cannot load a model from a path with [ or \\",
            "name another folder",
        )
    is_small = freezing.weight_bytes(infer) <= freezing.LIMIT_BYTES
    if not is_small:
        warn(f"{base}: over 1.8 GB of weights stay variables, the export is slower")
    variables = () if is_small else infer.get_concrete_function().variables
    functions, lowest = build(reference), freezing.precision(infer, reference)
    tolerance = parity.TOLERANCES[lowest]
    try:
        with versions.unfinished(base) as folder:
            served = build(freezing.freeze(infer) if is_small else infer)
            _save(folder, served, variables, assets)
            extra = folder / EXTRA
            warmup.write(extra / warmup.NAME, base.name, examples)
            _write_texts(extra, {**assets, **extras})
            report = parity.prove(
                folder, functions, examples, tolerance=tolerance, align=align
            )
            report |= {"is_frozen": is_small, "precision": lowest}
            report["metrics"] = _measured(folder, functions, measure, tolerance)
            _write_texts(extra, {"parity.json": json.dumps(report, indent=2) + "\n"})
            return versions.publish(folder)
    except (OSError, tf.errors.OpError) as error:
        raise errors.ResourceError(
            f"{base} cannot be written: {error}",
            "free disk space or name another folder",
        ) from error


def _save(folder, signatures: Signatures, variables, assets: Mapping) -> None:
    module = tf.Module()
    module.functions, module.variables_of_model = dict(signatures), variables
    # TensorFlow copies assets when it saves, from files that are there until then.
    sources = folder / ".assets"
    _write_texts(sources, assets)
    module.files = [tf.saved_model.Asset(str(sources / name)) for name in assets]
    tf.saved_model.save(module, str(folder), signatures=dict(signatures))
    shutil.rmtree(sources)


def _measured(folder, functions: Signatures, measure, tolerance: float) -> dict:
    """Measure the model in memory and the export on the same examples."""
    if measure is None:
        return {}
    loaded = tf.saved_model.load(str(folder))
    memory, served = measure(functions), measure(loaded.signatures)
    limit = max(METRIC_TOLERANCE, tolerance)
    for name, value in memory.items():
        if not abs(value - served[name]) <= limit * max(1.0, abs(value)):
            raise errors.ModelFileError(
                f"{name} is {served[name]:.5g} of the export and {value:.5g} in memory",
                "nothing was published; report this as a bug",
            )
    return {"in_memory": memory, "served": served}


def _write_texts(folder: pathlib.Path, texts: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
