import json
import pathlib
import types

import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.training import strategy


def worker(kind, number, jobs):
    """Stand in for the strategy of one worker of a cluster."""
    resolver = types.SimpleNamespace(
        task_type=kind,
        task_id=number,
        cluster_spec=lambda: types.SimpleNamespace(jobs=jobs),
    )
    return types.SimpleNamespace(cluster_resolver=resolver)


def test_one_device_is_one_replica_and_the_same_object_every_time():
    one = strategy.create("one_device")
    assert isinstance(one, tf.distribute.OneDeviceStrategy)
    assert one.num_replicas_in_sync == 1
    assert strategy.create("one_device") is one


def test_auto_takes_one_device_where_there_is_one_accelerator_at_most(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert strategy.create("auto") is strategy.create("one_device")


@pytest.mark.parametrize(
    ("cluster", "name"),
    [
        ({"worker": ["first:1", "second:1"]}, "multi_worker"),
        ({"chief": ["first:1"], "worker": ["second:1"]}, "multi_worker"),
        ({"worker": ["first:1"]}, "one_device"),
    ],
)
def test_auto_takes_every_worker_of_a_cluster(monkeypatch, cluster, name):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster}))
    monkeypatch.setattr(strategy, "_create", lambda name: name)
    assert strategy.create("auto") == name


def test_an_unknown_name_is_refused():
    with pytest.raises(errors.UsageError, match="--strategy miror is unknown"):
        strategy.create("miror")


@pytest.mark.parametrize("content", [None, "{}", '{"cluster": {}}'])
def test_several_workers_need_their_addresses(monkeypatch, content):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if content:
        monkeypatch.setenv("TF_CONFIG", content)
    with pytest.raises(
        errors.UsageError, match="needs the environment variable"
    ) as said:
        strategy.create("multi_worker")
    assert '"worker": [HOST:PORT, ...]' in said.value.remedy


@pytest.mark.parametrize("content", ["{cluster", "[]"])
@pytest.mark.parametrize("name", ["auto", "multi_worker"])
def test_a_damaged_description_of_the_cluster_is_a_usage_error(
    monkeypatch, content, name
):
    monkeypatch.setenv("TF_CONFIG", content)
    with pytest.raises(errors.UsageError, match="TF_CONFIG is no JSON object"):
        strategy.create(name)


def test_a_machine_without_tpu_says_so():
    with pytest.raises(errors.ResourceError, match="--strategy tpu finds no TPU"):
        strategy.create("tpu")


def test_the_chief_is_the_named_one_or_else_the_first_worker():
    assert strategy.is_chief(tf.distribute.OneDeviceStrategy("CPU:0"))
    assert strategy.is_chief(worker("worker", 0, ["worker"]))
    assert not strategy.is_chief(worker("worker", 1, ["worker"]))
    assert strategy.is_chief(worker("chief", 0, ["chief", "worker"]))
    assert not strategy.is_chief(worker("worker", 0, ["chief", "worker"]))


def test_mirrored_replicas_have_one_chief(mirrored_strategy):
    assert strategy.is_chief(mirrored_strategy)


def test_only_the_chief_logs_into_the_run_itself(tmp_path):
    first, second = (worker("worker", number, ["worker"]) for number in (0, 1))
    assert strategy.own_folder(first, tmp_path) == tmp_path
    own = strategy.own_folder(second, tmp_path)
    assert own == pathlib.Path(tmp_path, "workers", "worker-1")
    assert own.is_dir()
