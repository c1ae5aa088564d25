"""Classify pictures: train, evaluate, predict, export.

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
import pathlib
import sys
from dataclasses import dataclass, field
from typing import Literal

import tfdl.quiet  # noqa: F401  # isort: skip
import keras

from tfdl.backbones import BACKBONES
from tfdl.data import augment, pipeline, scan
from tfdl.export import savedmodel
from tfdl.tasks.classification import classifier, data, pictures, postprocess, results
from tfdl.training import cli, flags, inference, session


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
    """What happens to training pictures, see `recipe` in this file."""
    mix: Literal["none", "mixup", "cutmix"] = "none"
    """How two training pictures become one."""
    multi_label: bool = False
    """Pictures have several classes (synthetic data)."""

    def __post_init__(self):
        flags.choose("--model", self.model, BACKBONES)


PRESETS = {
    "tiny": Config(
        data=flags.Data(num_examples=400, batch_size=32),
        optimization=flags.Optimization(epochs=2),
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


def recipe(config: Config, num_classes: int) -> pipeline.Recipe:
    """Say what happens to a training picture."""
    small = [augment.flip_horizontal, functools.partial(augment.random_crop, padding=4)]
    size = config.data.image_size
    crop = functools.partial(augment.random_resized_crop, size=size)
    augmentations = {
        "none": [],
        "digits": [augment.affine],
        "small": small,
        "strong": [*small, augment.rand_augment, augment.erasing],
        "photos": [crop, augment.flip_horizontal, augment.colour],
    }
    mixes = {"none": None, "mixup": augment.mixup, "cutmix": augment.cutmix}
    return pipeline.Recipe(
        prepare=data.preparation(size, config.channels, num_classes=num_classes),
        augmentations=augmentations[config.augmentation],
        mix=mixes[config.mix],
        sampling=config.data.sampling,
        feed=data.inputs_and_targets,
    )


def build(config: Config, num_classes: int, weights: str = "none") -> keras.Model:
    """Build the model."""
    size = config.data.image_size
    return BACKBONES[config.model](
        (size, size, config.channels),
        num_classes,
        weights=None if weights == "none" else weights,
        width=config.width,
        normalization=config.normalization,
        dropout_rate=config.dropout,
        spatial_dropout_rate=config.spatial_dropout,
    )


def train(config: Config) -> None:
    """Train a run, or go on with it."""
    sources = data.read(**config.data.reading(), multi_label=config.multi_label)
    names, folder = sources["train"].class_names, flags.run_of(config, "classify")
    feed = pipeline.Training(
        sources["train"],
        recipe(config, len(names)),
        batch_size=config.data.batch_size,
        seed=config.run.seed,
    )
    if session.train(
        config,
        folder,
        feed=feed,
        shard=pipeline.Shard,
        build=lambda optimizer: classifier.compile_model(
            build(config, len(names), config.optimization.weights),
            optimizer,
            config.multi_label,
            label_smoothing=config.optimization.label_smoothing,
        ),
        validate=lambda infer, check: results.brief(
            collect(config, infer, sources["validation"], check)
        ),
        monitor="val_accuracy",
        mode="max",
        notes={"class_names": list(names)},
    ):
        pictures.training(folder, next(iter(feed.batches(range(1)))), names)


def evaluate(options: flags.Evaluate) -> None:
    """Measure the best weights of a run."""
    config, names, model = restore(options.run)
    sources = data.read(**config.data.reading(), multi_label=config.multi_label)
    collected = collect(config, inference.compiled(model), sources[options.split])
    measured = results.report(options.run, collected, names, split=options.split)
    cli.say(*(f"{name} {value}" for name, value in measured.items()))
    cli.say(f"written to {(options.run / 'eval').resolve()}")


def predict(options: flags.Predict) -> None:
    """Name the class of every picture, in predictions.csv and as pictures."""
    config, names, model = restore(options.run)
    files = scan.usable_files(options.paths, on_bad_data=options.on_bad_data)
    answer = postprocess.serve(model, names, multi_label=config.multi_label)
    path = results.write_predictions(options.run, files, answer, names)
    cli.say(f"{len(files)} pictures answered, see {path.resolve()}")


def export(options: flags.Export) -> None:
    """Write a SavedModel."""
    config, names, model = restore(options.run)
    answer = postprocess.serve(model, names, multi_label=config.multi_label)
    folder = savedmodel.write(
        options.base / options.run.resolve().name,
        model,
        signatures={"serving_default": answer},
        assets={"labels.txt": "\n".join(names) + "\n"},
    )
    cli.say(f"exported to {folder.resolve()}")


def collect(config: Config, infer, examples, check=lambda: None):
    """Run the model on a split."""
    prepare = recipe(config, len(examples.class_names)).prepare
    batches = pipeline.evaluation(examples, prepare, batch_size=config.data.batch_size)
    outputs = inference.outputs(infer, batches, check=check)
    return results.collect(outputs, len(examples), multi_label=config.multi_label)


def restore(folder: pathlib.Path) -> tuple[Config, list[str], keras.Model]:
    """Rebuild a run's best model -> (its flags, names of its classes, model)."""
    config, saved, model = session.restore(
        Config, folder, lambda config, saved: build(config, len(saved["class_names"]))
    )
    return config, saved["class_names"], model


FLAGS = (Config, flags.Evaluate, flags.Predict, flags.Export)
VERBS = dict(zip((train, evaluate, predict, export), FLAGS, strict=True))

if __name__ == "__main__":
    sys.exit(cli.main(VERBS, __doc__, presets=PRESETS, task="classify"))
