"""What one format wrote, another reads: boxes survive every way round."""

import numpy as np
import pytest

from tfdl.data.sources import annotated, coco, voc, yolo

FORMATS = {"voc": voc, "coco": coco, "yolo": yolo}
NAMES = ("cat", "cup", "dog")


@pytest.fixture
def draw(tmp_path, encode, pixels):
    """Return a function that draws pictures with random boxes."""

    def draw_pictures(*, with_crowds, whole_pixels=False, num_pictures=4):
        random = np.random.default_rng(5)
        pictures = []
        for number in range(num_pictures):
            height, width = random.integers(30, 700, 2).tolist()
            path = tmp_path / "drawn" / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(encode(pixels(height, width, seed=number)))
            count = number * 20
            ends = random.random((count, 2, 2)) * [width, height]
            corners = np.concatenate([ends.min(axis=1), ends.max(axis=1)], axis=1)
            if whole_pixels:
                corners = np.floor(corners) + [0, 0, 1, 1]
            boxes = corners.astype(np.float32).astype(np.float64)
            sizes = boxes[:, 2:] - boxes[:, :2]
            special = with_crowds * random.random((2, count)) > 0.7
            pictures.append(
                annotated.Picture(
                    path=path,
                    size=(height, width),
                    boxes=boxes,
                    labels=random.integers(0, len(NAMES), count).astype(np.int32),
                    areas=sizes.prod(axis=1) * (0.5 if with_crowds else 1),
                    is_crowd=special[0],
                    is_difficult=special[1],
                    places=["here"] * count,
                )
            )
        return annotated.Annotations(
            NAMES, {"train": pictures[1:], "validation": pictures[:2]}
        )

    return draw_pictures


def carried(annotations, folder, names):
    """Write and read by one format after the other."""
    for number, name in enumerate(names):
        FORMATS[name].write(annotations, folder / f"{number}{name}")
        annotations = FORMATS[name].read(folder / f"{number}{name}")
    return annotations


def assert_equal(found, expected, *, keys):
    assert found.class_names == expected.class_names
    assert list(found.splits) == list(expected.splits)
    for split, pictures in expected.splits.items():
        for new, old in zip(found.splits[split], pictures, strict=True):
            assert new.path.read_bytes() == old.path.read_bytes()
            assert new.size == old.size
            for key in keys:
                values = [getattr(one, key) for one in (new, old)]
                if key in ("boxes", "areas"):
                    values = [value.astype(np.float32) for value in values]
                np.testing.assert_array_equal(*values, err_msg=key)
    assert annotated.all_faults(found) == []


@pytest.mark.parametrize("whole_pixels", [True, False])
@pytest.mark.parametrize(
    "names", [("voc", "coco", "yolo", "voc"), ("yolo", "coco", "voc", "yolo", "coco")]
)
def test_boxes_and_classes_come_back_from_every_way_round(
    draw, tmp_path, names, whole_pixels
):
    drawn = draw(with_crowds=False, whole_pixels=whole_pixels)
    found = carried(drawn, tmp_path, names)
    assert_equal(found, drawn, keys=("boxes", "labels"))


@pytest.mark.parametrize("names", [("voc", "coco", "voc"), ("coco", "voc", "coco")])
def test_voc_and_coco_keep_crowds_difficult_objects_and_areas(draw, tmp_path, names):
    drawn = draw(with_crowds=True)
    found = carried(drawn, tmp_path, names)
    assert any(p.is_crowd.any() for p in drawn.splits["train"])
    keys = ("boxes", "labels", "areas", "is_crowd", "is_difficult")
    assert_equal(found, drawn, keys=keys)


def test_real_boxes_go_through_every_format(real_data, tmp_path):
    original = coco.read(real_data / "coco_mini")
    found = carried(original, tmp_path, ["voc", "coco"])
    keys = ("boxes", "labels", "areas", "is_crowd", "is_difficult")
    assert_equal(found, original, keys=keys)
