"""ZFNet: the count by hand, the sizes of figure 3, a forward pass by TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.backbones import zfnet
from tfdl.layers import receptive_field


def _images(*shape):
    return np.random.default_rng(0).random(shape, dtype="float32")


def test_count_by_hand_and_the_sizes_of_figure_3():
    """The trap: with poolings that round down 5 x 5 positions were left."""
    model = zfnet.zfnet((224, 224, 3))
    convolutions = (
        (7 * 7 * 3 + 1) * 96
        + (5 * 5 * 96 + 1) * 256
        + (9 * 256 + 1) * 384
        + (9 * 384 + 1) * 384
        + (9 * 384 + 1) * 256
    )
    dense = (6 * 6 * 256 + 1) * 4096 + 4097 * 4096 + 4097 * 1000
    assert model.count_params() == convolutions + dense == 62_357_608
    sizes = {
        name: model.get_layer(name).output.shape[1]
        for name in ("conv1", "norm1", "conv2", "norm2", "conv5", "pool5")
    }
    assert sizes == {
        "conv1": 110,
        "norm1": 55,
        "conv2": 26,
        "norm2": 13,
        "conv5": 13,
        "pool5": 6,
    }
    # 7, then 2 x 2, 4 x 4, 2 x 8, three times 2 x 16, and 2 x 16 again.
    assert receptive_field.of_last_map(model).size == (171, 171)


@pytest.mark.parametrize("num_images", [1, 3])
@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((224, 224), ((110, 110), (55, 55), (26, 26), (13, 13), (6, 6))),
        ((320, 256), ((158, 126), (79, 63), (38, 30), (19, 15), (9, 7))),
    ],
)
def test_feature_maps_have_the_sizes(size, sizes, num_images):
    model = zfnet.zfnet((None, None, 3), None, width=0.125)
    outputs = model(np.zeros((num_images, *size, 3), "float32"))
    channels = (12, 12, 32, 32, 32)
    assert {name: tuple(feature.shape) for name, feature in outputs.items()} == {
        f"c{level}": (num_images, *sizes[level - 1], channels[level - 1])
        for level in range(1, 6)
    }


def _forward(model, x):
    """Figure 3 by TensorFlow's operations; poolings pad after the last row."""

    def convolved(x, name, strides, padding):
        kernel, bias = model.get_layer(name).get_weights()
        edges = [[0, 0], [padding, padding], [padding, padding], [0, 0]]
        return tf.nn.relu(tf.nn.conv2d(x, kernel, strides, edges) + bias)

    def pooled(x):
        return tf.nn.max_pool2d(x, 3, 2, [[0, 0], [0, 1], [0, 1], [0, 0]])

    def normalised(x):
        return tf.nn.local_response_normalization(x, 2, 2.0, 1e-4, 0.75)

    x = tf.constant((x - zfnet.IMAGENET_MEAN) / zfnet.IMAGENET_STD, "float32")
    x = normalised(pooled(convolved(x, "conv1", 2, 1)))
    x = normalised(pooled(convolved(x, "conv2", 2, 0)))
    for name in ("conv3", "conv4", "conv5"):
        x = convolved(x, name, 1, 1)
    return pooled(x)


@pytest.mark.parametrize("size", [(64, 64), (75, 101)])
def test_maps_equal_those_of_tensorflows_operations(size):
    model = zfnet.zfnet((*size, 3), None, width=0.25)
    x = _images(2, *size, 3)
    np.testing.assert_allclose(model(x)["c5"], _forward(model, x), rtol=1e-4, atol=1e-5)


def test_gradient_reaches_the_first_layer_of_the_smallest_picture():
    model = zfnet.zfnet((47, 47, 3), 8, width=0.25)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(_images(2, 47, 47, 3)) ** 2)
    gradient = tape.gradient(loss, model.get_layer("conv1").kernel.value)
    assert np.abs(gradient).max() > 0


@pytest.mark.parametrize(
    ("image_shape", "options", "message"),
    [
        ((47, 46, 3), {}, "at least 47 pixels"),
        ((None, 224, 3), {}, "`image_shape` must have a height"),
        ((64, 64, 3), {"output_stride": 8}, "output_stride=8"),
        ((64, 64, 3), {"drop_path_rate": 0.1}, "drop_path_rate=0.1"),
    ],
)
def test_what_it_cannot_do_is_refused(image_shape, options, message):
    with pytest.raises(errors.UsageError, match=message):
        zfnet.zfnet(image_shape, 8, width=0.125, **options)
