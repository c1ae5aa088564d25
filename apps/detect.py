"""Detect objects: check, train, evaluate, predict, export, convert.

    python apps/detect.py check --preset cells           # before training
    python apps/detect.py train --preset tiny    # no data; drawings; cells, of blood
    python apps/detect.py train --data coco:PATH --model retinanet --backbone resnet18
    python apps/detect.py evaluate --run runs/detect/yolov8_n-bccd
    python apps/detect.py predict --run runs/detect/yolov8_n-bccd PICTURE FOLDER
    python apps/detect.py export --run runs/detect/yolov8_n-bccd
    python apps/detect.py convert --data voc:bccd --to coco:bccd_coco

Data: synthetic; voc:PATH, Pascal VOC's XML; coco:PATH, COCO's JSON; yolo:PATH, text
files beside a data.yaml; tfds:NAME. Numbers to expect, and the models: apps/README.md.
"""

import functools
import sys
from dataclasses import dataclass, field
from typing import Literal

import tfdl.quiet  # noqa: F401  # isort: skip
import keras

from tfdl.backbones import BACKBONES
from tfdl.export import writing
from tfdl.tasks.detection import (
    checks,
    feeding,
    formats,
    models,
    pictures,
    postprocess,
    results,
    served,
)
from tfdl.training import cli, flags, inference, report, session, verbs

LARGE = {"image_size": 320, "batch_size": 16}
ADAMW = {"optimizer": "adamw", "learning_rate": 0.002, "weight_decay": 0.05}
STEADY = {"clip_norm": 10.0, "average": 0.998}
optimization = functools.partial(flags.Optimization, **ADAMW, **STEADY)


@dataclass(frozen=True)
class Config:
    """Train a detector; the same command again resumes or extends the run."""

    data: flags.Pictures = field(default_factory=lambda: flags.Pictures(**LARGE))
    optimization: flags.Optimization = field(default_factory=optimization)
    thresholds: postprocess.Thresholds = field(default_factory=postprocess.Thresholds)
    run: flags.Run = field(default_factory=flags.Run)
    model: str = "yolov8_n"
    """yolov8_n, s, m, l or x, yolov3, yolov1, ssd300, retinanet, faster_rcnn, ..."""
    backbone: str = "published"
    """A network of the zoo instead of the model's own, such as resnet18."""
    width: float = 1.0
    """Factor on the model's channels."""
    augmentation: Literal["none", "flips", "photos", "any_way_up", "ssd"] = "photos"
    """What happens to training pictures, see tasks/detection/recipes.py."""
    mix: Literal["none", "mixup", "mosaic", "mosaic_mixup"] = "none"
    """How two or four training pictures become one."""
    plain_epochs: int = 10
    """Epochs at the end of the training that mix no pictures."""

    def __post_init__(self):
        flags.choose("--model", self.model, models.MODELS)
        flags.choose("--backbone", self.backbone, ["published", *BACKBONES])
        flags.at_least("--plain-epochs", self.plain_epochs, 0)
        if self.mix != "none":
            flags.at_least("--epochs", self.optimization.epochs, self.plain_epochs + 1)


PRESETS = {
    "tiny": Config(
        data=flags.Pictures(image_size=128, num_examples=200, batch_size=8),
        optimization=optimization(epochs=2, average=0.0),
        width=0.5,
    ),
    "drawings": Config(
        data=flags.Pictures(image_size=128, batch_size=16),
        optimization=optimization(epochs=20, learning_rate=0.004),
        width=0.5,
        augmentation="flips",
    ),
    "cells": Config(
        data=flags.Pictures("voc:bccd", 320, batch_size=8, on_bad_data="skip"),
        optimization=optimization(epochs=150),
        augmentation="any_way_up",
    ),
}


def check(config: Config) -> None:
    """Look at data and model before training, into <run>/check."""
    made = functools.partial(make, config, weights=config.optimization.weights)
    folder = flags.run_of(config, "detect")
    session.check(config, folder, lambda: checks.set_up(read(config), made))


def train(config: Config) -> None:
    """Train a run, or go on with it."""
    data, folder = read(config), flags.run_of(config, "detect")
    names = data.class_names
    fed = pictures.batch(**data.first_batch(), class_names=names)
    if session.train(
        config,
        folder,
        feed=data.training,
        build=functools.partial(build, config, len(names)),
        validate=lambda *how: results.brief(collect(config, data, "validation", *how)),
        monitor="val_AP",
        mode="max",
        class_names=names,
        begin=lambda: report.begin(folder, train_batch=fed),
    ):
        infer = inference.compiled(session.restore(Config, folder, build)[-1])
        collected = collect(config, data, "validation", infer)
        report.finish(folder, **results.glance(collected, names))


def evaluate(options: verbs.Evaluate) -> None:
    """Measure the best weights of a run."""
    config, names, model = session.restore(Config, options.alone(), build)
    data, infer = read(config, names), inference.compiled(model)
    lines = report.evaluate(
        options,
        data.sources,
        collect=lambda split: collect(config, data, split, infer),
        report=functools.partial(results.report, class_names=names),
        error=results.error,
    )
    cli.say(*lines)


def predict(options: verbs.PredictObjects) -> None:
    """Find the objects of every picture, in predictions.json and as pictures."""
    config, names, model = session.restore(Config, options.alone(), build)
    answer = postprocess.serve(model, config.thresholds)
    found = results.predictions(options.paths, answer, names, **options.choices())
    cli.say(report.objects_found(options.run, **found))


def export(options: verbs.Export) -> None:
    """Write the best weights for servers or devices, proved against those in memory."""
    restore = functools.partial(session.restore, Config, options.alone(), build)
    config, names, model = restore()
    network, size = options.network(model, restore), model.input_shape[1]
    data = None if options.skip_metric else read(config, names)
    path = writing.write(
        options,
        inference.compiled(network),
        reference=inference.compiled(model),
        **served.task(data, names, image_size=size, thresholds=config.thresholds),
    )
    cli.say(f"exported to {path.resolve()}")


def convert(options: verbs.Convert) -> None:
    """Write a data set in another format."""
    cli.say(f"written to {formats.convert(options.source, options.target).resolve()}")


def read(config: Config, names=None) -> feeding.Splits:
    """Open the data, and say what happens to their pictures."""
    train, plain = config.optimization, config.plain_epochs
    return feeding.read(
        **config.data.feeding(names),
        augmentation=config.augmentation,
        mix=config.mix,
        feed=lambda num_classes: make(config, num_classes).feed,
        seed=config.run.seed,
        mixed_steps=lambda steps: train.total_steps(steps) - plain * steps,
    )


def make(config: Config, num_classes: int, weights="none") -> models.Detector:
    """Make the detector, its backbone from given weights."""
    how = {"backbone": config.backbone, "weights": weights, "width": config.width}
    return models.make(config.model, config.data.image_size, num_classes, **how)


def build(config: Config, num_classes: int, optimizer=None) -> keras.Model:
    """Build the model that answers; with an optimizer, the one that is trained."""
    if optimizer is None:
        return make(config, num_classes).inference_model
    return make(config, num_classes, config.optimization.weights).compile(optimizer)


def collect(config: Config, data, split, infer, check=lambda: None):
    """Run the model on a split."""
    finish = postprocess.finishing(config.thresholds, image_size=data.image_size)
    evaluation = data.evaluation(split)
    outputs = inference.outputs(infer, evaluation, finish=finish, check=check)
    return results.collect(outputs, data.sources[split])


VERBS = {check: Config, train: Config, evaluate: verbs.Evaluate}
VERBS |= {predict: verbs.PredictObjects, export: verbs.Export, convert: verbs.Convert}

if __name__ == "__main__":
    sys.exit(cli.main(VERBS, __doc__, presets=PRESETS, task="detect"))
