"""Gathers what a detector finds in a split, and measures and draws it."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfdl.data import images as reading, scan
from tfdl.data.sources import source
from tfdl.ops import boxes as box_ops
from tfdl.tasks.detection import (
    coco_metrics,
    curves,
    detections as detecting,
    error_types,
    matches as matching,
    metrics,
    pictures,
    pooled as pooling,
)

_COMPARED = 12  # pictures of a kind, drawn beside their truth
_ANSWERED = 32  # of the user's pictures, drawn
_SEED = 0  # of the bootstrap


@dataclasses.dataclass(frozen=True)
class Collected:
    """A detector's answers for a split.

    Attributes:
        examples: the split, which knows its objects; the few pictures that are drawn
            are read from it again, of a Stream by passing over those before them.
        detections: of each picture, in the order of the split.
    """

    examples: source.Source | source.Stream
    detections: Sequence[detecting.Detections]


def collect(
    outputs: Iterable[tuple[Mapping, Mapping]],
    examples: source.Source | source.Stream,
) -> Collected:
    """Gather batches; no picture stays in memory.

    Args:
        outputs: pairs of answers, as `detections` takes them, and the batch, of which
            "number", int64 (batch,), counts the pictures from the first of the split.
        examples: the split, which knows its objects.
    """
    found = {}
    for answers, batch in outputs:
        numbers = np.asarray(batch["number"]).tolist()
        found.update(zip(numbers, detections(answers), strict=True))
    return Collected(examples, [found[number] for number in range(len(examples))])


def detections(answers: Mapping[str, np.ndarray]) -> list[detecting.Detections]:
    """Cut the padding off answers.

    Args:
        answers: "boxes", float32 (batch, detections, 4), pixels of the pictures as they
            were given; "scores", float32 (batch, detections), not ascending; "labels",
            int32 (batch, detections); "num_detections", int32 (batch,), how many of
            these are real. They may be tensors.

    Returns:
        Those of each picture.
    """
    names = ("boxes", "scores", "labels", "num_detections")
    columns = [np.asarray(answers[name]) for name in names]
    return [
        detecting.Detections(boxes[:count], scores[:count], labels[:count])
        for boxes, scores, labels, count in zip(*columns, strict=True)
    ]


def brief(collected: Collected) -> dict[str, float]:
    """Measure AP and AP50 alone, for the end of an epoch."""
    examples = collected.examples
    return metrics.brief(
        examples.objects, collected.detections, class_names=examples.class_names
    )


def error(collected: Collected) -> tuple[float, int]:
    """Measure how much AP50 is below 1 -> (difference, of how many pictures)."""
    return 1 - brief(collected)["AP50"], len(collected.detections)


def glance(collected: Collected, class_names: Sequence[str]) -> dict[str, dict]:
    """Draw what shows soonest how a model does.

    Args:
        collected: the answers.
        class_names: one for each class.

    Returns:
        "samples", see `report`, and "plots", the confusion matrix; name -> uint8
        (height, width, 3) in each.
    """
    matches = _matches(collected, class_names)
    threshold = curves.best_threshold(matches)
    return {
        "samples": _samples(collected, matches, threshold),
        "plots": pictures.confusion_matrices(matches, score_threshold=threshold),
    }


def report(collected: Collected, class_names: Sequence[str]) -> dict:
    """Measure everything and draw it.

    Drawings and confusion matrices leave out what is less sure than the threshold of
    the best F1.

    Args:
        collected: the answers.
        class_names: one for each class.

    Returns:
        "metrics", see `metrics.numbers`, and of each of `error_types.TYPES`
        "<type>_errors", the count, and "<type>_AP50_gain"; "per_class", the rows of a
        table; "samples", "predictions" from the whole of the split and the "best" and
        "worst" pictures, each beside its truth, and "plots", see `pictures.charts`,
        name -> uint8 (height, width, 3); "confusions", see `curves.confusions`; and
        "embedding", which has no features.
    """
    matches = _matches(collected, class_names)
    coco = coco_metrics.evaluate(matches.pooled)
    threshold, costs = curves.best_threshold(matches), error_types.measure(matches)
    return {
        "metrics": metrics.numbers(matches, coco, seed=_SEED) | _flat(costs),
        "per_class": metrics.per_class(matches, coco),
        "samples": _samples(collected, matches, threshold),
        "plots": pictures.charts(matches, costs, score_threshold=threshold),
        "confusions": curves.confusions(matches),
        "embedding": {
            "features": np.zeros((0, 1), np.float32),
            "thumbnails": np.zeros((0, 1, 1, 3), np.uint8),
            "rows": [],
        },
    }


def predictions(
    paths: Sequence[pathlib.Path],
    answer: Callable[[tf.Tensor], Mapping[str, tf.Tensor]],
    class_names: Sequence[str],
    *,
    on_bad_data: str,
    score_threshold: float,
) -> dict:
    """Find objects in picture files, one file at a time.

    Args:
        paths: pictures, and folders of them.
        answer: the function behind `serving_default`: image_bytes, string (1,) -> as
            `detections` takes it.
        class_names: one for each class.
        on_bad_data: "error" or "skip", for broken pictures.
        score_threshold: of what is drawn.

    Returns:
        "rows", of each detection, however unlikely, what COCO's results have,
        {"image_id", the file's number from 1, "category_id", that of the class from 1,
        "bbox", [x, y, width, height] in pixels of the upright picture, "score"}, and
        "file_name" and "category", the two by name; and "samples", the first 32
        pictures with their answers, name -> uint8 (height, width, 3).

    Raises:
        DataError: a path is missing, there is no picture, or one is broken.
    """
    files = scan.usable_files(paths, on_bad_data=on_bad_data)
    rows, samples = [], {}
    for number, file in enumerate(files):
        content = file.read_bytes()
        (found,) = detections(answer(tf.constant([content])))
        rows += _rows(number + 1, str(file), found, class_names)
        if number < _ANSWERED:
            samples[f"answer_{number + 1:02d}_{file.stem}"] = pictures.answer(
                reading.decode(tf.constant(content)).numpy(),
                found,
                class_names,
                score_threshold=score_threshold,
            )
    return {"rows": rows, "samples": samples}


def _rows(
    number: int, file: str, found: detecting.Detections, class_names
) -> list[dict]:
    """Write what was found as COCO's results do, and the names beside the numbers."""
    boxes = np.asarray(box_ops.to_xywh(found.boxes)).tolist()
    return [
        {
            "image_id": number,
            "file_name": file,
            "category_id": label + 1,
            "category": class_names[label],
            "bbox": box,
            "score": score,
        }
        for box, label, score in zip(
            boxes, found.labels.tolist(), found.scores.tolist(), strict=True
        )
    ]


def _matches(collected, class_names) -> matching.Matches:
    pooled = pooling.pool(
        collected.examples.objects, collected.detections, class_names=class_names
    )
    return matching.match(pooled)


def _flat(costs) -> dict[str, float]:
    flat = {f"{name}_errors": cost["count"] for name, cost in costs.items()}
    gains = {f"{name}_AP50_gain": cost["AP50_gain"] for name, cost in costs.items()}
    return flat | gains


def _samples(collected, matches, threshold) -> dict[str, np.ndarray]:
    """Draw pictures from the whole of the split, the best and the worst."""
    f_scores, sizes = curves.picture_f_scores(matches, score_threshold=threshold)
    count = min(_COMPARED, len(f_scores))
    # Of equals, the picture with more in it is the better and the worse example.
    chosen = {
        "predictions": np.linspace(0, len(f_scores) - 1, count).astype(int),
        "best": np.lexsort((-sizes, -f_scores))[:count],
        "worst": np.lexsort((-sizes, f_scores))[:count],
    }
    originals = _originals(collected.examples, np.concatenate(list(chosen.values())))
    return {
        name: pictures.comparisons(
            [originals[number] for number in numbers],
            [collected.examples.objects[number] for number in numbers],
            [collected.detections[number] for number in numbers],
            matches.pooled.class_names,
            f_scores=f_scores[numbers],
            score_threshold=threshold,
        )
        for name, numbers in chosen.items()
    }


def _originals(examples, numbers) -> dict[int, np.ndarray]:
    """Read pictures of these numbers again, as they were given."""
    if isinstance(examples, source.Source):
        records = {number: tf.constant(number, tf.int64) for number in set(numbers)}
    else:
        passed = enumerate(examples.records().take(int(max(numbers)) + 1))
        records = {number: record for number, record in passed if number in numbers}
    return {
        int(number): examples.load(record)["image"].numpy()
        for number, record in records.items()
    }
