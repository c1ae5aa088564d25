"""What is drawn: how many, what they should answer, and that it depends on pixels."""

import numpy as np
import pytest

from tfdl.ops import box_coding, boxes as boxes_of
from tfdl.tasks.detection import roi_sampling

BACKGROUND, COUNT = 5, 16
KNOWN = np.float32([[10, 10, 50, 50], [60, 20, 90, 80], [0, 0, 0, 0]])
OBJECTS = {
    "boxes": KNOWN[None],
    "labels": np.int32([[2, 4, -1]]),
    "weights": np.float32([[1, 0.25, 0]]),
}


def image(seed=0, size=24):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (1, size, size, 3)).astype(np.float32) / 255


def proposals(num_near=40, num_far=40, seed=1):
    rng = np.random.default_rng(seed)
    near = KNOWN[rng.integers(0, 2, num_near)] + rng.normal(0, 2, (num_near, 4))
    far = np.tile([110, 110, 140, 130], (num_far, 1)) + rng.normal(0, 4, (num_far, 4))
    boxes = np.concatenate([near, far])[None].astype(np.float32)
    return {"boxes": boxes, "weights": np.ones(boxes.shape[:2], np.float32)}


def draw(picture=None, proposed=None, objects=None):
    layer = roi_sampling.SampledProposals(COUNT, background=BACKGROUND)
    picture = image() if picture is None else picture
    found = layer(picture, proposed or proposals(), objects or OBJECTS)
    return {name: np.asarray(each) for name, each in found.items()}


def test_a_quarter_has_an_object_and_the_rest_has_none():
    found = draw()
    has_object = found["labels"][0] != BACKGROUND
    np.testing.assert_array_equal(has_object, [True] * 4 + [False] * 12)
    overlap = boxes_of.iou(found["boxes"][0], KNOWN[:2]).numpy().max(axis=1)
    assert overlap[has_object].min() >= 0.5 > overlap[~has_object].max()


def test_each_is_to_answer_for_the_object_that_it_overlaps_most():
    found = draw()
    overlap = boxes_of.iou(found["boxes"][0, :4], KNOWN[:2]).numpy()
    owners = overlap.argmax(axis=1)
    np.testing.assert_array_equal(found["owners"][0, :4], owners)
    np.testing.assert_array_equal(found["labels"][0, :4], np.array([2, 4])[owners])
    np.testing.assert_array_equal(found["weights"][0, :4], np.array([1, 0.25])[owners])
    moved = box_coding.decode(found["deltas"][0, :4], found["boxes"][0, :4])
    np.testing.assert_allclose(moved, KNOWN[owners], atol=1e-3)
    np.testing.assert_array_equal(found["weights"][0, 4:], 1)
    np.testing.assert_array_equal(found["deltas"][0, 4:], 0)


def test_objects_are_proposals_themselves():
    found = draw(proposed=proposals(num_near=0))
    real = found["weights"][0, :4] > 0
    assert real.sum() == 2
    drawn = {tuple(box) for box in found["boxes"][0, :4][real].tolist()}
    assert drawn == {tuple(box) for box in KNOWN[:2].tolist()}
    np.testing.assert_array_equal(found["labels"][0, :4][~real], BACKGROUND)


def test_a_picture_without_objects_is_background():
    nothing = {name: np.zeros_like(each) for name, each in OBJECTS.items()}
    nothing["labels"] -= 1
    found = draw(objects=nothing)
    np.testing.assert_array_equal(found["labels"], BACKGROUND)
    np.testing.assert_array_equal(found["weights"][0], [0] * 4 + [1] * 12)


def test_proposals_that_only_fill_up_are_not_drawn():
    proposed = proposals(num_far=5)
    proposed["weights"][0, -3:] = 0
    found = draw(proposed=proposed)
    assert found["weights"][0, 4:].sum() == 2


def test_the_draw_is_of_the_pixels_and_of_nothing_else():
    both = np.concatenate([image(0), image(3)])
    twice = {name: np.repeat(each, 2, axis=0) for name, each in proposals().items()}
    objects = {name: np.repeat(each, 2, axis=0) for name, each in OBJECTS.items()}
    found = draw(both, twice, objects)
    alone = draw()
    for name, each in alone.items():
        np.testing.assert_array_equal(found[name][0], each[0])
    assert np.any(found["boxes"][0] != found["boxes"][1])
    mirrored = draw(image()[:, :, ::-1])
    assert np.any(mirrored["boxes"] != alone["boxes"])


@pytest.mark.parametrize("num_proposals", [3, 8, 15])
def test_fewer_proposals_than_are_drawn(num_proposals):
    found = draw(proposed=proposals(num_near=1, num_far=num_proposals - 1))
    assert found["boxes"].shape == (1, num_proposals, 4)
    assert np.isfinite(found["deltas"]).all()
