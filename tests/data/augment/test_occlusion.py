import functools

import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import augment

SEEDS = [tf.constant([number, 7]) for number in range(200)]


def rectangle(semantic):
    """Return the rows and columns of a rectangle of 255, which it must fill."""
    places = np.argwhere(semantic.numpy() == 255)
    low, high = places.min(axis=0), places.max(axis=0) + 1
    assert len(places) == np.prod(high - low)
    return np.s_[low[0] : high[0], low[1] : high[1]]


def test_one_rectangle_is_noise_and_the_rest_stays(make_scene):
    scene = make_scene()
    for seed in SEEDS[:20]:
        erased = augment.erasing(scene, seed=seed, rate=1.0)
        window = rectangle(erased["semantic"])
        restored = erased["image"].numpy()
        if restored[window].size > 200:
            assert 90 < restored[window].mean() < 165
            assert 50 < restored[window].std() < 90  # of 256 / sqrt(12) = 74
        restored[window] = scene["image"].numpy()[window]
        np.testing.assert_array_equal(restored, scene["image"])


def test_areas_and_shapes_are_those_asked_for(make_scene):
    scene = make_scene(100, 100)
    areas, ratios = [], []
    seeds = tf.data.Dataset.from_tensor_slices(SEEDS)
    always = functools.partial(augment.erasing, scene, rate=1.0, areas=(0.04, 0.1))
    for erased in seeds.map(lambda seed: always(seed=seed)):
        height, width = erased["semantic"].numpy()[rectangle(erased["semantic"])].shape
        areas.append(height * width / 100**2)
        ratios.append(width / height)
    assert 0.035 < min(areas) < 0.05
    assert 0.09 < max(areas) < 0.105
    assert 0.27 < min(ratios) < 0.35
    assert 2.9 < max(ratios) < 3.6


def test_a_large_rectangle_is_cut_to_the_picture(make_scene):
    whole = {"areas": (1, 1), "ratios": (1, 1)}
    erased = augment.erasing(make_scene(30, 30), seed=SEEDS[0], rate=1.0, **whole)
    assert (erased["semantic"].numpy() == 255).all()


def test_it_happens_as_often_as_told(make_scene):
    scene = make_scene(8, 8)
    erased = [augment.erasing(scene, seed=seed, rate=0.3) for seed in SEEDS]
    happened = np.mean([(each["semantic"].numpy() == 255).any() for each in erased])
    assert 0.17 < happened < 0.43  # four standard deviations


@pytest.mark.parametrize(
    "parameters", [{"rate": 2}, {"areas": (0.5, 2)}, {"ratios": (3, 1)}]
)
def test_parameters_out_of_range_are_refused(make_scene, parameters):
    with pytest.raises(errors.UsageError):
        augment.erasing(make_scene(), seed=SEEDS[0], **parameters)
