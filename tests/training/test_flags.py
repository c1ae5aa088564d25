import dataclasses
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.training import flags, run_folder


@dataclasses.dataclass(frozen=True)
class Config:
    data: flags.Data = dataclasses.field(default_factory=flags.Data)
    optimization: flags.Optimization = dataclasses.field(
        default_factory=flags.Optimization
    )
    run: flags.Run = dataclasses.field(default_factory=flags.Run)
    model: str = "lenet5"


def names(kind):
    return {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (flags.Data, "image_size", 0),
        (flags.Data, "batch_size", 0),
        (flags.Data, "num_examples", 0),
        (flags.Data, "cache_mb", -1),
        (flags.Data, "validation_fraction", 0.0),
        (flags.Data, "test_fraction", 1.0),
        (flags.Data, "train_dev_fraction", -0.1),
        (flags.Optimization, "epochs", 0),
        (flags.Optimization, "steps", -1),
        (flags.Optimization, "accumulation", 0),
        (flags.Optimization, "cycles", 0),
        (flags.Optimization, "learning_rate", 0.0),
        (flags.Optimization, "learning_rate", float("nan")),
        (flags.Optimization, "base_batch_size", -1),
        (flags.Optimization, "warmup_epochs", -0.5),
        (flags.Optimization, "weight_decay", -0.1),
        (flags.Optimization, "l1", -0.1),
        (flags.Optimization, "l2", float("nan")),
        (flags.Optimization, "clip_norm", -1.0),
        (flags.Optimization, "patience", -1),
        (flags.Classification, "label_smoothing", 1.0),
        (flags.Optimization, "average", 1.0),
        (flags.Run, "steps_per_execution", 0),
        (flags.Run, "save_every", 0),
        (flags.Run, "keep", 0),
        (flags.Run, "seed", -1),
        (flags.Run, "seed", 1 << 32),
    ],
)
def test_a_number_out_of_its_range_is_refused_at_once(kind, name, value):
    flag = f"--{name.replace('_', '-')}"
    with pytest.raises(errors.UsageError, match=f"{flag} must be .*Received") as caught:
        kind(**{name: value})
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("kind", "name", "value", "meant"),
    [
        (flags.Optimization, "optimizer", "adma", "adam"),
        (flags.Optimization, "schedule", "cosin", "cosine"),
        (flags.Run, "strategy", "miror", "mirrored"),
    ],
)
def test_a_misspelt_name_is_refused_at_once_with_the_nearest(kind, name, value, meant):
    message = f"--{name} {value} is unknown. Did you mean {meant}?"
    with pytest.raises(errors.UsageError, match=message):
        kind(**{name: value})


def test_steps_count_before_epochs():
    assert flags.Optimization(epochs=3).total_steps(10) == 30
    assert flags.Optimization(epochs=3, steps=7).total_steps(10) == 7


def test_the_schedule_counts_steps_and_its_peak_follows_the_batch():
    optimization = flags.Optimization(
        epochs=4,
        learning_rate=0.1,
        base_batch_size=256,
        schedule="linear",
        warmup_epochs=1,
        end_rate=0.5,
        accumulation=2,
    )
    optimizer = optimization.build_optimizer(epoch_steps=20, batch_size=128)
    optimizer.build([])
    # 80 steps, 20 of them warm-up, from 0.1 * 128 / 256 down to half of it
    for step, rate in ((0, 0.0025), (19, 0.05), (20, 0.05), (50, 0.0375), (80, 0.025)):
        optimizer._iterations.assign(step)  # Keras counts steps, not updates
        assert float(optimizer.learning_rate) == pytest.approx(rate, rel=1e-5)


def test_an_accumulating_optimizer_ends_at_the_end_of_its_schedule():
    """Two steps to an update do not halve the schedule's length."""
    optimization = flags.Optimization(
        epochs=2,
        warmup_epochs=0,
        schedule="linear",
        end_rate=0.5,
        accumulation=2,
        optimizer="sgd",
    )
    optimizer = optimization.build_optimizer(epoch_steps=4, batch_size=1)
    weight = keras.Variable(1.0)
    optimizer.build([weight])
    rates = []
    for _ in range(8):
        rates.append(float(optimizer.learning_rate))
        optimizer.apply([tf.constant(0.0)])
    np.testing.assert_allclose(rates, 0.1 - 0.05 * np.arange(8) / 8, rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 7, "cycles": 2}, "--cycles must divide --epochs 7. .*--cycles 2"),
        ({"epochs": 4, "cycles": 2, "steps": 9}, "--steps 9 may end within a cycle"),
        ({"epochs": 4, "cycles": 2, "patience": 3}, "--patience 3 would stop"),
    ],
)
def test_cycles_that_do_not_end_with_epochs_are_refused(values, message):
    with pytest.raises(errors.UsageError, match=message) as caught:
        flags.Optimization(**values)
    assert caught.value.remedy


def test_a_cycle_has_epochs_only_where_there_are_several():
    assert flags.Optimization(epochs=6, cycles=3).cycle_epochs == 2
    assert flags.Optimization(epochs=6).cycle_epochs == 0
    optimizer = flags.Optimization(
        epochs=6, cycles=3, warmup_epochs=0, schedule="linear", end_rate=0.5
    ).build_optimizer(epoch_steps=5, batch_size=1)
    schedule = optimizer._learning_rate
    ends = [float(schedule(step)) for step in (0, 9, 10, 19, 20, 29)]
    np.testing.assert_allclose(ends, [0.1, 0.055] * 3, rtol=1e-6)


def test_every_free_flag_is_a_flag():
    assert set(flags.FREE_FLAGS) <= names(flags.Data) | names(
        flags.Optimization
    ) | names(flags.Run)


def test_what_members_share_decides_the_splits_under_the_names_of_flags():
    deciding = {"source", "num_examples"}
    deciding |= {name for name in names(flags.Data) if name.endswith("_fraction")}
    assert len(deciding) == 5
    assert deciding <= set(flags.SHARED_BY_MEMBERS)


def test_flag_names_never_clash():
    kinds = (flags.Data, flags.Optimization, flags.Run)
    assert sum(map(len, map(names, kinds))) == len(set.union(*map(names, kinds)))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("synthetic", "lenet5-synthetic"),
        ("folder:photos/cats.zip", "lenet5-cats"),
        ("folder:photos/cats/", "lenet5-cats"),
        ("folder:.", f"lenet5-{pathlib.Path.cwd().name}"),
        ("tfds:beans", "lenet5-beans"),
    ],
)
def test_the_default_run_is_named_from_task_model_and_data(source, name):
    config = Config(data=flags.Data(source))
    assert flags.run_of(config, "classify") == pathlib.Path("runs", "classify", name)


def test_a_run_that_is_named_is_taken():
    config = Config(run=flags.Run(run=pathlib.Path("my run")))
    assert flags.run_of(config, "classify") == pathlib.Path("my run")


def test_flags_come_back_from_config_json():
    config = Config(
        data=flags.Data("folder:x", cache_dir=pathlib.Path("c")),
        optimization=flags.Optimization(epochs=3, average=0.5),
        run=flags.Run(run=pathlib.Path("runs/größe")),
        model="resnet18",
    )
    saved = run_folder.as_config(config) | {"class_names": ["cat"]}
    assert flags.from_config(Config, saved) == config
    assert flags.from_config(Config, run_folder.as_config(Config())) == Config()


def test_flags_that_a_newer_version_adds_take_their_defaults():
    saved = run_folder.as_config(Config())
    del saved["optimization"]["average"], saved["model"]
    assert flags.from_config(Config, saved) == Config()


def test_the_plan_follows_the_flags():
    run = flags.Run(steps_per_execution=4, save_every=10, keep=3, seed=5)
    plan = run.plan(total_steps=100, epoch_steps=7)
    assert dataclasses.astuple(plan) == (100, 7, 4, 10, 3, 5)


def test_reading_counts_the_cache_in_bytes_and_finds_the_home():
    feeding = flags.Data("mnist:x", cache_mb=3).feeding()
    assert feeding["cache_bytes"] == 3 * 2**20
    reading = feeding["reading"]
    assert reading["spec"] == "mnist:x"
    assert reading["cache_dir"] == pathlib.Path.home() / ".cache" / "tfdl"
