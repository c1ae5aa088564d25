"""Network in Network: counts by hand, class maps, and a forward pass in SciPy."""

import keras
import numpy as np
import pytest
import scipy.signal

from tfdl import errors
from tfdl.backbones import nin


def _images(*shape):
    return np.random.default_rng(0).random(shape, dtype="float32")


def test_another_class_costs_192_weights_and_a_bias():
    """966,986 are those of 10 classes."""
    assert nin.cifar_nin((32, 32, 3), 11).count_params() == 966_986 + 193


def test_count_of_imagenets_by_hand():
    stacks = (
        ((11 * 11 * 3 + 1) + 2 * (96 + 1)) * 96
        + ((25 * 96 + 1) + 2 * (256 + 1)) * 256
        + ((9 * 256 + 1) + 2 * (384 + 1)) * 384
        + ((9 * 384 + 1) + (1024 + 1)) * 1024
    )
    model = nin.nin((224, 224, 3))
    assert model.count_params() == stacks + 1025 * 1000 == 7_595_176


@pytest.mark.parametrize("num_images", [1, 3])
@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((224, 224), ((54, 54), (27, 27), (13, 13), (6, 6))),
        ((320, 256), ((78, 62), (39, 31), (19, 15), (9, 7))),
    ],
)
def test_feature_maps_of_imagenets_have_the_sizes(size, sizes, num_images):
    model = nin.nin((None, None, 3), None, width=0.125)
    outputs = model(np.zeros((num_images, *size, 3), "float32"))
    channels = (12, 32, 48, 128)
    assert {name: tuple(feature.shape) for name, feature in outputs.items()} == {
        f"c{level}": (num_images, *sizes[level - 2], channels[level - 2])
        for level in (2, 3, 4, 5)
    }


def test_feature_maps_of_cifars_have_strides_2_and_4():
    model = nin.cifar_nin((None, None, 3), None, width=0.125)
    outputs = model(np.zeros((2, 33, 48, 3), "float32"))
    assert outputs["c1"].shape == (2, 16, 24, 24)
    assert outputs["c2"].shape == (2, 8, 12, 24)


def _forward(model, x):
    """One picture through CIFAR's network, in float64."""

    def convolved(x, name):
        kernel, bias = model.get_layer(name).get_weights()
        return bias + np.stack(
            [
                sum(
                    scipy.signal.correlate2d(x[..., c], kernel[..., c, filter_], "same")
                    for c in range(x.shape[-1])
                )
                for filter_ in range(kernel.shape[-1])
            ],
            axis=-1,
        )

    def pooled(x):
        """Windows of 3 at every second row, the last one cut off by the edge."""
        starts = [range(0, 2 * -(-(size - 3) // 2) + 1, 2) for size in x.shape[:2]]
        return np.array(
            [
                [
                    x[row : row + 3, column : column + 3].max((0, 1))
                    for column in starts[1]
                ]
                for row in starts[0]
            ]
        )

    x = (x - nin.CIFAR_MEAN) / nin.CIFAR_STD
    for stage, num_layers in ((1, 3), (2, 3), (3, 2)):
        for number in range(1, num_layers + 1):
            x = np.maximum(convolved(x, f"mlpconv{stage}_{number}"), 0)
        x = pooled(x) if stage < 3 else x
    return convolved(x, "classifier").mean(axis=(0, 1))


@pytest.mark.parametrize("size", [(12, 16), (15, 10)])
def test_logits_equal_the_forward_pass(size):
    model = nin.cifar_nin((*size, 3), 4, width=0.03)
    generator = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(generator.normal(0.1, 0.5, size=weight.shape))
    x = _images(1, *size, 3)
    np.testing.assert_allclose(model(x)[0], _forward(model, x[0]), rtol=1e-4)


@pytest.mark.parametrize("build", [nin.nin, nin.cifar_nin])
def test_class_maps_are_float32_and_start_at_chance(build):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = build((64, 64, 3), 8, width=0.25)
    classifier = model.get_layer("classifier")
    assert classifier.output.dtype == classifier.kernel.dtype == "float32"
    assert classifier.output.shape[-1] == 8
    logits = model(_images(8, 64, 64, 3), training=True)
    losses = keras.losses.sparse_categorical_crossentropy(
        np.arange(8), logits, from_logits=True
    )
    assert np.mean(losses) == pytest.approx(np.log(8), rel=0.05)


def test_dropout_is_after_the_poolings_of_the_paper():
    rates = {
        build.__name__: {
            layer.name: layer.rate
            for layer in build((64, 64, 3), None, width=0.125).layers
            if isinstance(layer, keras.layers.Dropout)
        }
        for build in (nin.nin, nin.cifar_nin)
    }
    assert rates == {
        "nin": {"pool3_dropout": 0.5},
        "cifar_nin": {"pool1_dropout": 0.5, "pool2_dropout": 0.5},
    }


@pytest.mark.parametrize("size", [39, 64])
def test_weights_of_other_classes_and_sizes_load(tmp_path, size):
    model = nin.nin((64, 64, 3), 10, width=0.125)
    model.save_weights(tmp_path / "nin.weights.h5")
    shape = (size, size, 3)
    loaded = nin.nin(shape, 3, tmp_path / "nin.weights.h5", width=0.125)
    np.testing.assert_array_equal(
        loaded.get_layer("mlpconv4_2").kernel, model.get_layer("mlpconv4_2").kernel
    )
    assert loaded(_images(1, *shape)).shape == (1, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": (64, 38, 3)}, "at least 39 pixels"),
        ({"num_classes": 0}, "num_classes=0"),
        ({"output_stride": 16}, "output_stride=16"),
        ({"dropout_rate": 1.0}, "dropout_rate=1.0"),
        ({"drop_path_rate": 0.1}, "drop_path_rate=0.1"),
    ],
)
def test_what_it_cannot_do_is_refused(options, message):
    arguments = {"image_shape": (64, 64, 3), "num_classes": 8, "width": 0.125}
    with pytest.raises(errors.UsageError, match=message):
        nin.nin(**arguments | options)


def test_cifars_smallest_picture_leaves_one_pixel_and_a_smaller_one_is_refused():
    assert nin.cifar_nin((4, 4, 3), None, width=0.1).output["c2"].shape[1:3] == (1, 1)
    with pytest.raises(errors.UsageError, match="at least 4 pixels"):
        nin.cifar_nin((3, 32, 3), 8, width=0.1)
