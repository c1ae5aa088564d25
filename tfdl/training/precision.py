"""Sets the number format that layers compute in."""

import pathlib

import keras
import tensorflow as tf

from tfdl import errors

_CPU_FLAGS = ("avx512_bf16", "amx_bf16")


def use(name: str) -> None:
    """Make layers that are built from now on compute in float32 or bfloat16.

    Weights, losses and the statistics of normalisation stay in float32.

    Args:
        name: "float32" or "bfloat16".

    Raises:
        ResourceError: bfloat16 on a machine without instructions for it, where it is
            many times slower than float32.
    """
    if name == "bfloat16" and not has_bfloat16():
        raise errors.ResourceError(
            "--precision bfloat16: this CPU has no instructions for it",
            "use --precision float32",
        )
    keras.config.set_dtype_policy({"bfloat16": "mixed_bfloat16"}.get(name, name))


def has_bfloat16() -> bool:
    """Tell whether this machine has instructions for bfloat16."""
    if tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU"):
        return True
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:  # no Linux: cannot tell, so let it run
        return True
    return any(flag in flags for flag in _CPU_FLAGS)
