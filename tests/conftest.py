"""What every test runs under: two logical CPUs, float32, and no network."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pathlib

import tfdl  # noqa: F401  # isort: skip
import keras
import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Seed before the fixtures build their networks: no order of tests matters."""
    keras.utils.set_random_seed(1)


@pytest.fixture(autouse=True)
def _fresh_globals():
    """Undo what a test set: its own number format."""
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def mirrored_strategy() -> tf.distribute.Strategy:
    """Return the one MirroredStrategy of the process, over its two logical CPUs.

    A second one would start its collective keys anew, and reductions of different
    shapes under the same key abort.
    """
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture
def real_data() -> pathlib.Path:
    """Return the folder of the real data sets, or skip."""
    folder = pathlib.Path(os.environ.get("TFDL_DATA", "data"))
    if not (folder / "mnist_idx").is_dir():
        pytest.skip(f"no real data in {folder}: set TFDL_DATA to their folder")
    return folder
