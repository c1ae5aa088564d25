"""Compares our evaluation of detections with COCO's evaluators, in seconds.

    python benchmarks/coco_evaluation.py          # about 10 minutes

The work: 5,000 pictures of 7 objects on average, of 80 classes, and 100 detections in
each, as many as COCO's validation set has. About half of them are moved objects, the
better the surer, the others lie anywhere. All contenders begin with the same arrays in
memory. Ours is `metrics.evaluate`: COCO's twelve numbers, two bootstrap intervals,
VOC's numbers and the best threshold; beside it `metrics.brief`, AP and AP50 alone, as
they are measured after an epoch. The peers give the twelve numbers: what their users
write, a list of results, `loadRes`, and the three steps. Before anything is timed, the
numbers of all are compared.
"""

import contextlib
import io
import sys
import time

import contest
import tables

import tfdl.quiet  # noqa: F401  # isort: skip
import numpy as np

from tfdl.data.sources import source
from tfdl.tasks.detection import detections as detecting, metrics

PICTURES, CLASSES, OBJECTS, FOUND = 5000, 80, 7, 100
SIZE = (480, 640)  # pixels
ROUNDS = 3
PEERS = ("faster-coco-eval", "pycocotools")
BAR = 1.1  # times faster-coco-eval's seconds
AGREEMENT = 1e-6
SEED = 0


def main() -> None:
    """Compare numbers and times, and write the table."""
    names = ("ours", "ours, AP and AP50 alone", *PEERS, "second ours")
    commands = {
        name: [__file__, "--contender", name.removeprefix("second ")] for name in names
    }
    came = contest.run(commands, rounds=ROUNDS, warm_ups=0)
    peer = came[PEERS[0]]
    lines = [
        f"Machine: {tables.machine()}. Seconds for {PICTURES} pictures with {FOUND} "
        f"detections each, medians of {ROUNDS} turns, by turns; in brackets the "
        "smallest and the largest ratio of a turn. The bar is at most "
        f"{BAR} x the time of faster-coco-eval.",
        "",
        "| what | seconds | of faster-coco-eval's time | peak memory |",
        "|---|---|---|---|",
    ]
    for name, result in came.items():
        share = f"**{peer.times(result):.2f}** [{peer.spread(result)}]"
        lines.append(
            f"| {name} | {1 / result.rate:.1f} | {share} | {result.megabytes:.0f} MB |"
        )
    tables.write("coco_evaluation", lines)


def contend(name: str) -> None:
    """Be one of the contenders until there are no more turns."""
    truth, found = pictures(np.random.default_rng(SEED))
    work = {
        "ours": ours,
        "ours, AP and AP50 alone": briefly,
        "faster-coco-eval": faster_coco_eval,
        "pycocotools": pycocotools,
    }[name]
    _check(work)
    turn, rate = contest.Turn(), None
    with contextlib.suppress(contest.Over):
        while True:
            turn.take(rate)
            start = time.perf_counter()
            work(truth, found)
            rate = 1 / (time.perf_counter() - start)


def pictures(
    rng: np.random.Generator, *, count: int = PICTURES
) -> tuple[list[source.Objects], list[detecting.Detections]]:
    """Draw what is in pictures, and what a fair detector might say of them."""
    truth = [_objects(rng) for _ in range(count)]
    return truth, [_detections(rng, known) for known in truth]


def ours(truth: list, found: list) -> list[float]:
    """Measure everything."""
    numbers = metrics.evaluate(truth, found, class_names=_class_names())
    return [numbers["AP"], numbers["AP50"]]


def briefly(truth: list, found: list) -> list[float]:
    """Measure AP and AP50."""
    numbers = metrics.brief(truth, found, class_names=_class_names())
    return [numbers["AP"], numbers["AP50"]]


def faster_coco_eval(truth: list, found: list) -> list[float]:
    """Measure the twelve numbers with faster-coco-eval."""
    from faster_coco_eval import COCO, COCOeval_faster

    data = COCO(_data_set(truth))
    return _summarized(COCOeval_faster(data, data.loadRes(_results(found)), "bbox"))


def pycocotools(truth: list, found: list) -> list[float]:
    """Measure them with pycocotools."""
    from pycocotools import coco, cocoeval

    with contextlib.redirect_stdout(io.StringIO()):  # a contender's is for its rates
        data = coco.COCO()
        data.dataset = _data_set(truth)
        data.createIndex()
        results = data.loadRes(_results(found))
        return _summarized(cocoeval.COCOeval(data, results, "bbox"))


def _summarized(evaluation) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(evaluation.stats[:2])


def _check(work) -> None:
    """Refuse to time what says something else of fewer pictures."""
    few = pictures(np.random.default_rng(SEED), count=100)
    wanted, said = pycocotools(*few), work(*few)
    if not np.allclose(said, wanted, rtol=0, atol=AGREEMENT):
        raise RuntimeError(f"{work.__name__} says {said}, pycocotools {wanted}")


def _class_names() -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(CLASSES))


def _objects(rng) -> source.Objects:
    count = rng.poisson(OBJECTS)
    boxes = _boxes(rng, count)
    return source.Objects(
        size=SIZE,
        boxes=boxes,
        labels=rng.choice(rng.integers(0, CLASSES, 3), count).astype(np.int32),
        areas=0.6 * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1),  # of outlines
        is_crowd=rng.random(count) < 0.01,
        is_difficult=np.zeros(count, bool),
        places=[""] * count,
    )


def _detections(rng, known) -> detecting.Detections:
    """Move objects by a noise that the score tells, and add boxes anywhere."""
    boxes, labels = _boxes(rng, FOUND), rng.integers(0, CLASSES, FOUND)
    scores = rng.beta(1, 8, FOUND)
    if len(known):
        labels[::3] = rng.choice(known.labels, len(labels[::3]))  # confusions
        near = rng.random(FOUND) < 0.5
        which = rng.integers(0, len(known), near.sum())
        noise = rng.exponential(0.15, len(which))
        sides = np.tile(known.boxes[which, 2:] - known.boxes[which, :2], 2)
        moves = rng.normal(size=(len(which), 4)) * noise[:, None] * sides
        boxes[near] = known.boxes[which] + np.clip(moves, -sides / 3, sides / 3)
        labels[near] = known.labels[which]
        scores[near] = np.exp(-3 * noise) * rng.beta(6, 2, len(which))
    order = np.argsort(-scores)
    return detecting.Detections(
        boxes=boxes[order].astype(np.float32),
        scores=scores[order].astype(np.float32),
        labels=labels[order].astype(np.int32),
    )


def _boxes(rng, count) -> np.ndarray:
    """Draw boxes of all sizes, small ones most, within the picture."""
    height, width = SIZE
    sides = np.exp(rng.uniform(np.log(8), np.log(height), (count, 2)))
    corners = rng.random((count, 2)) * (np.array([width, height]) - sides)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def _data_set(truth) -> dict:
    rows = [
        {
            "image_id": number,
            "category_id": int(label),
            "bbox": [*map(float, box[:2]), *map(float, box[2:] - box[:2])],
            "area": float(area),
            "iscrowd": int(is_crowd),
        }
        for number, known in enumerate(truth)
        for box, label, area, is_crowd in zip(
            known.boxes.astype(np.float64),
            known.labels,
            known.areas,
            known.is_crowd,
            strict=True,
        )
    ]
    return {
        "info": {},
        "images": [{"id": number} for number in range(len(truth))],
        "categories": [
            {"id": number, "name": name} for number, name in enumerate(_class_names())
        ],
        "annotations": [{"id": 1 + number, **row} for number, row in enumerate(rows)],
    }


def _results(found) -> list[dict]:
    return [
        {"image_id": number, "category_id": label, "bbox": box, "score": score}
        for number, given in enumerate(found)
        for box, label, score in zip(
            _corner_and_sides(given.boxes.astype(np.float64)).tolist(),
            given.labels.tolist(),
            given.scores.tolist(),
            strict=True,
        )
    ]


def _corner_and_sides(boxes) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        contend(sys.argv[2])
    else:
        main()
