import numpy as np

from tfdl.tasks.detection import mask_pictures

NAMES = ("ant", "bee")


def test_a_batch_is_drawn_with_its_masks():
    images = np.full((2, 32, 32, 3), 0.5, np.float32)
    boxes = np.array([[[4, 4, 20, 24], [0, 0, 0, 0]]] * 2, np.float32)
    labels, weights = np.array([[1, -1]] * 2), np.array([[1.0, 0.0]] * 2)
    outlines = np.ones((2, 2, 8, 8), np.float32)
    drawn = mask_pictures.batch(images, boxes, labels, weights, outlines, NAMES)
    plain = mask_pictures.batch(images, boxes, labels, 0 * weights, outlines, NAMES)
    assert drawn.dtype == np.uint8
    assert drawn.shape == plain.shape
    changed = np.mean((drawn != plain).any(axis=-1))
    assert 0.1 < changed < 0.9


def test_answers_and_comparisons():
    image = np.full((32, 32, 3), 90, np.uint8)
    masks = np.zeros((2, 32, 32), bool)
    masks[0, :16], masks[1, 8:24] = True, True
    answer = mask_pictures.answer(
        image, masks, np.array([0, 1]), np.array([0.9, 0.4]), NAMES
    )
    none = mask_pictures.answer(image, masks[:0], np.zeros(0, int), np.zeros(0), NAMES)
    assert answer.shape == none.shape
    assert np.any(answer != none)
    page = mask_pictures.comparisons([(none, answer)] * 3, f_scores=[1.0, 0.5, 0.0])
    assert page.dtype == np.uint8
    assert page.shape[1] == 1200
