"""The feature pyramid: shapes, counts, and sums against PyTorch."""

import keras
import numpy as np
import pytest

from tfdl.layers import pyramid

CHANNELS = {"c3": 5, "c4": 7, "c5": 9}


def build(channels=4, side=32, depths=CHANNELS):
    features = {
        level: keras.Input((side >> number, side >> number, depth), name=level)
        for number, (level, depth) in enumerate(depths.items())
    }
    return keras.Model(features, pyramid.feature_pyramid(features, channels))


def random_features(side=32):
    rng = np.random.default_rng(0)
    return {
        level: rng.normal(size=(2, side >> number, side >> number, depth)).astype("f4")
        for number, (level, depth) in enumerate(CHANNELS.items())
    }


def test_maps_have_the_sizes_of_the_features_and_equal_channels():
    outputs = build()(random_features())
    assert list(outputs) == ["p3", "p4", "p5"]
    shapes = [tuple(x.shape) for x in outputs.values()]
    assert shapes == [(2, 32, 32, 4), (2, 16, 16, 4), (2, 8, 8, 4)]


def test_number_of_parameters_on_resnet50():
    """(512 + 1024 + 2048) * 256 laterals, three 3 x 3 convolutions, six biases."""
    model = build(256, 16, {"c3": 512, "c4": 1024, "c5": 2048})
    assert model.count_params() == 3584 * 256 + 3 * 9 * 256 * 256 + 6 * 256


def test_it_equals_pytorch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    model, features = build(), random_features()

    def convolve(x, layer):
        kernel, bias = (torch.tensor(np.array(w)) for w in layer.weights)
        kernel = kernel.permute(3, 2, 0, 1)
        return functional.conv2d(x, kernel, bias, padding=kernel.shape[-1] // 2)

    coarser = None
    for number in (5, 4, 3):
        x = torch.tensor(features[f"c{number}"]).permute(0, 3, 1, 2)
        x = convolve(x, model.get_layer(f"fpn_lateral{number}"))
        if coarser is not None:
            x = x + functional.interpolate(coarser, scale_factor=2, mode="nearest")
        coarser = x
        expected = convolve(x, model.get_layer(f"p{number}")).permute(0, 2, 3, 1)
        found = model(features)[f"p{number}"]
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-4)


def test_coarsest_features_reach_the_finest_map():
    model, features = build(), random_features()
    before = model(features)
    features["c5"] = features["c5"] + 1
    after = model(features)
    for level in before:
        assert np.abs(after[level] - before[level]).max() > 1e-3


@pytest.mark.parametrize(("side", "expected"), [(8, (4, 2)), (5, (3, 2)), (1, (1, 1))])
def test_coarser_levels_round_up(side, expected):
    inputs = keras.Input((side, side, 3))
    levels = pyramid.coarser_levels(inputs, 4)
    assert [x.shape[1] for x in levels.values()] == list(expected)
    assert list(levels) == ["p6", "p7"]
