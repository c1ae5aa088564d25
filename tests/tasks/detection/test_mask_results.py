"""Measured masks against pycocotools, and the truth against itself."""

import json

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from pycocotools import coco, cocoeval

from tfdl.data.sources import coco_instances, instances, source
from tfdl.tasks.detection import coco_metrics, detections, mask_results, mask_runs

SIZE = (40, 48)
NAMES = ("ant", "bee")


def ellipse(rng):
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    centre, radii = rng.uniform(8, 32, 2), rng.uniform(4, 14, 2)
    return ((rows - centre[0]) / radii[0]) ** 2 + (
        (columns - centre[1]) / radii[1]
    ) ** 2 < 1


def box_of(mask):
    columns, rows = (np.flatnonzero(mask.any(axis=axis)) for axis in (0, 1))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def objects_of(masks, labels, is_crowd):
    return source.Objects(
        size=SIZE,
        boxes=np.array([box_of(mask) for mask in masks], np.float32).reshape(-1, 4),
        labels=np.asarray(labels, np.int32),
        areas=np.array([mask.sum() for mask in masks], np.float32),
        is_crowd=np.asarray(is_crowd, bool),
        is_difficult=np.zeros(len(masks), bool),
        places=[""] * len(masks),
    )


@pytest.fixture(scope="module")
def collected():
    """Answers for 12 pictures: some moved, some wrong, some missing; one is empty."""
    rng = np.random.default_rng(0)
    known, masks, found, runs = [], [], [], []
    for picture in range(12):
        own = [ellipse(rng) for _ in range(0 if picture == 3 else rng.integers(1, 5))]
        labels = rng.integers(0, 2, len(own))
        crowds = rng.uniform(size=len(own)) < 0.2
        masks.append(np.array(own, bool).reshape(-1, *SIZE))
        known.append(objects_of(own, labels, crowds))
        kept = [n for n in range(len(own)) if rng.uniform() < 0.8]
        shown = [np.roll(own[n], rng.integers(-2, 3), axis=0) for n in kept]
        shown += [ellipse(rng) for _ in range(2)]
        classes = [int(labels[n]) for n in kept] + [0, 1]
        scores = np.sort(rng.uniform(0.1, 1, len(shown)))[::-1]
        order = rng.permutation(len(shown))
        shown = [shown[n] for n in order]
        found.append(
            detections.Detections(
                np.array([box_of(mask) for mask in shown], np.float32),
                scores.astype(np.float32),
                np.array([classes[n] for n in order], np.int32),
            )
        )
        runs.append(mask_runs.encode(np.stack(shown)))
    examples = instances.Source(
        class_names=NAMES,
        names=[str(n) for n in range(12)],
        labels=np.ones((12, 2), np.int32),
        digests=np.arange(12),
        pixels=np.full(12, 3 * SIZE[0] * SIZE[1]),
        load=lambda index: {"image": tf.zeros([*SIZE, 3], tf.uint8)},
        objects=known,
        masks_of=lambda number: masks[number],
    )
    return mask_results.Collected(examples, found, runs, most=100)


def by_pycocotools(collected, kind):
    def rows(of_pictures, runs):
        return [
            {
                "id": 0,
                "image_id": picture + 1,
                "category_id": int(own.labels[n]) + 1,
                "bbox": [*map(float, own.boxes[n][:2]), *map(float, sides(own)[n])],
                "segmentation": runs[picture][n],
                "iscrowd": 0,
            }
            | extra(own, n)
            for picture, own in enumerate(of_pictures)
            for n in range(len(own))
        ]

    def sides(own):
        return own.boxes[:, 2:] - own.boxes[:, :2]

    def extra(own, n):
        if isinstance(own, source.Objects):
            return {"iscrowd": int(own.is_crowd[n]), "area": float(own.areas[n])}
        return {"score": float(own.scores[n]), "area": float(sides(own)[n].prod())}

    truth, found = coco.COCO(), coco.COCO()
    known = rows(collected.examples.objects, collected.truth)
    answers = rows(collected.detections, collected.runs)
    if kind == "segm":
        for row, area in zip(
            answers,
            mask_runs.areas([m for own in collected.runs for m in own]),
            strict=True,
        ):
            row["area"] = float(area)
    for content, annotations in ((truth, known), (found, answers)):
        for number, row in enumerate(annotations, start=1):
            row["id"] = number
            counts = row["segmentation"]["counts"]
            counts = counts.encode() if isinstance(counts, str) else counts
            row["segmentation"] = {"size": list(SIZE), "counts": counts}
        content.dataset = {
            "images": [
                {"id": n + 1, "height": SIZE[0], "width": SIZE[1]} for n in range(12)
            ],
            "categories": [{"id": 1}, {"id": 2}],
            "annotations": annotations,
        }
        content.createIndex()
    evaluation = cocoeval.COCOeval(truth, found, kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats


KEYS = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
)


def test_the_twelve_numbers_are_those_of_pycocotools(collected):
    measured = mask_results.report(collected)["metrics"]
    for name, value in zip(KEYS, by_pycocotools(collected, "segm"), strict=True):
        assert measured.get(name, -1) == pytest.approx(value, abs=1e-6), name
    boxes = by_pycocotools(collected, "bbox")
    assert measured["box_AP"] == pytest.approx(boxes[0], abs=1e-6)
    assert measured["box_AP50"] == pytest.approx(boxes[1], abs=1e-6)
    low, high = measured["AP_interval"]
    assert low <= measured["AP"] <= high
    assert measured["num_examples"] == 12


def test_the_brief_numbers_are_the_same(collected):
    brief, measured = mask_results.brief(collected), mask_results.report(collected)
    for name in ("AP", "AP50"):
        assert brief[name] == pytest.approx(measured["metrics"][name], abs=1e-6)
    assert mask_results.error(collected) == (1 - brief["AP50"], 12)


def test_everything_is_drawn(collected):
    report = mask_results.report(collected)
    assert set(report["samples"]) == {"predictions", "best", "worst"}
    assert {"precision_recall", "confusion_matrix"} <= set(report["plots"])
    assert [row["class"] for row in report["per_class"]] == list(NAMES)
    assert mask_results.glance(collected)["samples"].keys() == report["samples"].keys()


def exact(examples):
    """Answer a split with its own truth, surer of what is smaller and lies on top."""
    found, runs = [], []
    for number, known in enumerate(examples.objects):
        masks = examples.masks_of(number)
        order = np.argsort(masks.sum(axis=(1, 2)), kind="stable")
        kept = order[~known.is_crowd[order]]
        scores = np.linspace(1, 0.6, len(kept), dtype=np.float32)
        found.append(
            detections.Detections(known.boxes[kept], scores, known.labels[kept])
        )
        runs.append(mask_runs.encode(masks[kept]))
    return mask_results.Collected(examples, found, runs, most=100)


def test_the_truth_of_photos_scored_against_itself_is_perfect(real_data, tmp_path):
    found = coco_instances.read(
        real_data / "coco_mini", cache=tmp_path, on_bad_data="error", warn=print
    )
    perfect = exact(found["validation"])
    measured = mask_results.numbers(perfect, mask_results._coco(perfect))
    assert measured["AP"] == measured["box_AP"] == pytest.approx(1)
    assert mask_results.brief(perfect)["AP"] == pytest.approx(1)
    assert measured["panoptic_quality"] == pytest.approx(1, abs=0.01)


def test_the_golden_results_for_masks(real_data):
    folder = real_data / "coco_eval_golden"
    content = json.loads(next(folder.rglob("instances_val2014_100.json")).read_text())
    answers = json.loads(
        next(folder.rglob("instances_val2014_fakesegm100_results.json")).read_text()
    )
    truth = coco.COCO()
    truth.dataset = content
    truth.createIndex()
    numbers = {row["id"]: n for n, row in enumerate(content["categories"])}
    known, found, own, runs = [], [], [], []
    for key in sorted(truth.imgs):
        size = (truth.imgs[key]["height"], truth.imgs[key]["width"])
        rows = truth.loadAnns(truth.getAnnIds(key))
        own.append([truth.annToRLE(row) for row in rows])
        boxes = np.array([row["bbox"] for row in rows], np.float32).reshape(-1, 4)
        known.append(
            source.Objects(
                size=size,
                boxes=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1),
                labels=np.array([numbers[r["category_id"]] for r in rows], np.int32),
                areas=np.array([row["area"] for row in rows], np.float32),
                is_crowd=np.array([row["iscrowd"] for row in rows], bool),
                is_difficult=np.zeros(len(rows), bool),
                places=[""] * len(rows),
            )
        )
        given = [row for row in answers if row["image_id"] == key]
        given.sort(key=lambda row: -row["score"])
        runs.append([row["segmentation"] for row in given])
        found.append(
            detections.Detections(
                np.zeros((len(given), 4), np.float32),
                np.array([row["score"] for row in given], np.float32),
                np.array([numbers[row["category_id"]] for row in given], np.int32),
            )
        )
    pooled = mask_results.pooling.pool(
        known, found, class_names=list(map(str, numbers))
    )
    masks = tuple([mask for some in each for mask in some] for each in (own, runs))
    measured = coco_metrics.evaluate(pooled, masks=masks).overall
    for name, value in (
        ("AP", 0.3195452758),
        ("AP50", 0.5622883972),
        ("AP75", 0.2989265341),
        ("AP_small", 0.3873740316),
        ("AP_medium", 0.3101827240),
        ("AP_large", 0.3269339071),
        ("AR_1", 0.2682297226),
        ("AR_10", 0.4154486812),
        ("AR_100", 0.4168394993),
    ):
        assert measured[name] == pytest.approx(value, abs=1e-6), name


def test_predictions_have_coco_s_runs(tmp_path):
    file = tmp_path / "a.png"
    PIL.Image.new("RGB", (SIZE[1], SIZE[0])).save(file)

    def answer(image_bytes):
        masks = np.zeros((1, 2, 28, 28), np.float32)
        masks[0, 0, :, :14] = 1
        return {
            "boxes": np.array([[[4, 4, 24, 24], [0, 0, 0, 0]]], np.float32),
            "scores": np.array([[0.9, 0]], np.float32),
            "labels": np.array([[1, -1]], np.int32),
            "num_detections": np.array([1], np.int32),
            "masks": masks,
        }

    found = mask_results.predictions(
        [file], answer, NAMES, on_bad_data="error", score_threshold=0.5
    )
    (row,) = found["rows"]
    json.dumps(row)  # as it is written
    assert row["category"] == "bee"
    (mask,) = mask_runs.decode([row["segmentation"]], SIZE)
    expected = np.zeros(SIZE, bool)
    expected[4:24, 4:14] = True
    np.testing.assert_array_equal(mask, expected)
    assert set(found["samples"]) == {"answer_01_a"}
