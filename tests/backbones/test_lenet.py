"""LeNet-5: the published count, its sizes and what it refuses."""

import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import lenet


@pytest.mark.parametrize("size", [28, 32])
def test_count_is_the_published_61_706(size):
    """The trap: 44,426 without the padding to 32, 60,000 in the 1998 original."""
    assert lenet.lenet5((size, size, 1), 10).count_params() == 61_706


@pytest.mark.parametrize(
    ("image_shape", "maps"),
    [((28, 28, 1), (14, 5)), ((32, 32, 3), (14, 5)), ((64, 64, 1), (30, 13))],
)
def test_feature_maps_have_the_sizes_of_unpadded_convolutions(image_shape, maps):
    model = lenet.lenet5(image_shape, None)
    outputs = model(np.zeros((2, *image_shape), "float32"))
    assert {name: tuple(map_.shape) for name, map_ in outputs.items()} == {
        "c1": (2, maps[0], maps[0], 6),
        "c2": (2, maps[1], maps[1], 16),
    }


def test_small_pictures_are_padded_on_both_sides():
    model = lenet.lenet5((20, 27, 1), 10)
    assert model.get_layer("pad").padding == ((6, 6), (2, 3))
    assert model.get_layer("pad").output.shape == (None, 32, 32, 1)


def test_feature_maps_of_unknown_size():
    model = lenet.lenet5((None, None, 1), None)
    assert model(np.zeros((1, 40, 44, 1), "float32"))["c2"].shape == (1, 7, 8, 16)


def test_logits_need_a_known_size():
    with pytest.raises(errors.UsageError, match="`image_shape` must have a height"):
        lenet.lenet5((None, None, 1), 10)


def test_dilation_is_refused():
    with pytest.raises(errors.UsageError, match="output_stride=2"):
        lenet.lenet5((28, 28, 1), 10, output_stride=2)
