"""Chooses where the training runs: one device, several, several machines, or a TPU."""

import json
import os
import pathlib

import tensorflow as tf

from tfdl import errors

NAMES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")


def create(name: str) -> tf.distribute.Strategy:
    """Create the strategy of this name.

    Args:
        name: "one_device", the first GPU or else the CPU; "mirrored", all the GPUs or
            else all the logical CPUs of this machine; "multi_worker", the cluster that
            TF_CONFIG describes; "tpu", the TPU that TPU_NAME or the machine offers;
            "auto", the largest of these that is there (but never the TPU).

    Raises:
        UsageError: the name is unknown, or multi_worker without TF_CONFIG.
        ResourceError: there is no TPU.
    """
    if name not in NAMES:
        raise errors.UsageError(
            f"--strategy {name} is unknown", f"choose one of {', '.join(NAMES)}"
        )
    if name == "auto":
        name = _largest()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(_devices())
    if name == "multi_worker":
        return _multi_worker()
    if name == "tpu":
        return _tpu()
    return tf.distribute.OneDeviceStrategy(_devices()[0])


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


def _largest() -> str:
    cluster = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
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


def _multi_worker() -> tf.distribute.Strategy:
    if "TF_CONFIG" not in os.environ:
        raise errors.UsageError(
            "--strategy multi_worker needs the environment variable TF_CONFIG",
            'set it to {"cluster": {"worker": [HOST:PORT, ...]}, "task": {"type": '
            '"worker", "index": N}} on every worker',
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
