"""The flags that apps share: one name everywhere, checked when they are read."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated, Literal

import keras
import tyro

from tfdl import errors
from tfdl.training import loop, optimizers, schedules, strategy
from tfdl.training.limits import (
    at_least as at_least,
    below_one,
    choose as choose,
    name_of,
)

_SEEDS = 1 << 32  # as many as NumPy takes


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Which pictures, and how they are fed."""

    source: Annotated[str, tyro.conf.arg(name="data")] = "synthetic"
    """synthetic, or FORMAT:PATH; the app's first lines say which formats it reads."""
    image_size: int = 32
    """Height and width that pictures are resized to, in pixels."""
    batch_size: int = 128
    """Pictures in the global batch, over all replicas."""
    validation_fraction: float = 0.1
    """Share of train that is held out where the data bring no validation split."""
    test_fraction: float = 0.1
    """Share of train that is held out where the data bring no test split."""
    train_dev_fraction: float = 0.0
    """Share of train that is not trained on, for evaluate --human-error; 0 is none."""
    num_examples: int = 4000
    """Pictures that the synthetic source draws."""
    cache_mb: int = 1024
    """Most memory that decoded pictures may take; 0 decodes them every time."""
    cache_dir: pathlib.Path = pathlib.Path("~/.cache/tfdl")
    """Where drawings, unpacked archives and the results of scans are kept."""
    on_bad_data: Literal["error", "skip"] = "error"
    """Refuse broken or leaked pictures, or leave up to 5 % of them out."""

    def reading(self) -> dict:
        """Return the keyword arguments of a task's `data.read`."""
        return {
            "spec": self.source,
            "cache_dir": self.cache_dir.expanduser(),
            "image_size": self.image_size,
            "num_examples": self.num_examples,
            "validation_fraction": self.validation_fraction,
            "test_fraction": self.test_fraction,
            "train_dev_fraction": self.train_dev_fraction,
            "on_bad_data": self.on_bad_data,
        }

    def feeding(self, class_names: Sequence[str] | None = None) -> dict:
        """Return the keyword arguments of a task's `feeding.read`.

        Args:
            class_names: those of a run that the data must have, or None.
        """
        return {
            "class_names": class_names,
            "reading": self.reading(),
            "cache_bytes": self.cache_mb << 20,
            "batch_size": self.batch_size,
        }

    def __post_init__(self):
        at_least("--image-size", self.image_size, 1)
        at_least("--batch-size", self.batch_size, 1)
        at_least("--num-examples", self.num_examples, 1)
        at_least("--cache-mb", self.cache_mb, 0)
        for name in ("validation_fraction", "test_fraction"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise errors.UsageError(
                    f"{name_of(name)} must be between 0 and 1. Received {value}",
                    "0.1 is usual",
                )
        below_one("--train-dev-fraction", self.train_dev_fraction)


@dataclasses.dataclass(frozen=True)
class Data(Pictures):
    """Which pictures of classes, and how they are fed."""

    channels: Literal[1, 3] = 3
    """1 for grey pictures, 3 for RGB."""
    sampling: Literal["uniform", "balanced"] = "uniform"
    """uniform shows every picture once an epoch, balanced every class equally often."""

    def feeding(self, class_names: Sequence[str] | None = None) -> dict:
        """Return the keyword arguments of a task's `feeding.read`, as above."""
        own = {"channels": self.channels, "sampling": self.sampling}
        return super().feeding(class_names) | own


@dataclasses.dataclass(frozen=True)
class Network:
    """How the model differs from the published one."""

    width: float = 1.0
    """Factor on the model's channels."""
    normalization: Literal["batch", "layer", "instance", "group"] = "batch"
    """Between the convolutions."""
    dropout: float | None = None
    """Share of features that is dropped before the last layers, or the paper's."""
    spatial_dropout: float = 0.0
    """Share of channels that is dropped after every stage."""
    drop_path: float | None = None
    """Share of pictures that leave out the last residual branch, or the paper's."""

    def building(self) -> dict:
        """Return the keyword arguments of a backbone."""
        rates = {"dropout_rate": self.dropout, "drop_path_rate": self.drop_path}
        return {
            "width": self.width,
            "normalization": self.normalization,
            "spatial_dropout_rate": self.spatial_dropout,
            **{name: rate for name, rate in rates.items() if rate is not None},
        }


@dataclasses.dataclass(frozen=True)
class Optimization:
    """How the weights are found."""

    epochs: int = 40
    """Epochs to train for; a larger number extends a finished run."""
    steps: int = 0
    """Steps to train for, instead of epochs; 0 goes by epochs."""
    optimizer: str = "nesterov"
    """sgd, momentum, nesterov, adagrad, rmsprop, adam, adamw or lion."""
    learning_rate: float = 0.1
    """The rate at the peak of the schedule."""
    base_batch_size: int = 0
    """The batch that the rate was chosen for, scaled linearly to yours; 0 does not."""
    schedule: str = "cosine"
    """constant, step, exponential, inverse_time, polynomial, linear or cosine."""
    warmup_epochs: float = 1.0
    """Epochs over which the rate rises linearly."""
    end_rate: float = 0.01
    """What remains of the rate at the end, as a share of its peak."""
    cycles: int = 1
    """Times the schedule falls from its peak; over 1, each leaves a snapshot."""
    weight_decay: float = 0.005
    """Decoupled decay of kernels, times the rate: ten times a paper's L2 with SGD."""
    l1: float = 0.0
    """Weight of the kernels' absolute values in the loss."""
    l2: float = 0.0
    """Weight of the kernels' squares in the loss; with --l1 the elastic net."""
    clip_norm: float = 0.0
    """Largest global norm of the gradient; 0 does not clip."""
    accumulation: int = 1
    """Steps whose gradients are averaged into one update."""
    average: float = 0.0
    """Momentum of the moving average of the weights, as 0.999; 0 keeps none."""
    patience: int = 0
    """Epochs without improvement after which training stops; 0 never stops."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 keeps weights, losses and statistics in float32."""
    weights: str = "none"
    """A .weights.h5 file or an old Keras .h5 to start from, imagenet, or none."""
    freeze: str = "none"
    """Name of the last layer, from the input, whose weights stay as they are."""

    def total_steps(self, epoch_steps: int) -> int:
        """Count the steps of the whole training."""
        return self.steps or self.epochs * epoch_steps

    @property
    def cycle_epochs(self) -> int:
        """Epochs of each cycle, 0 where there is one alone."""
        return self.epochs // self.cycles if self.cycles > 1 else 0

    def build_optimizer(self, *, epoch_steps: int, batch_size: int) -> keras.Optimizer:
        """Build the optimizer with its schedule.

        Keras asks the schedule for the rate of a step, also where it accumulates
        several into an update.

        Args:
            epoch_steps: steps of an epoch.
            batch_size: examples in a step.
        """
        schedule = schedules.schedule(
            self.schedule,
            peak=self.peak_rate(batch_size),
            warmup_steps=int(self.warmup_epochs * epoch_steps),
            total_steps=self.total_steps(epoch_steps),
            end=self.end_rate,
            cycles=self.cycles,
        )
        return optimizers.optimizer(
            self.optimizer,
            schedule,
            weight_decay=self.weight_decay,
            clip_norm=self.clip_norm,
            accumulation=self.accumulation,
            average=self.average,
        )

    def build_trial_optimizer(self, batch_size: int) -> keras.Optimizer:
        """Build the optimizer at its peak rate, which can be set, and nothing more."""
        return optimizers.optimizer(
            self.optimizer,
            self.peak_rate(batch_size),
            weight_decay=self.weight_decay,
            clip_norm=self.clip_norm,
        )

    def peak_rate(self, batch_size: int) -> float:
        """Return the learning rate at the peak of the schedule."""
        if not self.base_batch_size:
            return self.learning_rate
        return schedules.linear_rule(
            self.learning_rate,
            batch_size=batch_size,
            base_batch_size=self.base_batch_size,
        )

    def __post_init__(self):
        choose("--optimizer", self.optimizer, optimizers.OPTIMIZERS)
        choose("--schedule", self.schedule, schedules.DECAYS)
        for name in ("epochs", "accumulation", "cycles"):
            at_least(name_of(name), getattr(self, name), 1)
        for name in (
            *("steps", "base_batch_size", "warmup_epochs", "weight_decay"),
            *("l1", "l2", "clip_norm", "patience"),
        ):
            at_least(name_of(name), getattr(self, name), 0)
        if not self.learning_rate > 0:
            raise errors.UsageError(
                f"--learning-rate must be over 0. Received {self.learning_rate}",
                "0.1 suits SGD and 0.001 Adam",
            )
        below_one("--average", self.average)
        if self.cycles > 1:
            self._check_cycles()

    def _check_cycles(self) -> None:
        """Refuse cycles that would not end with an epoch, or at all."""
        told = f"Received --cycles {self.cycles}"
        if self.steps:
            raise errors.UsageError(
                f"--steps {self.steps} may end within a cycle. {told}", "say --epochs"
            )
        if self.epochs % self.cycles:
            raise errors.UsageError(
                f"--cycles must divide --epochs {self.epochs}. {told}",
                f"set --epochs to a multiple of {self.cycles}",
            )
        if self.patience:
            raise errors.UsageError(
                f"--patience {self.patience} would stop within a cycle. {told}",
                "drop --patience",
            )


@dataclasses.dataclass(frozen=True)
class Classification(Optimization):
    """How the weights of a classifier are found."""

    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes."""

    def __post_init__(self):
        super().__post_init__()
        below_one("--label-smoothing", self.label_smoothing)


@dataclasses.dataclass(frozen=True)
class Run:
    """Where the run is kept, and how it is executed."""

    run: pathlib.Path | None = None
    """Folder of the run; by default runs/<task>/<model>-<data>."""
    seed: int = 0
    """Of weights, order, augmentation and dropout: the same seed, the same run."""
    strategy: str = "auto"
    """auto, one_device, mirrored, multi_worker or tpu."""
    steps_per_execution: int = 16
    """Steps that run in one call."""
    save_every: int = 500
    """Steps between checkpoints, besides one at the end of every epoch."""
    keep: int = 2
    """Checkpoints to keep."""
    overwrite: bool = False
    """Empty the run's folder first."""
    debug: bool = False
    """Show the traceback of an error."""

    def plan(self, *, total_steps: int, epoch_steps: int) -> loop.Plan:
        """Say how long to train and when to save."""
        return loop.Plan(
            total_steps=total_steps,
            epoch_steps=epoch_steps,
            steps_per_execution=self.steps_per_execution,
            save_every=self.save_every,
            keep=self.keep,
            seed=self.seed,
        )

    def __post_init__(self):
        choose("--strategy", self.strategy, strategy.NAMES)
        for name in ("steps_per_execution", "save_every", "keep"):
            at_least(name_of(name), getattr(self, name), 1)
        if not 0 <= self.seed < _SEEDS:
            raise errors.UsageError(
                f"--seed must be in [0, {_SEEDS}). Received {self.seed}", "0 is usual"
            )


# Flags that may change when a run is resumed; they do not change its numbers, but for
# --epochs and --steps, which extend it, and --cycles, which must do so in proportion:
# the length of a cycle stays.
FREE_FLAGS = (
    "epochs",
    "steps",
    "cycles",
    "cache_mb",
    "cache_dir",
    "run",
    "steps_per_execution",
    "save_every",
    "keep",
    "overwrite",
    "debug",
)

# Settings in which the members of an ensemble must agree, where an app has them. With
# other splits, what tests one member would have trained another.
SHARED_BY_MEMBERS = (
    *("class_names", "image_size", "channels", "multi_label"),
    *("source", "num_examples"),
    *("validation_fraction", "test_fraction", "train_dev_fraction"),
)


def run_of(config, task: str) -> pathlib.Path:
    """Name the folder of a run, by default from task, model and data.

    Args:
        config: flags of `train`, with `run`, `data` and `model`.
        task: the folder below `runs`.
    """
    place = config.data.source.partition(":")[2] or config.data.source
    name = f"{config.model}-{pathlib.Path(place).resolve().stem}"
    return config.run.run or pathlib.Path("runs", task, name)


def from_config(kind: type, config: dict):
    """Rebuild nested dataclasses of flags from what `config.json` holds.

    A flag of a group may stand beside the group: an earlier run knew no such group.
    """
    values = {}
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(field.type):
            group = config | config.get(field.name, {})
            values[field.name] = from_config(field.type, group)
            continue
        if field.name not in config:
            continue
        value = config[field.name]
        if "Path" in str(field.type) and value is not None:
            value = pathlib.Path(value)
        values[field.name] = value
    return kind(**values)
