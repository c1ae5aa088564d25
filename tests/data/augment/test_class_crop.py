import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import augment

SEEDS = [tf.constant([number, 7]) for number in range(300)]
NUM_CLASSES = 4


def located(semantic):
    """Return a sample whose pixels say where they are: (row, column, 0)."""
    rows, columns = np.indices(semantic.shape)
    image = np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8)
    return {"image": tf.constant(image), "semantic": tf.constant(semantic, tf.uint8)}


def crops(semantic, frequencies, seeds=SEEDS, **parameters):
    sample = located(np.asarray(semantic))
    seeds = tf.data.Dataset.from_tensor_slices(seeds)
    parameters |= {"frequencies": frequencies}
    return list(
        seeds.map(lambda seed: augment.class_crop(sample, seed=seed, **parameters))
    )


def corner_of(cropped):
    return tuple(cropped["image"].numpy()[0, 0, :2])


def test_classes_are_drawn_in_inverse_proportion_to_their_frequencies():
    """By hand: 1 / 0.2 to 1 / 0.6 to 1 / 0.2 are 3 to 1 to 3, whatever their areas."""
    semantic = np.zeros([20, 30])
    semantic[:, 4:], semantic[:2, :2] = 1, 3
    drawn = [
        int(cropped["semantic"][0, 0])
        for cropped in crops(semantic, (0.2, 0.6, 0.0, 0.2), size=1)
    ]
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    np.testing.assert_allclose(shares, [3 / 7, 1 / 7, 0, 3 / 7], atol=0.09)


def test_a_class_that_the_picture_lacks_is_not_drawn():
    semantic = np.full([20, 30], 1)
    semantic[3, 4] = 2
    drawn = [
        int(c["semantic"][0, 0]) for c in crops(semantic, (1e-9, 0.5, 0.5, 0), size=1)
    ]
    assert 0.4 < np.mean(np.array(drawn) == 2) < 0.6


def test_every_pixel_of_a_class_is_drawn_about_equally_often():
    semantic = np.zeros([9, 9])
    semantic[2:4, 5:7] = 3
    found = crops(semantic, (1, 0, 0, 1e-6), size=1)
    counts = {}
    for cropped in found:
        counts[corner_of(cropped)] = counts.get(corner_of(cropped), 0) + 1
    assert sorted(counts) == [(2, 5), (2, 6), (3, 5), (3, 6)]
    assert min(counts.values()) > 45  # of 75 expected


def test_a_window_is_centred_as_far_as_the_border_lets_it():
    for pixel, corner in [((20, 30), (16, 25)), ((1, 58), (0, 50)), ((39, 0), (31, 0))]:
        semantic = np.zeros([40, 60])
        semantic[pixel] = 2
        [cropped] = crops(
            semantic, (1, 1, 1e-9, 1), SEEDS[:1], size=(9, 10), factors=(1, 1)
        )
        assert corner_of(cropped) == corner
        assert (cropped["semantic"].numpy() == 2).sum() == 1


def test_the_drawn_class_is_in_every_window_also_when_zoomed():
    semantic = np.zeros([50, 60])
    semantic[44:47, 2:5] = 2
    for size, factors in [(16, (0.5, 2.0)), (200, (0.7, 1.4)), (16, (3.0, 4.0))]:
        found = crops(semantic, (1, 1, 1e-9, 1), SEEDS[:20], size=size, factors=factors)
        assert all((cropped["semantic"].numpy() == 2).any() for cropped in found)
        assert {cropped["image"].shape for cropped in found} == {(size, size, 3)}


def test_a_picture_smaller_than_its_window_is_seen_whole():
    semantic = np.zeros([4, 6])
    semantic[0, 0] = 1
    for cropped in crops(semantic, (0.9, 0.1), SEEDS[:20], size=9, fill=77):
        known = cropped["semantic"].numpy() != 255
        assert known.sum() == 4 * 6
        assert (cropped["image"].numpy()[~known] == 77).all()


@pytest.mark.parametrize("frequencies", [(0.5, 0.5, 0, 0), (0, 0, 0, 1)])
def test_where_no_class_is_looked_for_any_pixel_is(frequencies):
    """All is ignored, or of classes without frequency."""
    semantic = np.full([5, 5], 255 if frequencies[0] else 2)
    found = crops(semantic, frequencies, SEEDS[:200], size=1)
    assert len({corner_of(cropped) for cropped in found}) == 25


def test_ignored_pixels_are_not_looked_for():
    semantic = np.full([9, 9], 255)
    semantic[4, 4] = 1
    found = crops(semantic, (0.5, 0.5), SEEDS[:30], size=1)
    assert {corner_of(cropped) for cropped in found} == {(4, 4)}


def test_annotations_follow_and_a_pipeline_gives_the_same(make_scene, in_pipeline):
    scenes = [make_scene(seed=1), make_scene(31, 45), make_scene(1, 1, objects=0)]

    def crop(sample, *, seed):
        shares = (0.7, 0.1, 0.1, 0.1)
        return augment.class_crop(sample, seed=seed, size=20, frequencies=shares)

    for scene, seed, result in zip(
        scenes, SEEDS[:3], in_pipeline(crop, scenes, SEEDS[:3]), strict=True
    ):
        for name, value in crop(scene, seed=seed).items():
            np.testing.assert_array_equal(result[name], value)
        semantic = result["semantic"].numpy()
        np.testing.assert_array_equal(result["image"][..., 0], semantic % 255 * 50)
        for mask, label in zip(result["masks"], result["labels"], strict=True):
            np.testing.assert_array_equal(mask == 1, semantic == label)


@pytest.mark.parametrize(
    "parameters",
    [
        {"frequencies": ()},
        {"frequencies": (-0.1, 1)},
        {"frequencies": ((1, 2),)},
        {"factors": (0, 1)},
        {"size": -1},
    ],
)
def test_parameters_out_of_range_are_refused(make_scene, parameters):
    parameters = {"size": 8, "frequencies": (0.5, 0.5)} | parameters
    with pytest.raises(errors.UsageError):
        augment.class_crop(make_scene(), seed=SEEDS[0], **parameters)


def test_a_sample_without_a_map_is_refused(make_scene):
    sample = {"image": make_scene()["image"]}
    with pytest.raises(errors.UsageError, match="needs `semantic`"):
        augment.class_crop(sample, seed=SEEDS[0], size=8, frequencies=(1,))
