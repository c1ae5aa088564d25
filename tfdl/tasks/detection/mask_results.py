"""Gathers the masks that were found in a split, and measures and draws them."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfdl.data import images as reading, scan
from tfdl.data.sources import instances
from tfdl.ops import boxes as box_ops
from tfdl.tasks.detection import (
    average_precision,
    coco_metrics,
    curves,
    detections as detecting,
    instance_scores,
    mask_answers,
    mask_pictures,
    mask_runs,
    matches as matching,
    metrics,
    pictures,
    pooled as pooling,
    results,
)

_COMPARED = 12  # pictures of a kind, drawn beside their truth
_ANSWERED = 32  # of the user's pictures, drawn
_SEED = 0  # of the bootstrap


@dataclasses.dataclass(frozen=True)
class Collected:
    """Answers for a split.

    Attributes:
        examples: the split, which knows its masks.
        detections: of each picture, in the order of the split.
        runs: masks of the detections of each picture, at its size.
        most: detections of a class in a picture that count, in AP as well.
    """

    examples: instances.Source
    detections: Sequence[detecting.Detections]
    runs: Sequence[Sequence[mask_runs.Runs]]
    most: int

    @functools.cached_property
    def truth(self) -> list[list[mask_runs.Runs]]:
        """Masks of the objects of each picture."""
        numbers = range(len(self.examples))
        return [mask_runs.encode(self.examples.masks_of(number)) for number in numbers]

    @functools.cached_property
    def matches(self) -> matching.Matches:
        """Which detection found which object, mask by mask."""
        pooled = pooling.pool(
            self.examples.objects,
            self.detections,
            class_names=self.examples.class_names,
        )
        overlaps = functools.partial(
            mask_runs.overlaps, found=self.runs, truth=self.truth
        )
        return matching.match(pooled, overlaps=overlaps, most=self.most)


def collect(
    outputs: Iterable[tuple[Mapping, Mapping]],
    examples: instances.Source,
    *,
    most: int,
) -> Collected:
    """Gather batches; no picture stays in memory.

    Args:
        outputs: pairs of answers, see `mask_answers.postprocess`, and the batch, of
            which "number", int64 (batch,), counts the pictures of the split, and
            "size" is that of each.
        examples: the split, which knows its masks.
        most: as of `Collected`.
    """
    found, runs = {}, {}
    for answers, batch in outputs:
        own = results.detections(answers)
        for row, number in enumerate(np.asarray(batch["number"]).tolist()):
            count, size = len(own[row]), tuple(np.asarray(batch["size"])[row].tolist())
            found[number] = own[row]
            runs[number] = mask_runs.pasted(
                np.asarray(answers["masks"])[row, :count], own[row].boxes, size
            )
    numbers = range(len(examples))
    return Collected(
        examples, [found[n] for n in numbers], [runs[n] for n in numbers], most
    )


def brief(collected: Collected) -> dict[str, float]:
    """Measure AP and AP50 of masks alone, for the end of an epoch."""
    return metrics.brief_of(collected.matches)


def error(collected: Collected) -> tuple[float, int]:
    """Measure how much AP50 is below 1 -> (difference, of how many pictures)."""
    return 1 - brief(collected)["AP50"], len(collected.detections)


def glance(collected: Collected) -> dict[str, dict]:
    """Draw what shows soonest how a model does, see `report`."""
    threshold = curves.best_threshold(collected.matches)
    matrices = pictures.confusion_matrices(collected.matches, score_threshold=threshold)
    return {"samples": _samples(collected, threshold), "plots": matrices}


def report(collected: Collected) -> dict:
    """Measure everything and draw it.

    Drawings and confusion matrices leave out what is less sure than the threshold of
    the best F1.

    Returns:
        "metrics", see `numbers`; "per_class", the rows of a table; "samples",
        "predictions" from the whole of the split and the "best" and "worst" pictures,
        each beside its truth; "plots"; "confusions", see `curves.confusions`; and
        "embedding", which has no features.
    """
    matches = collected.matches
    coco = _coco(collected)
    threshold = curves.best_threshold(matches)
    by_recall, by_threshold = curves.precision_recall(matches), curves.f_score(matches)
    plots = pictures.confusion_matrices(matches, score_threshold=threshold) | {
        "precision_recall": pictures.drawing.precision_recall_curves(
            by_recall, mean=curves.mean(by_recall)
        ),
        "f_score": pictures.drawing.f_score_curves(
            by_threshold, mean=curves.mean(by_threshold)
        ),
    }
    return {
        "metrics": numbers(collected, coco),
        "per_class": metrics.per_class(matches, coco),
        "samples": _samples(collected, threshold),
        "plots": plots,
        "confusions": curves.confusions(matches),
        "embedding": {
            "features": np.zeros((0, 1), np.float32),
            "thumbnails": np.zeros((0, 1, 1, 3), np.uint8),
            "rows": [],
        },
    }


def numbers(
    collected: Collected, coco: coco_metrics.Numbers
) -> dict[str, float | list]:
    """Gather everything that one number can say.

    Args:
        collected: the answers.
        coco: what COCO says of the masks.

    Returns:
        COCO's twelve of masks, see `coco_metrics.Numbers`, and "AP_interval" and
        "AP50_interval" of 95 %; "box_AP" and "box_AP50"; what `instance_scores.measure`
        says of what is surer than one half; "best_threshold"; "num_examples", pictures,
        and "num_objects", without crowds.
    """
    matches = collected.matches
    boxes = coco_metrics.evaluate(matches.pooled, most=collected.most).overall
    ranked = average_precision.ranking(matches)
    names = collected.examples.class_names
    return {
        **coco.overall,
        **average_precision.intervals(ranked, seed=_SEED),
        **{f"box_{name}": boxes[name] for name in ("AP", "AP50") if name in boxes},
        **instance_scores.measure(_maps(collected), num_classes=len(names)),
        "best_threshold": curves.best_threshold(matches),
        "num_examples": matches.pooled.num_pictures,
        "num_objects": int(matches.num_objects.sum()),
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
        paths: as of `results.predictions`, and so are the others.
        answer: the function behind `serving_default`.
        class_names: one for each class.
        on_bad_data: "error" or "skip".
        score_threshold: of what is drawn.

    Returns:
        "rows", as of `results.predictions`, each with its "segmentation", COCO's runs;
        and "samples", the first 32 pictures with their answers.

    Raises:
        DataError: a path is missing, there is no picture, or one is broken.
    """
    rows, samples = [], {}
    for number, file in enumerate(scan.usable_files(paths, on_bad_data=on_bad_data), 1):
        content = tf.constant(file.read_bytes())
        answers = answer(content[None])
        (found,) = results.detections(answers)
        image = reading.decode(content).numpy()
        masks = np.asarray(answers["masks"])[0, : len(found)]
        runs = mask_runs.pasted(masks, found.boxes, image.shape[:2])
        rows += _rows(number, str(file), found, runs, class_names)
        if number <= _ANSWERED:
            kept = int(np.sum(found.scores >= score_threshold))
            samples[f"answer_{number:02d}_{file.stem}"] = mask_pictures.answer(
                image,
                mask_runs.decode(runs[:kept], image.shape[:2]),
                found.labels[:kept],
                found.scores[:kept],
                class_names,
            )
    return {"rows": rows, "samples": samples}


def _rows(number, file, found, runs, class_names) -> list[dict]:
    boxes = np.asarray(box_ops.to_xywh(found.boxes)).tolist()
    columns = (boxes, found.labels.tolist(), found.scores.tolist(), runs)
    return [
        {
            "image_id": number,
            "file_name": file,
            "category_id": label + 1,
            "category": class_names[label],
            "bbox": box,
            "score": score,
            "segmentation": {
                "size": [int(side) for side in mask["size"]],
                "counts": _text(mask["counts"]),
            },
        }
        for box, label, score, mask in zip(*columns, strict=True)
    ]


def _text(counts: bytes | str) -> str:
    return counts.decode() if isinstance(counts, bytes) else counts


def _coco(collected: Collected) -> coco_metrics.Numbers:
    joined = (
        [mask for own in of_pictures for mask in own]
        for of_pictures in (collected.truth, collected.runs)
    )
    return coco_metrics.evaluate(
        collected.matches.pooled, masks=tuple(joined), most=collected.most
    )


def _maps(collected: Collected) -> Iterable[instance_scores.Pair]:
    """Paint truth and answers of each picture, without crowds and what is unsure."""
    for number, known in enumerate(collected.examples.objects):
        found = collected.detections[number]
        sure = int(np.sum(found.scores >= mask_answers.PAINTED_SCORE))
        masks = collected.examples.masks_of(number)[~known.is_crowd]
        painted = np.zeros(known.size, np.int64)
        answered = mask_runs.decode(collected.runs[number][:sure], known.size)
        for index in reversed(range(sure)):
            painted[answered[index]] = index + 1
        yield (
            instance_scores.on_top(masks.reshape(-1, *known.size)),
            painted,
            known.labels[~known.is_crowd],
            found.labels[:sure],
        )


def _samples(collected: Collected, threshold: float) -> dict[str, np.ndarray]:
    """Draw pictures from the whole of the split, the best and the worst."""
    f_scores, sizes = curves.picture_f_scores(
        collected.matches, score_threshold=threshold
    )
    count = min(_COMPARED, len(f_scores))
    chosen = {
        "predictions": np.linspace(0, len(f_scores) - 1, count).astype(int),
        "best": np.lexsort((-sizes, -f_scores))[:count],
        "worst": np.lexsort((-sizes, f_scores))[:count],
    }
    return {
        name: mask_pictures.comparisons(
            [_tiles(collected, int(number), threshold) for number in numbers],
            f_scores=f_scores[numbers],
        )
        for name, numbers in chosen.items()
    }


def _tiles(collected: Collected, number: int, threshold: float):
    """Draw one picture with its objects, and with what was found."""
    examples, found = collected.examples, collected.detections[number]
    image = examples.load(tf.constant(number, tf.int64))["image"].numpy()
    kept = int(np.sum(found.scores >= threshold))
    masks = mask_runs.decode(collected.runs[number][:kept], image.shape[:2])
    truth = pictures.drawing.masks(
        image,
        examples.masks_of(number),
        labels=examples.objects[number].labels,
        class_names=examples.class_names,
    )
    answer = mask_pictures.answer(
        image, masks, found.labels[:kept], found.scores[:kept], examples.class_names
    )
    return truth, answer
