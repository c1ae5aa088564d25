"""Classify pictures: check, train, evaluate, predict, export.

    python apps/classify.py check --preset mnist         # before training
    python apps/classify.py train --preset tiny          # seconds, needs no data
    python apps/classify.py train --preset mnist         # LeNet-5; cifar: ResNet-20
    python apps/classify.py train --data folder:PATH --model resnet18 --image-size 128
    python apps/classify.py evaluate --run runs/classify/lenet5-mnist_idx
    python apps/classify.py predict --run runs/classify/lenet5-mnist_idx PICTURE FOLDER
    python apps/classify.py export --run runs/classify/lenet5-mnist_idx

Data: synthetic; folder:PATH with <class>/<picture> or <split>/<class>/<picture>, also
zipped; mnist:PATH with idx files; tfds:NAME. A PATH is looked up here and in TFDL_DATA.
Numbers to expect: apps/README.md. Papers: LeCun 1998 (LeNet-5), He 2016 (ResNet).
"""

import functools
import sys
from dataclasses import dataclass, field
from typing import Literal

import tfdl.quiet  # noqa: F401  # isort: skip
import keras

from tfdl.backbones import BACKBONES
from tfdl.export import writing
from tfdl.tasks.classification import (
    classifier,
    feeding,
    lint,
    pictures,
    postprocess,
    results,
    served,
)
from tfdl.training import cli, flags, inference, report, session, verbs


@dataclass(frozen=True)
class Config:
    """Train a classifier; the same command again resumes or extends the run."""

    data: flags.Data = field(default_factory=flags.Data)
    optimization: flags.Optimization = field(default_factory=flags.Optimization)
    run: flags.Run = field(default_factory=flags.Run)
    model: str = "cifar_resnet20"
    """lenet5, cifar_resnet20 (32, 44, 56, 110), resnet18 or resnet34."""
    width: float = 1.0
    """Factor on the model's channels."""
    channels: Literal[1, 3] = 3
    """1 for grey pictures, 3 for RGB."""
    normalization: Literal["batch", "layer", "instance", "group"] = "batch"
    """Between the convolutions."""
    dropout: float = 0.0
    """Share of features that is dropped before the classifier."""
    spatial_dropout: float = 0.0
    """Share of channels that is dropped after every stage."""
    augmentation: Literal["none", "digits", "small", "strong", "photos"] = "small"
    """What happens to training pictures, see tasks/classification/recipes.py."""
    mix: Literal["none", "mixup", "cutmix", "mosaic", "mosaic_mixup"] = "none"
    """How two or four training pictures become one."""
    multi_label: bool = False
    """Pictures have several classes (synthetic data)."""

    def __post_init__(self):
        flags.choose("--model", self.model, BACKBONES)


PRESETS = {
    "tiny": Config(
        flags.Data(num_examples=400, batch_size=32),
        flags.Optimization(epochs=2),
        width=0.5,
    ),
    "mnist": Config(
        data=flags.Data(source="mnist:mnist_idx", image_size=28),
        optimization=flags.Optimization(optimizer="adam", learning_rate=0.002),
        model="lenet5",
        channels=1,
        augmentation="digits",
    ),
    "cifar": Config(
        data=flags.Data("folder:cifar10_jpg/cifar10_jpg_subset.zip"),
        optimization=flags.Optimization(epochs=60, label_smoothing=0.1, average=0.995),
    ),
}


def check(config: Config) -> None:
    """Look at data and model before training, into <run>/check."""
    folder, size = flags.run_of(config, "classify"), config.data.image_size
    goal = classifier.Objective(config.multi_label, config.optimization.label_smoothing)
    made = functools.partial(build, config)
    set_up = functools.partial(lint.set_up, objective=goal, build=made, image_size=size)
    session.check(config, folder, lambda: set_up(read(config)))


def train(config: Config) -> None:
    """Train a run, or go on with it."""
    data, folder = read(config), flags.run_of(config, "classify")
    names, batch = data.class_names, data.first_batch()
    if session.train(
        config,
        folder,
        feed=data.training,
        build=functools.partial(build, config, len(names)),
        validate=lambda *how: results.brief(collect(config, data, "validation", *how)),
        monitor="val_accuracy",
        mode="max",
        class_names=names,
        begin=lambda: report.begin(folder, train_batch=pictures.batch(*batch, names)),
    ):
        infer = inference.compiled(session.restore(Config, folder, build)[-1])
        collected = collect(config, data, "validation", infer)
        report.finish(folder, **results.glance(collected, names))


def evaluate(options: verbs.Evaluate) -> None:
    """Measure the best weights of a run."""
    config, names, model = session.restore(Config, options.run, build)
    data, infer = read(config), inference.compiled(model, features=True)
    lines = report.evaluate(
        options,
        data.sources,
        collect=lambda split: collect(config, data, split, infer),
        report=functools.partial(results.report, class_names=names),
        error=results.error,
    )
    cli.say(*lines)


def predict(options: verbs.Predict) -> None:
    """Name the class of every picture, in predictions.csv and as pictures."""
    config, names, model = session.restore(Config, options.run, build)
    answer = postprocess.serve(model, names, multi_label=config.multi_label)
    bad = options.on_bad_data
    found = results.predictions(options.paths, answer, names, on_bad_data=bad)
    cli.say(report.predictions(options.run, **found))


def export(options: verbs.Export) -> None:
    """Write the best weights for servers or devices, proved against those in memory."""
    config, names, model = session.restore(Config, options.run, build)
    again = functools.partial(build, config, len(names))
    network = options.network(model, config.optimization.precision, again)
    data, shape = None if options.skip_metric else read(config), model.input_shape[1:]
    path = writing.write(
        options,
        inference.compiled(network),
        reference=inference.compiled(model),
        **served.task(data, names, image_shape=shape, multi_label=config.multi_label),
    )
    cli.say(f"exported to {path.resolve()}")


def read(config: Config) -> feeding.Splits:
    """Open the data, and say what happens to their pictures."""
    return feeding.read(
        **config.data.feeding(),
        seed=config.run.seed,
        augmentation=config.augmentation,
        mix=config.mix,
        channels=config.channels,
        multi_label=config.multi_label,
    )


def build(config: Config, num_classes: int, optimizer=None) -> keras.Model:
    """Build the model; with an optimizer, from given weights and compiled."""
    size, weights = config.data.image_size, config.optimization.weights
    model = BACKBONES[config.model](
        (size, size, config.channels),
        num_classes,
        weights=None if optimizer is None or weights == "none" else weights,
        width=config.width,
        normalization=config.normalization,
        dropout_rate=config.dropout,
        spatial_dropout_rate=config.spatial_dropout,
    )
    goal = classifier.Objective(config.multi_label, config.optimization.label_smoothing)
    return goal.compile(model, optimizer) if optimizer else model


def collect(config: Config, data, split, infer, check=lambda: None):
    """Run the model on a split."""
    outputs = inference.outputs(infer, data.evaluation(split), check=check)
    size = len(data.sources[split])
    return results.collect(outputs, size, multi_label=config.multi_label)


VERBS = {check: Config, train: Config, evaluate: verbs.Evaluate}
VERBS |= {predict: verbs.Predict, export: verbs.Export}

if __name__ == "__main__":
    sys.exit(cli.main(VERBS, __doc__, presets=PRESETS, task="classify"))
