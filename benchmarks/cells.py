"""Trains detectors on blood cells and on drawings, ours and keras-cv's.

    python benchmarks/cells.py            # all rows, about 3 hours
    python benchmarks/cells.py race peer  # the rows whose name has one of these in it

Needs the data set `bccd` in the folder that TFDL_DATA names: 205 pictures of blood
cells to train on, 87 to choose by, 72 to test on, from random weights. Every row of
ours is one `apps/detect.py train` and one `evaluate` for each split in processes of
their own; its minutes are from the first step to the last row of metrics, validation
included. The peer is keras-cv's YOLOV8Detector, trained by `fit` for as many minutes as
our race took, after its first step and without validation, flipped both ways and varied
in brightness, with a cosine over the wall time; its answers are measured by our
metrics, which equal pycocotools'.
"""

import dataclasses
import json
import math
import sys
import time

import tables
import watching

import tfdl.quiet  # noqa: F401  # isort: skip
import keras
import keras_cv_yolo
import numpy as np
import tensorflow as tf

from tfdl.tasks.detection import data, feeding, metrics, postprocess, results

SIZE, BATCH = 256, 8
RATE, DECAY, WARMUP = 1e-3, 5e-4, 0.03
PEER, RACE = "peer", "cells_race"


@dataclasses.dataclass(frozen=True)
class Row:
    """One training of ours.

    Attributes:
        name: of the row and of its run.
        title: what the table calls it.
        flags: of `apps/detect.py train`.
        bar: what is to be reached.
    """

    name: str
    title: str
    flags: tuple[str, ...]
    bar: str


CELLS = ("--preset", "cells")
# The smallest anchors have 32 pixels: of smaller pictures platelets would have 16.
SMALL = ("--model", "retinanet", "--backbone", "resnet18", "--width", "0.25")
SMALL += ("--image-size", "384", "--epochs", "45")
ROWS = (
    Row("drawings", "YOLOv8, drawings", ("--preset", "drawings"), "AP50 95 %, AP 75 %"),
    Row("cells", "YOLOv8, cells", CELLS, "test AP50 85 %"),
    Row(
        RACE,
        "YOLOv8, a race",
        (*CELLS, "--image-size", "256", "--epochs", "48"),
        "the peer",
    ),
    Row("cells_retinanet", "RetinaNet", (*CELLS, *SMALL), "test AP50 75 %"),
    Row(
        "cells_long",
        "YOLOv8, as long as it helps",
        (*CELLS, "--image-size", "384", "--epochs", "300"),
        "as high as it goes",
    ),
)
SPLITS = ("validation", "test")


def measure(row: Row) -> dict:
    """Train and evaluate one row -> what the table says of it."""
    folder = tables.RESULTS / row.name
    return watching.train_and_evaluate("detect.py", row.flags, folder, SPLITS)


def measure_peer() -> dict:
    """Train keras-cv's detector as long as our race took -> what the table says."""
    minutes = json.loads((tables.RESULTS / f"{RACE}.json").read_text())["minutes"]
    keras.utils.set_random_seed(0)
    splits = _splits()
    adamw = keras.optimizers.AdamW(RATE, weight_decay=DECAY, global_clipnorm=10.0)
    model = keras_cv_yolo.build(SIZE, adamw)
    clock = _Clock(60 * minutes)
    steps = len(splits.sources["train"]) // BATCH
    batches = _batches(splits)
    model.fit(
        batches, steps_per_epoch=steps, epochs=10**6, verbose=0, callbacks=[clock]
    )
    thresholds = postprocess.Thresholds()
    detect = keras_cv_yolo.detecting(
        model, score=thresholds.score_threshold, iou=thresholds.iou_threshold
    )
    measured = {split: _measured(splits, split, detect) for split in SPLITS}
    return {
        "minutes": minutes,
        "epochs": clock.steps // steps,
        "parameters": model.count_params(),
        "measured": measured,
    }


class _Clock(keras.callbacks.Callback):
    """Sets the rate by the wall time since the first step, and ends with it."""

    def __init__(self, seconds: float):
        super().__init__()
        self.steps, self._seconds, self._begun = 0, seconds, None

    def on_train_batch_end(self, batch, logs=None):
        """Look at the time."""
        self._begun = self._begun or time.monotonic()
        self.steps += 1
        share = min(1.0, (time.monotonic() - self._begun) / self._seconds)
        rising = share / WARMUP
        falling = (1 + math.cos(math.pi * (share - WARMUP) / (1 - WARMUP))) / 2
        self.model.optimizer.learning_rate.assign(RATE * min(rising, falling))
        self.model.stop_training = share >= 1


def _splits() -> feeding.Splits:
    reading = {
        "spec": "voc:bccd",
        "image_size": SIZE,
        "cache_dir": tables.RESULTS / "cache",
        "num_examples": 1,
        "validation_fraction": 0.1,
        "test_fraction": 0.1,
        "on_bad_data": "skip",
        "warn": lambda line: None,
    }
    return feeding.read(
        reading,
        cache_bytes=1 << 30,
        augmentation="none",
        mix="none",
        feed=lambda num_classes: lambda images, objects: (images, objects),
        batch_size=BATCH,
        seed=0,
        mixed_steps=lambda steps: 0,
    )


def _batches(splits: feeding.Splits) -> tf.data.Dataset:
    """Feed the training pictures as the library wants them, varied."""
    train = splits.sources["train"]
    most = data.most_objects(train.objects)
    prepare = data.preparation(SIZE, max_objects=most)
    numbers = range(len(train))
    examples = [prepare(train.load(tf.constant(n, tf.int64))) for n in numbers]
    pictures, found, labels = (
        np.stack([example[name].numpy() for example in examples])
        for name in ("image", "boxes", "labels")
    )
    targets = keras_cv_yolo.targets(found, labels)
    dataset = tf.data.Dataset.from_tensor_slices((255 * pictures, targets))
    dataset = dataset.shuffle(len(train)).repeat().map(_varied, num_parallel_calls=2)
    options = tf.data.Options()
    options.autotune.enabled = False  # the end of an iterator would stall a step
    batches = dataset.batch(BATCH, drop_remainder=True).prefetch(2)
    return batches.with_options(options)


def _varied(picture: tf.Tensor, targets: dict[str, tf.Tensor]):
    found, is_real = targets["boxes"], targets["classes"][:, None] >= 0
    if tf.random.uniform(()) < 0.5:
        left, top, right, bottom = tf.unstack(found, axis=-1)
        turned = tf.stack([SIZE - right, top, SIZE - left, bottom], axis=-1)
        picture, found = picture[:, ::-1], tf.where(is_real, turned, found)
    if tf.random.uniform(()) < 0.5:
        left, top, right, bottom = tf.unstack(found, axis=-1)
        turned = tf.stack([left, SIZE - bottom, right, SIZE - top], axis=-1)
        picture, found = picture[::-1], tf.where(is_real, turned, found)
    picture = tf.clip_by_value(picture * tf.random.uniform((), 0.8, 1.2), 0, 255)
    return picture, {"boxes": found, "classes": targets["classes"]}


def _measured(splits: feeding.Splits, split: str, detect) -> dict[str, float]:
    """Measure what the peer finds in a split, in pixels of the pictures."""
    found = []
    for batch in splits.evaluation(split):
        answered = detect(255 * batch["image"])
        is_real = np.asarray(answered["classes"]) >= 0
        boxes = data.out_of_square(
            tf.cast(answered["boxes"], tf.float32), batch["size"], image_size=SIZE
        )
        found += results.detections(
            {
                "boxes": boxes.numpy(),
                "scores": np.asarray(answered["confidence"]),
                "labels": np.asarray(answered["classes"]).astype(np.int32),
                "num_detections": is_real.sum(axis=1),
            }
        )
    examples = splits.sources[split]
    return metrics.evaluate(examples.objects, found, class_names=examples.class_names)


def table(known: dict[str, dict]) -> list[str]:
    """Write the results as a Markdown table, with the machine they came from."""
    lines = [
        f"Machine: {tables.machine()}. Of our weights that were best on validation, "
        "and the peer's last; in brackets the 95 % bootstrap interval over pictures. "
        "The peer's minutes hold no validation.",
        "",
        "| what | command | validation AP | validation AP50 | test AP | test AP50 | "
        "bar | minutes | epochs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    commands = {row.name: f"`detect.py train {' '.join(row.flags)}`" for row in ROWS}
    titles = {row.name: (row.title, row.bar) for row in ROWS}
    commands[PEER] = "keras-cv's YOLOV8Detector, `fit`"
    titles[PEER] = ("keras-cv, as long as the race", "-")
    for name in titles:
        if name in known:
            found, (title, bar) = known[name], titles[name]
            numbers = " | ".join(
                _with_interval(found["measured"][split], metric)
                for split in SPLITS
                for metric in ("AP", "AP50")
            )
            lines.append(
                f"| {title} | {commands[name]} | {numbers} | {bar} | "
                f"{found['minutes']:.1f} | {found['epochs']} |"
            )
    return lines


def _with_interval(measured: dict, name: str) -> str:
    low, high = measured[f"{name}_interval"]
    return f"{measured[name]:.1%} [{low:.1%}, {high:.1%}]"


def main(names: list[str]) -> None:
    """Measure the rows of these names, or all, and put those known into the table."""
    tables.RESULTS.mkdir(parents=True, exist_ok=True)
    work = {row.name: lambda row=row: measure(row) for row in ROWS}
    work[PEER] = measure_peer
    files = {name: tables.RESULTS / f"{name}.json" for name in work}
    for name, file in files.items():
        if not names or any(part in name for part in names):
            file.write_text(json.dumps(work[name](), indent=2))
    known = {n: json.loads(f.read_text()) for n, f in files.items() if f.exists()}
    tables.write("cells", table(known))


if __name__ == "__main__":
    main(sys.argv[1:])
