import gc
import json
import os
import pathlib

import numpy as np
import pytest
from pycocotools import coco, cocoeval

from tfdl.data.sources import source
from tfdl.tasks.detection import (
    average_precision,
    coco_metrics,
    detections,
    matches,
    pooled,
)

KEYS = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
)


def data_folder(name):
    folder = pathlib.Path(os.environ.get("TFDL_DATA", "data"), name)
    if not folder.exists():
        pytest.skip(f"{name} is not there")
    return folder


def corners(boxes):
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def read(content, found):
    """Turn COCO's annotations and results into ours."""
    numbers = {row["id"]: place for place, row in enumerate(content["categories"])}
    # Among equal scores the picture of the lower id comes first.
    of_pictures = {key: ([], []) for key in sorted(r["id"] for r in content["images"])}
    for row in content["annotations"]:
        of_pictures[row["image_id"]][0].append(row)
    for row in found:
        of_pictures[row["image_id"]][1].append(row)
    truth, answers = [], []
    for known, own in of_pictures.values():
        truth.append(
            source.Objects(
                size=(640, 640),
                boxes=corners([row["bbox"] for row in known]),
                labels=np.array([numbers[r["category_id"]] for r in known], np.int32),
                areas=np.array([row["area"] for row in known], np.float32),
                is_crowd=np.array([row["iscrowd"] for row in known], bool),
                is_difficult=np.zeros(len(known), bool),
                places=(),
            )
        )
        answers.append(
            detections.Detections(
                corners([row["bbox"] for row in own]),
                np.array([row["score"] for row in own], np.float32),
                np.array([numbers[row["category_id"]] for row in own], np.int32),
            )
        )
    return pooled.pool(truth, answers, class_names=list(map(str, numbers)))


def by_pycocotools(content, found):
    truth = coco.COCO()
    truth.dataset = content
    truth.createIndex()
    answers = coco.COCO()
    rows = [
        row | {"id": 1 + place, "area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0}
        for place, row in enumerate(found)
    ]
    answers.dataset = content | {"annotations": rows}
    answers.createIndex()
    evaluation = cocoeval.COCOeval(truth, answers, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats


def by_hand(split):
    """Measure AP, AP50 and AP75 with the matches of our own."""
    ranked = average_precision.ranking(matches.match(split))
    averages = average_precision.of_classes(ranked)
    chosen = (averages, averages[0], averages[5])
    return [average_precision.mean(values) for values in chosen]


def drawn(rng, *, pictures, classes, whole):
    """Draw a case with crowds, ties and empty pictures."""
    annotations, found = [], []
    for image_id in range(1, pictures + 1):
        num_objects, num_found = rng.integers(0, 8), rng.integers(0, 14)
        boxes = np.concatenate(
            [
                rng.uniform(0, 200, (num_objects, 2)),
                rng.uniform(8, 130, (num_objects, 2)),
            ],
            axis=1,
        )
        boxes = np.rint(boxes / whole) * whole
        for box in boxes.tolist():
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(rng.integers(1, classes + 1)),
                    "bbox": box,
                    "area": box[2] * box[3] * 0.7,
                    "iscrowd": int(rng.uniform() < 0.15),
                }
            )
        for _ in range(num_found):
            box = rng.uniform(8, 100, 4)
            if num_objects and rng.uniform() < 0.8:
                box = boxes[rng.integers(num_objects)] + rng.normal(0, 4, 4)
            box = np.maximum(np.rint(box / whole) * whole, 1).astype(np.float32)
            found.append(
                {
                    "image_id": image_id,
                    "category_id": int(rng.integers(1, classes + 1)),
                    "bbox": box.tolist(),
                    "score": float(np.float32(rng.integers(1, 9) / 8)),
                }
            )
    content = {
        "images": [{"id": number} for number in range(1, pictures + 1)],
        "categories": [{"id": number} for number in range(1, classes + 1)],
        "annotations": annotations,
    }
    return content, found


@pytest.mark.parametrize(
    ("seed", "pictures", "classes", "whole"),
    [(0, 40, 3, 8), (1, 25, 1, 4), (2, 60, 5, 0.5), (3, 1, 2, 8), (4, 30, 40, 4)],
)
def test_random_cases_equal_pycocotools(seed, pictures, classes, whole):
    rng = np.random.default_rng(seed)
    content, found = drawn(rng, pictures=pictures, classes=classes, whole=whole)
    expected = by_pycocotools(content, found)
    split = read(content, found)
    numbers = coco_metrics.evaluate(split).overall
    measured = [numbers.get(key, -1) for key in KEYS]
    np.testing.assert_allclose(measured, expected, atol=1e-6)
    np.testing.assert_allclose(by_hand(split), expected[:3], atol=1e-6)


def test_the_golden_numbers_of_pycocotools():
    folder = data_folder("coco_eval_golden")
    golden = json.loads((folder / "GOLDEN_pycocotools_stats.json").read_text())["bbox"]
    truth = "faster_coco_eval/tests/dataset/cocoapi/instances_val2014_100.json"
    results = "cocoapi/results/instances_val2014_fakebbox100_results.json"
    content, found = (
        json.loads((folder / name).read_text()) for name in (truth, results)
    )
    split = read(content, found)
    numbers = coco_metrics.evaluate(split).overall
    np.testing.assert_allclose([numbers[key] for key in KEYS], golden, atol=1e-6)
    np.testing.assert_allclose(by_hand(split), golden[:3], atol=1e-6)


def test_the_truth_as_detections_is_perfect():
    folder = data_folder("coco_mini")
    file = folder / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    found = [
        {name: row[name] for name in ("image_id", "category_id", "bbox")} | {"score": 1}
        for row in content["annotations"]
        if not row["iscrowd"]
    ]
    numbers = coco_metrics.evaluate(read(content, found)).overall
    assert numbers["AP"] == numbers["AP50"] == numbers["AR_100"] == pytest.approx(1.0)


@pytest.mark.parametrize("without", ["annotations", "found", "both"])
def test_nothing_known_or_nothing_found(without):
    content, found = drawn(np.random.default_rng(0), pictures=5, classes=2, whole=4)
    if without in ("found", "both"):
        found = []
    if without in ("annotations", "both"):
        content |= {"annotations": []}
    split = read(content, found)
    numbers = coco_metrics.evaluate(split)
    if without == "found":
        assert numbers.overall["AP"] == 0
        assert by_hand(split) == [0, 0, 0]
    else:
        assert numbers.overall == {}
        assert np.isnan(by_hand(split)).all()
        assert np.isnan(numbers.of_classes["AP"]).all()


def test_numbers_of_classes_average_to_those_of_all():
    content, found = drawn(np.random.default_rng(5), pictures=30, classes=4, whole=4)
    content["categories"].append({"id": 5})  # without objects
    numbers = coco_metrics.evaluate(read(content, found))
    for name, overall in (("AP", "AP"), ("AP50", "AP50"), ("AR", "AR_100")):
        of_classes = numbers.of_classes[name]
        assert np.isnan(of_classes).tolist() == [False] * 4 + [True]
        assert np.nanmean(of_classes) == pytest.approx(numbers.overall[overall])


def test_garbage_is_collected_again_afterwards():
    content, found = drawn(np.random.default_rng(6), pictures=2, classes=1, whole=4)
    coco_metrics.evaluate(read(content, found))
    assert gc.isenabled()
