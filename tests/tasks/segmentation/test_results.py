import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.tasks.segmentation import postprocess, results

TILING = postprocess.Tiling(tile_size=16, overlap=4)
NAMES = ("ground", "thing")


def collected(split, answer):
    """Answer the pictures of a split in batches of three, the last ones first."""
    batches = []
    for first in (6, 3, 0):
        numbers = np.arange(first, min(first + 3, len(split)))
        samples = [split.load(tf.constant(number)) for number in numbers]
        truth = np.stack([sample["semantic"] for sample in samples])
        found = np.stack([answer(sample) for sample in samples])
        batches.append((found, {"semantic": truth, "number": numbers}))
    return results.collect(iter(batches), split)


def right(sample):
    return np.where(sample["semantic"] == 255, 0, sample["semantic"]).astype(np.uint8)


def blind(sample):
    return np.zeros(sample["semantic"].shape, np.uint8)


def test_pictures_come_in_the_order_of_the_split(split):
    found = collected(split, right)
    for number in range(len(split)):
        truth = split.load(tf.constant(number))["semantic"].numpy()
        kept = results.unpacked(found.label_maps[number])
        np.testing.assert_array_equal(kept[truth != 255], truth[truth != 255])


def test_right_answers_are_measured_as_such(split):
    found = collected(split, right)
    assert results.brief(found) == {"mean_iou": 1.0, "pixel_accuracy": 1.0}
    assert results.error(found) == (0.0, 7)


def test_who_sees_no_thing_has_half_of_the_ground_s_overlap(split):
    """The thing has 99 of 456 pixels that count."""
    found = results.brief(collected(split, blind))
    ground = (456 - 99) / 456
    assert found["mean_iou"] == pytest.approx(ground / 2)
    assert found["pixel_accuracy"] == pytest.approx(ground)


def test_a_report_has_numbers_tables_pictures_and_charts(split):
    report = results.report(collected(split, right), NAMES)
    metrics = report["metrics"]
    assert metrics["num_examples"] == 7
    assert metrics["mean_iou_interval"] == [1.0, 1.0]
    assert metrics["boundary_f1"] == 1.0
    assert metrics["rand_f_score"] == 1.0
    assert [row["class"] for row in report["per_class"]] == list(NAMES)
    assert set(report["samples"]) == {"predictions", "best", "worst"}
    assert {"iou", "confusion_matrix"} <= set(report["plots"])
    for drawn in (*report["samples"].values(), *report["plots"].values()):
        assert drawn.dtype == np.uint8
        assert drawn.shape[-1] == 3


def test_where_all_is_ignored_there_is_a_report_of_nothing(split):
    ignored = split.take(np.array([6]))
    sample = ignored.load(tf.constant(0))
    batch = {"semantic": sample["semantic"].numpy()[None], "number": np.array([0])}
    found = results.collect([(blind(sample)[None], batch)], ignored)
    report = results.report(found, NAMES)
    assert report["metrics"]["num_pixels"] == 0
    assert set(report["samples"]) == {"predictions"}
    assert set(results.glance(found, NAMES)["plots"]) >= {"confusion_matrix"}


def test_a_user_s_pictures_get_maps_shares_and_drawings(tmp_path, infer):
    half = np.zeros((10, 40, 3), np.uint8)
    half[:, 30:] = 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        PIL.Image.fromarray(half).save(tmp_path / name / "same.png")
    signatures = postprocess.signatures(infer, tiling=TILING, num_classes=2)
    first, second = results.predictions(
        [tmp_path], signatures["serving_default"], NAMES, on_bad_data="error"
    )
    for found in (first, second):
        assert found["row"]["thing"] == 0.25
    assert second["row"]["label_map"] == "classes_02_same.png"
    label_map = first["label_maps"]["classes_01_same"]
    np.testing.assert_array_equal(label_map, half[..., 0] > 0)
    assert set(second["samples"]) == {"colours_02_same", "answer_02_same"}


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(errors.DataError, match="nowhere"):
        results.predictions(
            [tmp_path / "nowhere.png"], dict, NAMES, on_bad_data="error"
        )
