"""Imports TensorFlow without the lines that its start-up writes past all logging.

Apps import this first: what they have to say is one line, and it should be seen.
"""

import os

_STANDARD_ERROR = 2


def _import_tensorflow() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors are still shown
    kept = os.dup(_STANDARD_ERROR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STANDARD_ERROR)
    try:
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(kept, _STANDARD_ERROR)
        os.close(kept)
        os.close(nowhere)


_import_tensorflow()
