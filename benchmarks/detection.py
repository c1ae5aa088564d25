"""Compares our YOLOv8 with keras-cv's: training, inference, memory, parts of it.

    python benchmarks/detection.py             # all rows and the parts, 15 minutes
    python benchmarks/detection.py train       # the rows whose name has this in it

Needs the data set `bccd` in the folder that TFDL_DATA names. Both sides train on the
same 64 pictures of blood cells, 256 x 256 in memory, in batches of 8, with AdamW, and
have about 3.43 million parameters. Ours is `loop.train` as the app runs it; the peer is
plain `fit` with the library's own layers, assignment, loss and bfloat16 policy. For
inference both have trained for a while, so that there is something to suppress: ours
is the exported signature `serve_tensor`, constants folded; the peer is one compiled
function of network and its own suppression. The control is a second process of it.

Rows of bfloat16 are left out where the processor has no instructions for it. The parts
of a step are differences of the medians of compiled functions, each of which
does one thing more than the one before.
"""

import contextlib
import dataclasses
import functools
import json
import pathlib
import sys
import tempfile
import time

import contest
import tables

import tfdl.quiet  # noqa: F401  # isort: skip
import keras
import keras_cv_yolo
import numpy as np
import tensorflow as tf
import trainings

from tfdl.export import freezing
from tfdl.tasks.detection import (
    detector,
    distances,
    feeding,
    postprocess,
    task_aligned,
    yolov8,
)
from tfdl.training import inference, optimizers, precision

SIZE, BATCH, PICTURES = 256, 8, 64
WIDTH = 1.07  # of yolov8_n: as many parameters as the peer has, within 3 %
ROUNDS, STEPS, CALLS = 6, 24, 12
WARMING_STEPS = 60
RATE, DECAY = 1e-3, 5e-4
SCORE, IOU = 0.01, 0.6


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        work: "train" or "infer".
        precision: "float32" or "bfloat16".
        batch_size: pictures in a step or call.
        bar: the ratio to reach.
    """

    work: str
    precision: str
    batch_size: int
    bar: float

    @property
    def name(self) -> str:
        """The row's name on the command line."""
        return f"{self.work}-{self.precision}-{self.batch_size}"


ROWS = (
    Row("train", "float32", BATCH, 1.3),
    Row("train", "bfloat16", BATCH, 2.0),
    Row("infer", "float32", BATCH, 1.3),
    Row("infer", "bfloat16", BATCH, 2.0),
    Row("infer", "float32", 1, 1.3),
)
PARTS = "parts"


def main(names: list[str]) -> None:
    """Measure the rows of these names, or all, and write the tables."""
    tables.RESULTS.mkdir(parents=True, exist_ok=True)
    file = tables.RESULTS / "detection.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    kinds = ["float32"] + ["bfloat16"] * precision.has_bfloat16()
    for row in ROWS:
        is_asked = not names or any(name in row.name for name in names)
        if is_asked and row.precision in kinds:
            results[row.name] = contest.against_peer(__file__, row.name, rounds=ROUNDS)
            file.write_text(json.dumps(results, indent=2))
    if not names or PARTS in names:
        results[PARTS] = {kind: parts(kind) for kind in kinds}
        results["pipeline"] = pipeline_rate()
        file.write_text(json.dumps(results, indent=2))
    tables.write("detection", table(results))


def contend(kind: str, name: str) -> None:
    """Do one side of a row until there are no more turns."""
    [row] = [row for row in ROWS if row.name == name]
    if row.work == "train":
        (_train_ours if kind == "ours" else _train_peer)(row)
    else:
        _answer(row, (_infer_ours if kind == "ours" else _infer_peer)(row))


def splits(**options) -> feeding.Splits:
    """Open the blood cells."""
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
        **{
            "cache_bytes": 1 << 30,
            "augmentation": "none",
            "mix": "none",
            "feed": lambda num_classes: made(num_classes).feed,
            "batch_size": PICTURES,
            "seed": 0,
            "mixed_steps": lambda steps: 0,
        }
        | options,
    )


@functools.cache
def examples() -> dict[str, np.ndarray]:
    """Prepare the pictures and their objects."""
    return {name: value.numpy() for name, value in splits().first_batch().items()}


def made(num_classes: int = len(keras_cv_yolo.NAMES)) -> detector.Detector:
    """Make our detector."""
    shape = (SIZE, SIZE, 3)
    return yolov8.detector(shape, num_classes, variant="n", width=WIDTH)


def _compiled() -> keras.Model:
    optimizer = optimizers.optimizer("adamw", RATE, weight_decay=DECAY, clip_norm=10.0)
    return made().compile(optimizer)


def _fed() -> tuple:
    objects = {name: examples()[name] for name in ("boxes", "labels", "weights")}
    targets = made().targets({n: tf.constant(v) for n, v in objects.items()})
    return examples()["images"], dict(targets)


def _train_ours(row: Row) -> None:
    work = _work(row)
    trainings.looped(work, _compiled, _fed())


def _work(row: Row) -> trainings.Work:
    return trainings.Work(
        (SIZE, SIZE, 3),
        len(keras_cv_yolo.NAMES),
        row.batch_size,
        steps=STEPS,
        together=8,
        precision=row.precision,
    )


def _peer(row: Row) -> tuple[keras.Model, tf.data.Dataset]:
    if row.precision == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    adamw = keras.optimizers.AdamW(RATE, weight_decay=DECAY, global_clipnorm=10.0)
    model = keras_cv_yolo.build(SIZE, adamw)
    ours = made().inference_model.count_params()
    if not 0.97 < ours / model.count_params() < 1.03:
        raise ValueError(f"{ours} and {model.count_params()} parameters")
    found = examples()
    pictures = tf.constant(255 * found["images"])
    targets = keras_cv_yolo.targets(found["boxes"], found["labels"])
    options = tf.data.Options()
    options.autotune.enabled = False  # the end of an iterator would stall a step
    batches = tf.data.Dataset.from_tensor_slices((pictures, targets))
    batches = batches.shuffle(PICTURES).repeat().batch(BATCH, drop_remainder=True)
    return model, batches.prefetch(2).with_options(options)


def _train_peer(row: Row) -> None:
    model, batches = _peer(row)
    watch = trainings.Stopwatch(_work(row), 1)
    with contextlib.suppress(contest.Over):
        model.fit(batches, steps_per_epoch=1 << 30, verbose=0, callbacks=[watch])


def _infer_ours(row: Row):
    precision.use(row.precision)
    keras.utils.set_random_seed(1)
    model = _compiled()
    optimizers.build(model)
    images, targets = _fed()
    model.fit(images, targets, batch_size=BATCH, epochs=8, verbose=0)
    infer = inference.compiled(inference.part_of(model))
    thresholds = postprocess.Thresholds(score_threshold=SCORE, iou_threshold=IOU)
    served = postprocess.signatures(
        freezing.freeze(infer), image_size=SIZE, thresholds=thresholds
    )["serve_tensor"]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "1")
        module = tf.Module()
        module.served = served
        tf.saved_model.save(module, str(path), signatures={"serve_tensor": served})
        answer = tf.saved_model.load(str(path)).signatures["serve_tensor"]
    pictures = tf.constant(examples()["images"][: row.batch_size])
    return lambda: answer(images=pictures)["boxes"].numpy()


def _infer_peer(row: Row):
    keras.utils.set_random_seed(1)
    model, batches = _peer(row)
    model.fit(batches, steps_per_epoch=WARMING_STEPS, verbose=0)
    detect = keras_cv_yolo.detecting(model, score=SCORE, iou=IOU)
    pictures = tf.constant(255 * examples()["images"][: row.batch_size])
    return lambda: np.asarray(detect(pictures)["boxes"])


def _answer(row: Row, call) -> None:
    """Take turns of calls, each reported as the median rate."""
    for _ in range(3):
        call()
    turn = contest.Turn()
    with contextlib.suppress(contest.Over):
        turn.take()
        while True:
            turn.take(row.batch_size / _median(call, CALLS))


def _median(call, times: int) -> float:
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds))


def parts(kind: str) -> dict[str, float]:
    """Measure what each part of our training step takes, in milliseconds."""
    precision.use(kind)
    model = _compiled()
    optimizers.build(model)
    images, targets = _fed()
    few = tf.nest.map_structure(lambda v: tf.constant(v[:BATCH]), (images, targets))
    detecting = made()
    known = distances.candidates((SIZE, SIZE), strides=yolov8.STRIDES)

    def forward(x, y):
        return tf.nest.map_structure(tf.reduce_sum, model(x, training=True))

    def assigned(x, y):
        outputs = model(x, training=True)
        found = distances.decode(outputs["boxes"], known)
        scores = tf.sigmoid(outputs["classes"])
        return task_aligned.assign(scores, found, y, known=known)

    def loss(x, y):
        return detecting.losses(y, model(x, training=True))

    def gradients(x, y):
        with tf.GradientTape() as tape:
            value = model.compute_loss(x, y, model(x, training=True))
        found = tape.gradient(value, [v.value for v in model.trainable_variables])
        return [tf.reduce_sum(gradient) for gradient in found]

    def step(x, y):
        return model.train_step((x, y))

    seconds = {}
    for function in (forward, assigned, loss, gradients, step):
        compiled = tf.function(function)
        call = functools.partial(compiled, *few)
        for _ in range(3):
            call()
        seconds[function.__name__] = _median(call, STEPS)
    precision.use("float32")
    ends = list(seconds.values())
    names = ("forward", "assignment", "loss", "backward", "update")
    return {
        name: 1000 * (end - start)
        for name, start, end in zip(names, [0.0, *ends], ends, strict=False)
    }


def pipeline_rate() -> float:
    """Measure how many examples a second the preset's own pipeline delivers."""
    training = splits(
        augmentation="any_way_up",
        mix="mosaic",
        batch_size=BATCH,
        mixed_steps=lambda steps: 1 << 30,
    ).training
    batches = iter(training.batches(range(1 << 20)))
    call = functools.partial(next, batches)
    for _ in range(16):
        call()
    begun, count = time.perf_counter(), 400
    for _ in range(count):
        call()
    return count * BATCH / (time.perf_counter() - begun)


def table(results: dict) -> list[str]:
    """Write the results as Markdown tables."""
    lines = [
        f"Machine: {tables.machine()}. Medians of {ROUNDS} turns each, by turns; in "
        "brackets the smallest and the largest ratio of a turn. Memory is the most "
        "that the process had.",
        "",
        "| work | precision | batch | ours, images/s | keras-cv, images/s | ratio | "
        "bar | control: keras-cv against itself | memory, ours and keras-cv |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        if row.name in results:
            found = results[row.name]
            own, other = found["megabytes"]
            lines.append(
                f"| {row.work} | {row.precision} | {row.batch_size} | "
                f"{found['ours']:.1f} | {found['peer']:.1f} | "
                f"**{found['ratio']:.2f}** [{found['spread']}] | {row.bar} | "
                f"{found['control']:.2f} [{found['control_spread']}] | "
                f"{own:,.0f} and {other:,.0f} MB |"
            )
    if PARTS in results:
        lines += ["", *_parts_table(results)]
    return lines


def _parts_table(results: dict) -> list[str]:
    names = list(results[PARTS]["float32"])
    lines = [
        f"Parts of our training step of {BATCH} pictures, in milliseconds; the input "
        f"pipeline with mosaic delivers {results['pipeline']:.0f} images/s beside it.",
        "",
        f"| precision | {' | '.join(names)} | whole |",
        "|---" * (len(names) + 2) + "|",
    ]
    for kind, found in results[PARTS].items():
        cells = " | ".join(f"{found[name]:.1f}" for name in names)
        lines.append(f"| {kind} | {cells} | {sum(found.values()):.1f} |")
    return lines


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        contend(*sys.argv[2:])
    else:
        main(sys.argv[1:])
