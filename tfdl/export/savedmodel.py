"""Writes a version of a SavedModel that appears whole or not at all."""

import os
import pathlib
import shutil
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from tfdl import errors


def write(
    base: pathlib.Path,
    model: keras.Model,
    *,
    signatures: Mapping[str, Callable],
    assets: Mapping[str, str],
) -> pathlib.Path:
    """Write the next version of a model.

    Args:
        base: `savedmodels/<name>`; versions are the folders in it with a number as
            their name. The next is one more than the largest, so none is used twice.
        model: whose variables the signatures use.
        signatures: name -> tf.function with an input signature that returns a dict.
        assets: file name -> text; kept in `assets/` and, for servers and people, in
            `assets.extra/`.

    Returns:
        The version's folder.

    Raises:
        ResourceError: it cannot be written; nothing is left of it.
        UsageError: TensorFlow could not load it from there.
    """
    if set("[\\") & set(str(base.resolve())):
        raise errors.UsageError(
            f"{base}: TensorFlow cannot load a model from a path with [ or \\",
            "name another folder",
        )
    version = 1 + max(map(int, _versions(base)), default=0)
    unfinished = base / f".tmp-{version}-{os.getpid()}"
    sources = base / f".tmp-assets-{os.getpid()}"
    try:
        _write_texts(sources, assets)
        module = tf.Module()
        module.variables_of_model = [variable.value for variable in model.variables]
        module.files = [tf.saved_model.Asset(str(sources / name)) for name in assets]
        module.functions = dict(signatures)
        tf.saved_model.save(module, str(unfinished), signatures=dict(signatures))
        _write_texts(unfinished / "assets.extra", assets)
        os.rename(unfinished, base / str(version))
    except (OSError, tf.errors.OpError) as error:
        raise errors.ResourceError(
            f"{base / str(version)} cannot be written: {error}",
            "free disk space or name another folder",
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(sources, ignore_errors=True)
    return base / str(version)


def _versions(base: pathlib.Path) -> list[str]:
    return [path.name for path in base.glob("*") if path.name.isdecimal()]


def _write_texts(folder: pathlib.Path, texts: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
