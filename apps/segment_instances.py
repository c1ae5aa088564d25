"""Segment instances, a mask for every object: check, train, evaluate, predict, export.

    python apps/segment_instances.py check --preset drawings      # before training
    python apps/segment_instances.py train --preset tiny   # no data; drawings; nuclei
    python apps/segment_instances.py train --data coco:PATH
    python apps/segment_instances.py evaluate --run runs/segment_instances/NAME
    python apps/segment_instances.py predict --run runs/segment_instances/NAME PICTURE
    python apps/segment_instances.py export --run runs/segment_instances/NAME

Data: synthetic; coco:PATH, COCO's JSON with outlines; instances:PATH, a folder for each
picture with a mask file for each object. Mask R-CNN (He et al., 2017); apps/README.md.
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
    detector,
    mask_answers,
    mask_feeding,
    mask_pictures,
    mask_rcnn,
    mask_results,
    mask_served,
    postprocess,
)
from tfdl.training import cli, flags, inference, report, session, verbs

LARGE = {"image_size": 512, "batch_size": 2}
STEADY = {"clip_norm": 10.0, "average": 0.998, "weight_decay": 0.05}
thresholds = functools.partial(postprocess.Thresholds, iou_threshold=0.5)
optimization = functools.partial(
    flags.Optimization, optimizer="adamw", learning_rate=0.001, **STEADY
)


@dataclass(frozen=True)
class Config:
    """Train Mask R-CNN; the same command again resumes or extends the run."""

    data: flags.Pictures = field(default_factory=lambda: flags.Pictures(**LARGE))
    optimization: flags.Optimization = field(default_factory=optimization)
    thresholds: postprocess.Thresholds = field(default_factory=thresholds)
    run: flags.Run = field(default_factory=flags.Run)
    model: Literal["mask_rcnn"] = "mask_rcnn"
    backbone: str = "resnet50"
    """A network of the zoo under the pyramid, such as resnet18."""
    width: float = 1.0
    """Factor on the model's channels."""
    drawn: int = 512
    """Proposals of a picture that are learned from, a quarter of them with masks."""
    augmentation: Literal["none", "flips", "photos", "any_way_up"] = "flips"
    """What happens to training pictures, see tasks/detection/recipes.py."""

    def __post_init__(self):
        flags.choose("--backbone", self.backbone, BACKBONES)
        flags.at_least("--drawn", self.drawn, 4)


PRESETS = {
    "tiny": Config(
        data=flags.Pictures(image_size=64, num_examples=60, batch_size=4),
        optimization=optimization(epochs=2, average=0.0),
        backbone="resnet18",
        width=0.125,
        drawn=64,
    ),
    "drawings": Config(
        data=flags.Pictures(image_size=128, num_examples=2000, batch_size=8),
        optimization=optimization(epochs=4, learning_rate=0.002),
        backbone="resnet18",
        width=0.25,
        drawn=64,
    ),
    "nuclei": Config(
        data=flags.Pictures("instances:dsb2018_nuclei", 320, batch_size=4),
        optimization=optimization(epochs=20),
        thresholds=thresholds(max_detections=400),
        backbone="resnet18",
        width=0.25,
        drawn=256,
        augmentation="any_way_up",
    ),
}


def check(config: Config) -> None:
    """Look at data and model before training, into <run>/check."""
    made = functools.partial(make, config, weights=config.optimization.weights)
    set_up = functools.partial(checks.set_up, build=made, draw=mask_pictures.batch)
    folder = flags.run_of(config, "segment_instances")
    session.check(config, folder, lambda: set_up(read(config)))


def train(config: Config) -> None:
    """Train a run, or go on with it."""
    data, folder = read(config), flags.run_of(config, "segment_instances")
    names = data.class_names
    fed = mask_pictures.batch(**data.first_batch(), class_names=names)
    if session.train(
        config,
        folder,
        feed=data.training,
        build=functools.partial(build, config, len(names)),
        validate=lambda *a: mask_results.brief(collect(config, data, "validation", *a)),
        monitor="val_AP",
        mode="max",
        class_names=names,
        begin=lambda: report.begin(folder, train_batch=fed),
    ):
        infer = inference.compiled(session.restore(Config, folder, build)[-1])
        collected = collect(config, data, "validation", infer)
        report.finish(folder, **mask_results.glance(collected))


def evaluate(options: verbs.Evaluate) -> None:
    """Measure the best weights of a run."""
    config, names, model = session.restore(Config, options.alone(), build)
    data, infer = read(config, names), inference.compiled(model)
    lines = report.evaluate(
        options,
        data.sources,
        collect=lambda split: collect(config, data, split, infer),
        report=mask_results.report,
        error=mask_results.error,
    )
    cli.say(*lines)


def predict(options: verbs.PredictObjects) -> None:
    """Find the objects of every picture, in predictions.json and as pictures."""
    _, names, model = session.restore(Config, options.alone(), build)
    answer = mask_answers.serve(model)
    found = mask_results.predictions(options.paths, answer, names, **options.choices())
    cli.say(report.objects_found(options.run, **found))


def export(options: verbs.Export) -> None:
    """Write the best weights for servers, proved against those in memory."""
    restore = functools.partial(session.restore, Config, options.alone(), build)
    config, names, model = restore()
    network, size = options.network(model, restore), model.input_shape[1]
    data = None if options.skip_metric else read(config, names)
    how = {"thresholds": config.thresholds, "file_format": options.format}
    task = mask_served.task(data, names, image_size=size, **how)
    infer, reference = (inference.compiled(each) for each in (network, model))
    path = writing.write(options, infer, reference=reference, **task)
    cli.say(f"exported to {path.resolve()}")


def read(config: Config, names=None) -> mask_feeding.Splits:
    """Open the data, and say what happens to their pictures."""
    how = {"augmentation": config.augmentation, "seed": config.run.seed}
    how["feed"] = lambda num_classes: make(config, num_classes).feed
    return mask_feeding.read(**config.data.feeding(names), **how)


def make(config: Config, num_classes: int, weights="none") -> detector.Detector:
    """Make the detector, its backbone from given weights."""
    size = config.data.image_size
    return mask_rcnn.mask_rcnn(
        (size, size, 3),
        num_classes,
        thresholds=config.thresholds,
        backbone=config.backbone,
        weights=None if weights == "none" else weights,
        width=config.width,
        drawn=config.drawn,
    )


def build(config: Config, num_classes: int, optimizer=None) -> keras.Model:
    """Build the model that answers; with an optimizer, the one that is trained."""
    if optimizer is None:
        return make(config, num_classes).inference_model
    return make(config, num_classes, config.optimization.weights).compile(optimizer)


def collect(config: Config, data, split, infer, check=lambda: None):
    """Run the model on a split."""
    finish = mask_answers.finishing(image_size=data.image_size)
    evaluation, most = data.evaluation(split), config.thresholds.max_detections
    outputs = inference.outputs(infer, evaluation, finish=finish, check=check)
    return mask_results.collect(outputs, data.sources[split], most=most)


VERBS = {check: Config, train: Config, evaluate: verbs.Evaluate}
VERBS |= {predict: verbs.PredictObjects, export: verbs.Export}

if __name__ == "__main__":
    sys.exit(cli.main(VERBS, __doc__, presets=PRESETS, task="segment_instances"))
