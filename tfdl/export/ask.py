"""Asks a SavedModel about picture files, with TensorFlow alone.

python -m tfdl.export.ask savedmodels/NAME PICTURE [PICTURE ...]
"""

import pathlib
import sys
from collections.abc import Sequence

import tfdl.quiet  # noqa: F401  # isort: skip
import tensorflow as tf

from tfdl import errors


def ask(base: pathlib.Path, pictures: Sequence[pathlib.Path]) -> dict[str, tf.Tensor]:
    """Load the newest version and call `serving_default` with the files' bytes.

    Args:
        base: `savedmodels/<name>`.
        pictures: files of any format that the export reads.

    Returns:
        What the signature returns; the first dimension of each is the pictures'.

    Raises:
        ModelFileError: there is no version.
    """
    versions = [int(path.name) for path in base.glob("*") if path.name.isdecimal()]
    if not versions:
        raise errors.ModelFileError(f"{base} holds no version", "export a run first")
    loaded = tf.saved_model.load(str(base / str(max(versions))))
    content = tf.constant([picture.read_bytes() for picture in pictures])
    return loaded.signatures["serving_default"](image_bytes=content)


if __name__ == "__main__":
    paths = [pathlib.Path(argument) for argument in sys.argv[1:]]
    for name, value in ask(paths[0], paths[1:]).items():
        print(f"{name}: {value.numpy().tolist()}")
