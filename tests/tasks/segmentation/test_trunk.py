"""Backbones as trunks: strides, sizes, and dilation against strides."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.tasks.segmentation import trunk


def build(backbone, size=(64, 48), **options):
    return trunk.build(
        backbone, (*size, 3), **{"weights": None, "width": 0.125, **options}
    )


@pytest.mark.parametrize("size", [(64, 48), (None, None)])
@pytest.mark.parametrize(
    ("backbone", "output_stride", "strides"),
    [
        ("resnet18", 32, [2, 4, 8, 16, 32]),
        ("resnet18", 8, [2, 4, 8, 8, 8]),
        ("vgg11", 32, [2, 4, 8, 16, 32]),
        ("cifar_resnet20", 4, [1, 2, 4]),
    ],
)
def test_strides_are_those_of_the_maps(backbone, output_stride, strides, size):
    made = build(backbone, size, output_stride=output_stride)
    assert list(made.strides.values()) == strides
    assert list(made.features) == list(made.strides)
    for level, x in made.features.items():
        if size[0] is not None:
            stride = made.strides[level]
            assert tuple(x.shape[1:3]) == tuple(-(-side // stride) for side in size)
    assert list(made.by_stride) == sorted(set(strides))
    assert made.by_stride[strides[-1]] is list(made.features.values())[-1]


def test_the_first_stride_may_be_four():
    made = build("alexnet", (None, None))
    assert list(made.by_stride) == [4, 8, 16, 32]


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilated_maps_hold_the_pixels_of_strided_ones(output_stride):
    """With the same weights, at every so many pixels, for odd sizes as well."""
    plain, dilated = (
        build("resnet18", (75, 64), output_stride=stride)
        for stride in (32, output_stride)
    )
    models = [
        keras.Model(x.image, list(x.features.values())[-1]) for x in (plain, dilated)
    ]
    models[1].set_weights(models[0].get_weights())
    image = np.random.default_rng(0).random((1, 75, 64, 3), dtype="float32")
    expected, found = (np.array(model(image)) for model in models)
    step = 32 // output_stride
    assert found.shape[1:3] == (-(-75 // output_stride), 64 // output_stride)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(
        found[:, ::step, ::step], expected, rtol=1e-4, atol=1e-5 * scale
    )


def test_what_cannot_be_built_is_refused():
    with pytest.raises(errors.UsageError, match="backbone='resnet19'"):
        build("resnet19")
    with pytest.raises(errors.UsageError, match="output_stride=8"):
        build("vgg11", output_stride=8)
    made = build("cifar_resnet20", output_stride=4)
    trunk.check_strides(made, [2, 4], backbone="cifar_resnet20")
    with pytest.raises(errors.UsageError, match="map of stride 8.*cifar_resnet20"):
        trunk.check_strides(made, [4, 8], backbone="cifar_resnet20")
