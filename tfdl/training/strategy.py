"""Chooses where the training runs: one device, several, several machines, or a TPU."""

import functools
import json
import os
import pathlib

import tensorflow as tf

from tfdl import errors

NAMES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")
_REMEDY = (
    'set TF_CONFIG to {"cluster": {"worker": [HOST:PORT, ...]}, "task": {"type": '
    '"worker", "index": N}} on every worker'
)


def create(name: str) -> tf.distribute.Strategy:
    """Create the strategy of this name, or return the one that this process has.

    Several workers must find each other before TensorFlow has computed anything, so
    `cli.main` calls this first.

    Args:
        name: "one_device", the first GPU or else the CPU; "mirrored", all the GPUs or
            else all the logical CPUs of this machine; "multi_worker", the cluster that
            TF_CONFIG describes; "tpu", the TPU that TPU_NAME or the machine offers;
            "auto", the largest of these that is there (but never the TPU).

    Raises:
        UsageError: the name is unknown, or TF_CONFIG is missing or wrong.
        ResourceError: there is no TPU.
    """
    if name not in NAMES:
        raise errors.UsageError(
            f"--strategy {name} is unknown", f"choose one of {', '.join(NAMES)}"
        )
    return _create(_largest() if name == "auto" else name)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Tell whether this process writes the run folder."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def own_folder(strategy: tf.distribute.Strategy, folder: pathlib.Path) -> pathlib.Path:
    """Name where this process logs: the run's folder, or a worker's own one in it."""
    if is_chief(strategy):
        return folder
    resolver = strategy.cluster_resolver
    own = folder / "workers" / f"{resolver.task_type}-{resolver.task_id}"
    own.mkdir(parents=True, exist_ok=True)
    return own


@functools.cache
def _create(name: str) -> tf.distribute.Strategy:
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(_devices())
    if name == "multi_worker":
        return _multi_worker()
    if name == "tpu":
        return _tpu()
    return tf.distribute.OneDeviceStrategy(_devices()[0])


def _largest() -> str:
    cluster = _cluster()
    if len(cluster.get("worker", [])) + len(cluster.get("chief", [])) > 1:
        return "multi_worker"
    return (
        "mirrored"
        if len(tf.config.list_physical_devices("GPU")) > 1
        else ("one_device")
    )


def _devices() -> list[str]:
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    count = len(tf.config.list_logical_devices(kind))
    return [f"{kind}:{number}" for number in range(count)]


def _cluster() -> dict:
    """Read the machines of each kind from TF_CONFIG; none without it."""
    try:
        return json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
    except (ValueError, AttributeError) as error:
        raise errors.UsageError(
            f"the environment variable TF_CONFIG is no JSON object ({error})", _REMEDY
        ) from error


def _multi_worker() -> tf.distribute.Strategy:
    if not _cluster():
        raise errors.UsageError(
            "--strategy multi_worker needs the environment variable TF_CONFIG", _REMEDY
        )
    return tf.distribute.MultiWorkerMirroredStrategy()


def _tpu() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise errors.ResourceError(
            f"--strategy tpu finds no TPU ({type(error).__name__})",
            "run on a TPU machine, or choose another strategy",
        ) from error
    return tf.distribute.TPUStrategy(resolver)
