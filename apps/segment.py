"""Segment pictures, a class for every pixel: check, train, evaluate, predict, export.

    python apps/segment.py check --preset membranes     # before training
    python apps/segment.py train --preset tiny     # drawings; or membranes, streets
    python apps/segment.py evaluate --run runs/segment/unet-PATH
    python apps/segment.py predict --run runs/segment/unet-PATH PICTURE FOLDER
    python apps/segment.py export --run runs/segment/unet-PATH

Data: synthetic; masks:PATH, folders, or as Pascal VOC and CamVid have them; coco:PATH;
tfds:NAME. Numbers to expect, and the models: apps/README.md.
"""

import functools
import sys
from dataclasses import dataclass, field
from typing import Literal

import tfdl.quiet  # noqa: F401  # isort: skip
import keras

from tfdl.backbones import BACKBONES
from tfdl.export import writing
from tfdl.tasks.segmentation import (
    checks,
    feeding,
    models,
    pictures,
    postprocess,
    results,
    segmenter,
    served,
)
from tfdl.tasks.segmentation.network import Network
from tfdl.training import cli, flags, inference, report, session, verbs

LARGE = {"image_size": 256, "batch_size": 8}
ADAMW = {"optimizer": "adamw", "learning_rate": 0.002, "weight_decay": 0.01}
STEADY = {"clip_norm": 10.0, "average": 0.998}
optimization = functools.partial(flags.Optimization, **ADAMW, **STEADY)


@dataclass(frozen=True)
class Config:
    """Train a segmentation network; the same command again resumes or extends it."""

    data: flags.Pictures = field(default_factory=lambda: flags.Pictures(**LARGE))
    optimization: flags.Optimization = field(default_factory=optimization)
    tiling: postprocess.Tiling = field(default_factory=postprocess.Tiling)
    run: flags.Run = field(default_factory=flags.Run)
    model: str = "unet"
    """unet, deeplabv3, deeplabv3plus, segnet, fcn8s, 16s, 32s, fcn_resnet50, ..."""
    network: Network = field(default_factory=Network)
    ignore: tuple[int, ...] = ()
    """Values of label maps that are no class, beside 255."""
    goal: segmenter.Goal = field(default_factory=segmenter.Goal)
    augmentation: Literal["none", "flips", "photos", "any_way_up", "elastic"] = "photos"
    """What happens to training pictures, see tasks/segmentation/recipes.py."""
    crop: Literal["random", "rare_classes"] = "random"
    """Where training pictures are cut: anywhere, or around pixels of rare classes."""

    def __post_init__(self):
        flags.choose("--model", self.model, models.MODELS)
        flags.choose("--backbone", self.network.backbone, ["published", *BACKBONES])


PRESETS = {
    "tiny": Config(
        data=flags.Pictures(image_size=64, num_examples=120, batch_size=8),
        optimization=optimization(epochs=2, average=0.0),
        network=Network(width=0.125),
    ),
    "drawings": Config(
        data=flags.Pictures(image_size=64, batch_size=16),
        optimization=optimization(epochs=8, average=0.0),
        model="deeplabv3plus",
        network=Network(backbone="resnet18", width=0.25),
        augmentation="flips",
    ),
    "membranes": Config(
        data=flags.Pictures("masks:isbi_membrane", 256, batch_size=4),
        optimization=optimization(epochs=130),
        network=Network(width=0.25, normalization="batch"),
        augmentation="elastic",
    ),
    "streets": Config(
        data=flags.Pictures("masks:camvid", 320, batch_size=4),
        optimization=optimization(epochs=140, learning_rate=0.006),
        network=Network("resnet18", width=0.5, normalization="batch"),
        ignore=(11,),
        goal=segmenter.Goal("cross_entropy+dice", class_weights="median"),
        augmentation="flips",
    ),
}


def check(config: Config) -> None:
    """Look at data and model before training, into <run>/check."""
    folder = flags.run_of(config, "segment")
    how = functools.partial(make, config), config.goal.objective
    session.check(config, folder, lambda: checks.set_up(read(config), *how))


def train(config: Config) -> None:
    """Train a run, or go on with it."""
    data, folder = read(config), flags.run_of(config, "segment")
    names, weights = data.class_names, config.optimization.weights
    fed = pictures.batch(**data.first_batch(), class_names=names)
    if session.train(
        config,
        folder,
        feed=data.training,
        build=lambda optimizer: config.goal.objective(data.sources["train"]).compile(
            make(config, len(names), weights), optimizer
        ),
        validate=lambda *how: results.brief(collect(config, data, "validation", *how)),
        monitor="val_mean_iou",
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


def predict(options: verbs.Predict) -> None:
    """Segment every picture: label maps, in colours, and a table of shares."""
    config, names, model = session.restore(Config, options.alone(), build)
    answer = postprocess.serve(model, config.tiling, num_classes=len(names))
    bad = options.on_bad_data
    found = results.predictions(options.paths, answer, names, on_bad_data=bad)
    cli.say(report.maps_found(options.run, found))


def export(options: verbs.Export) -> None:
    """Write the best weights for servers or devices, proved against those in memory."""
    restore = functools.partial(session.restore, Config, options.alone(), build)
    config, names, model = restore()
    network, size = options.network(model, restore), config.data.image_size
    data = None if options.skip_metric else read(config, names)
    path = writing.write(
        options,
        inference.compiled(network),
        reference=inference.compiled(model),
        **served.task(data, names, config.tiling, size, options.format),
    )
    cli.say(f"exported to {path.resolve()}")


def read(config: Config, names=None) -> feeding.Splits:
    """Open the data, and say what happens to their pictures."""
    fed = config.data.feeding(names)
    fed["reading"]["ignore"] = config.ignore
    return feeding.read(
        **fed,
        augmentation=config.augmentation,
        crop=config.crop,
        targets=config.goal.targets,
        seed=config.run.seed,
    )


def make(config: Config, num_classes: int, weights: str = "none") -> keras.Model:
    """Make the network with its auxiliary heads, its backbone from given weights."""
    return config.network.make(config.model, num_classes, weights=weights)


def build(config: Config, num_classes: int) -> keras.Model:
    """Build the model that answers."""
    return segmenter.answering(make(config, num_classes))


def collect(config: Config, data, split, infer, check=lambda: None):
    """Run the model on a split."""
    answer = postprocess.compiled_label_maps(
        infer, config.tiling, num_classes=len(data.class_names)
    )
    outputs = inference.outputs(answer, data.evaluation(split), check=check)
    return results.collect(outputs, data.sources[split])


VERBS = {check: Config, train: Config, evaluate: verbs.Evaluate}
VERBS |= {predict: verbs.Predict, export: verbs.Export}

if __name__ == "__main__":
    sys.exit(cli.main(VERBS, __doc__, presets=PRESETS, task="segment"))
