import numpy as np
import pytest
from PIL import Image

from tfdl.drawing import colours, pictures

GREY = np.full((60, 80, 3), 128, np.uint8)  # enlarged six times: 360 x 480
NAMES = ("cat", "dog", "an extraordinarily long class name " * 4)


def _is_colour(pixels, label):
    return (pixels == colours.label_colours(label + 1)[label]).all(axis=-1)


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (28, 28, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_grid_takes_every_form_of_image(shape, dtype):
    image = np.ones(shape, dtype) * (255 if dtype == np.uint8 else 1)
    drawn = pictures.grid([1 - image if dtype != np.uint8 else image * 0])
    assert drawn.dtype == np.uint8
    assert drawn.shape == (484, 480, 3)
    assert (drawn[8:-4, 4:-4] == 0).all()


def test_grid_enlarges_a_digit_without_smoothing_it_away():
    image = np.zeros((28, 28), np.uint8)
    image[14, 14] = 255
    drawn = pictures.grid([image], columns=1)
    assert (drawn[8:-4, 4:-4] == 255).sum() / 3 > 14**2


def test_grid_keeps_the_proportions():
    drawn = pictures.grid([np.zeros((100, 50, 3), np.uint8)])
    assert (drawn == 0).all(axis=-1).any(axis=0).sum() == 236
    assert (drawn == 0).all(axis=-1).any(axis=1).sum() == 472


def test_grid_shrinks_large_pictures_and_fills_rows():
    images = [np.zeros((600, 900, 3), np.float32)] * 9
    drawn = pictures.grid(images, columns=8)
    assert drawn.shape[1] == 1200
    dark = (drawn == 0).all(axis=-1)
    assert dark[: drawn.shape[0] // 2, 1100].any()
    assert not dark[drawn.shape[0] // 2 :, 200:].any()


def test_grid_writes_titles_in_their_colours():
    titles, colours = ["right", "wrong"], ["green", "red"]
    drawn = pictures.grid([GREY, GREY], titles=titles, title_colours=colours)
    left, right = np.split(drawn, 2, axis=1)
    for half, own, other in ((left, "green", "red"), (right, "red", "green")):
        assert (half == pictures._TITLE_COLOURS[own]).all(axis=-1).any()
        assert not (half == pictures._TITLE_COLOURS[other]).all(axis=-1).any()


def test_long_titles_stay_above_their_own_picture():
    drawn = pictures.grid([GREY] * 2, titles=["word " * 40, ""], columns=2)
    head = drawn[:60]
    assert (head[:, :480] < 100).any()
    assert (head[:, 480:] == 255).all()


def test_boxes_are_drawn_inside_their_half_open_frame():
    drawn = pictures.boxes(GREY, [(10, 20, 40, 50)], labels=[1], class_names=NAMES)
    assert drawn.shape == (360, 480, 3)
    edge = _is_colour(drawn, 1)
    # Times six, three pixels thick, first and last pixel on the frame.
    assert edge[150, 60:63].all()
    assert edge[150, 237:240].all()
    assert edge[297:300, 100].all()
    assert not edge[150, [59, 63, 236, 240]].any()
    assert not edge[[296, 300], 100].any()


def test_no_boxes_leave_the_picture_as_it_is():
    drawn = pictures.boxes(GREY, np.zeros((0, 4)), labels=[], class_names=NAMES)
    assert (drawn == 128).all()


def test_scores_are_written():
    arguments = {"labels": [0], "class_names": NAMES}
    without = pictures.boxes(GREY, [(10, 20, 40, 50)], **arguments)
    drawn = pictures.boxes(GREY, [(10, 20, 40, 50)], scores=[0.5], **arguments)
    assert _is_colour(drawn, 0).sum() > _is_colour(without, 0).sum()


@pytest.mark.parametrize(
    "box",
    [(-50, -50, 200, 200), (70, 50, 70, 50), (30, 30, 10, 10), (90, 90, 99, 99)]
    + [(np.nan, 0, np.inf, 10)],
)
def test_boxes_beyond_the_picture_or_empty_are_survived(box):
    drawn = pictures.boxes(GREY, [box], labels=[0], class_names=NAMES, scores=[0.1])
    assert drawn.shape == (360, 480, 3)


def test_names_of_equal_boxes_are_not_written_over_each_other():
    taken = []
    for _ in range(18):
        place = pictures._free_place([60, 120, 239, 299], (100, 20), (480, 360), taken)
        left, top = place
        assert 0 <= top <= 340
        assert all(abs(top - other[1]) >= 20 for other in taken)
        taken.append((left, top, left + 100, top + 20))


def test_name_is_written_above_its_box_where_there_is_room():
    size, limits = (100, 20), (480, 360)
    assert pictures._free_place([60, 120, 239, 299], size, limits, []) == (60, 100)
    assert pictures._free_place([60, 10, 239, 299], size, limits, []) == (60, 10)
    assert pictures._free_place([450, 120, 479, 299], size, limits, []) == (380, 100)


def test_names_stay_in_a_full_picture():
    boxes = np.tile((10, 20, 40, 50), (60, 1))
    drawn = pictures.boxes(GREY, boxes, labels=[2] * 60, class_names=NAMES)
    assert drawn.shape == (360, 480, 3)


def test_masks_are_tinted_with_a_border():
    mask = np.zeros((1, 60, 80), np.uint8)
    mask[0, 20:50, 10:40] = 1
    drawn = pictures.masks(GREY, mask, labels=[1], class_names=NAMES)
    colour = colours.label_colours(2)[1]
    assert _is_colour(drawn, 1)[200, 60:63].all()
    expected = np.rint(128 + 0.4 * (colour - 128.0))
    np.testing.assert_array_equal(drawn[200, 150], expected)
    np.testing.assert_array_equal(drawn[200, [59, 240]], 128)


def test_masks_leave_the_given_image_alone():
    image = np.full((500, 500, 3), 128, np.uint8)  # large enough not to be enlarged
    pictures.masks(image, np.ones((1, 500, 500)), labels=[0], class_names=NAMES)
    assert (image == 128).all()


def test_empty_masks_and_no_masks_leave_the_picture_as_it_is():
    for count in (0, 2):
        masks, labels = np.zeros((count, 60, 80), np.uint8), np.zeros(count, int)
        drawn = pictures.masks(GREY, masks, labels=labels, class_names=NAMES)
        assert (drawn == 128).all()


def test_semantic_colours_agree_with_label_colours():
    ids = np.zeros((60, 80), np.uint8)
    ids[:20], ids[20:40] = 2, 255
    drawn = pictures.semantic(GREY, ids, class_names=("background", *NAMES))
    colour = colours.label_colours(2)[1]
    np.testing.assert_array_equal(
        drawn[60, 100], np.rint(128 + 0.55 * (colour - 128.0))
    )
    np.testing.assert_array_equal(drawn[180, 100], np.rint(128 + 0.55 * 127))
    np.testing.assert_array_equal(drawn[300, 100], np.rint(128 * 0.65))
    legend = drawn[360:]
    assert _is_colour(legend, 1).any()
    assert not _is_colour(legend, 0).any()


def test_long_legend_takes_more_rows():
    ids = np.arange(4, dtype=np.uint8).reshape(2, 2)
    short = pictures.semantic(np.zeros((2, 2)), ids, class_names="abcd")
    names = ("a long name of a class",) * 3 + NAMES[2:]
    long = pictures.semantic(np.zeros((2, 2)), ids, class_names=names)
    assert long.shape[0] - 480 >= 3 * (short.shape[0] - 480)
    assert long.shape[1] == short.shape[1] == 480


def test_drawn_pictures_survive_a_file(tmp_path):
    drawn = pictures.boxes(GREY, [(1, 2, 30, 40)], labels=[0], class_names=NAMES)
    Image.fromarray(drawn).save(tmp_path / "drawn.png")
    np.testing.assert_array_equal(Image.open(tmp_path / "drawn.png"), drawn)


def test_thumbnails_are_squares_of_pictures_of_any_size():
    images = [np.zeros((8, 8, 1), np.float32), np.zeros((60, 30, 3), np.uint8)]
    found = pictures.thumbnails(images, side=24)
    assert found.shape == (2, 24, 24, 3)
    assert found.dtype == np.uint8
    assert not found[0].any()
    assert not found[1, :, :12].any()
    assert (found[1, :, 12:] == 255).all()
    assert pictures.thumbnails([], side=24).shape == (0, 24, 24, 3)
