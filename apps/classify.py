"""Classify pictures: check, train, evaluate, predict, export, info.

    python apps/classify.py info --model resnet50        # what a model costs and sees
    python apps/classify.py check --preset mnist         # before training
    python apps/classify.py train --preset tiny          # seconds, needs no data
    python apps/classify.py train --preset mnist         # LeNet-5; cifar: ResNet-20
    python apps/classify.py train --data folder:PATH --model resnet18 --image-size 128
    python apps/classify.py evaluate --run runs/classify/lenet5-mnist_idx
    python apps/classify.py predict --run runs/classify/lenet5-mnist_idx PICTURE FOLDER
    python apps/classify.py export --run runs/classify/lenet5-mnist_idx

Data: synthetic; folder:PATH with <class>/<picture> or <split>/<class>/<picture>, also
zipped; mnist:PATH; tfds:NAME. Numbers to expect, and the models: apps/README.md.
"""

import functools
import sys
from dataclasses import dataclass, field, replace
from typing import Literal

import tfdl.quiet  # noqa: F401  # isort: skip
import keras

from tfdl.backbones import BACKBONES, WITH_AUXILIARY
from tfdl.export import writing
from tfdl.layers import cost, receptive_field
from tfdl.tasks.classification import (
    classifier,
    ensemble,
    feeding,
    lint,
    pictures,
    postprocess,
    results,
    served,
)
from tfdl.training import cli, description, flags, inference, report, session, verbs


@dataclass(frozen=True)
class Config:
    """Train a classifier; the same command again resumes or extends the run."""

    data: flags.Data = field(default_factory=flags.Data)
    network: flags.Network = field(default_factory=flags.Network)
    optimization: flags.Classification = field(default_factory=flags.Classification)
    run: flags.Run = field(default_factory=flags.Run)
    model: str = "cifar_resnet20"
    """Its name, such as lenet5, resnet18 or mobilenet_v2; apps/README.md has all."""
    auxiliary: bool = False
    """Train with the model's auxiliary classifiers (googlenet, inception_v3)."""
    augmentation: Literal["none", "digits", "small", "strong", "photos"] = "small"
    """What happens to training pictures, see tasks/classification/recipes.py."""
    mix: Literal["none", "mixup", "cutmix", "mosaic", "mosaic_mixup"] = "none"
    """How two or four training pictures become one."""
    multi_label: bool = False
    """Pictures have several classes (synthetic data)."""

    def __post_init__(self):
        known = WITH_AUXILIARY if self.auxiliary else BACKBONES
        flags.choose("--model", self.model, known)


PRESETS = {
    "tiny": Config(
        data=flags.Data(num_examples=400, batch_size=32),
        network=flags.Network(width=0.5),
        optimization=flags.Classification(epochs=2),
    ),
    "mnist": Config(
        data=flags.Data(source="mnist:mnist_idx", image_size=28, channels=1),
        optimization=flags.Classification(optimizer="adam", learning_rate=0.002),
        model="lenet5",
        augmentation="digits",
    ),
    "cifar": Config(
        data=flags.Data("folder:cifar10_jpg/cifar10_jpg_subset.zip"),
        optimization=flags.Classification(
            epochs=60, label_smoothing=0.1, average=0.995
        ),
    ),
}


def check(config: Config) -> None:
    """Look at data and model before training, into <run>/check."""
    folder, size = flags.run_of(config, "classify"), config.data.image_size
    goal = classifier.Objective(config.multi_label, config.optimization.label_smoothing)
    made = functools.partial(build, replace(config, auxiliary=False))
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
    config, names, model = session.restore(Config, options.opened(), build, join)
    data, infer = read(config, names), inference.compiled(model, features=True)
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
    config, names, model = session.restore(Config, options.opened(), build, join)
    answer = postprocess.serve(model, names, multi_label=config.multi_label)
    bad = options.on_bad_data
    found = results.predictions(options.paths, answer, names, on_bad_data=bad)
    cli.say(report.predictions(options.run, **found))


def export(options: verbs.Export) -> None:
    """Write the best weights for servers or devices, proved against those in memory."""
    restore = functools.partial(session.restore, Config, options.opened(), build, join)
    config, names, model = restore()
    network, shape = options.network(model, restore), model.input_shape[1:]
    data = None if options.skip_metric else read(config, names)
    path = writing.write(
        options,
        inference.compiled(network),
        reference=inference.compiled(model),
        **served.task(data, names, image_shape=shape, multi_label=config.multi_label),
    )
    cli.say(f"exported to {path.resolve()}")


def info(options: description.Info) -> None:
    """Say what a model costs and sees; draw its filters and its maps of a picture."""
    model = BACKBONES[flags.choose("--model", options.model, BACKBONES)]
    sees = {"fields": receptive_field.walk, "levels": receptive_field.of_outputs}
    cli.say(*description.describe(options, model, costs=cost.of_layers, **sees))


def read(config: Config, names=None) -> feeding.Splits:
    """Open the data, and say what happens to their pictures."""
    return feeding.read(
        **config.data.feeding(names),
        seed=config.run.seed,
        augmentation=config.augmentation,
        mix=config.mix,
        multi_label=config.multi_label,
    )


def build(config: Config, num_classes: int, optimizer=None) -> keras.Model:
    """Build the model; with an optimizer, from given weights and compiled."""
    size, weights = config.data.image_size, config.optimization.weights
    known = WITH_AUXILIARY if config.auxiliary and optimizer else BACKBONES
    model = known[config.model](
        (size, size, config.data.channels),
        num_classes,
        weights=None if optimizer is None or weights == "none" else weights,
        **config.network.building(),
    )
    goal = classifier.Objective(config.multi_label, config.optimization.label_smoothing)
    return goal.compile(model, optimizer) if optimizer else model


def join(config: Config, models: list[keras.Model]) -> keras.Model:
    """Make one model of the members of an ensemble."""
    return ensemble.averaged(models, multi_label=config.multi_label)


def collect(config: Config, data, split, infer, check=lambda: None):
    """Run the model on a split."""
    outputs = inference.outputs(infer, data.evaluation(split), check=check)
    size = len(data.sources[split])
    return results.collect(outputs, size, multi_label=config.multi_label)


VERBS = {check: Config, train: Config, evaluate: verbs.Evaluate}
VERBS |= {predict: verbs.Predict, export: verbs.Export, info: description.Info}

if __name__ == "__main__":
    sys.exit(cli.main(VERBS, __doc__, presets=PRESETS, task="classify"))
