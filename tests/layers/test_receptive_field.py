import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.backbones import BACKBONES
from tfdl.layers import receptive_field


def measured_field(model: keras.Model, layer: str) -> int:
    """Count the rows of the picture whose gradient reaches the middle position."""
    output = model.get_layer(layer).output
    probe = keras.Model(model.inputs, output)
    for variable in probe.trainable_variables:
        if len(variable.shape) == 4:  # positive kernels: no path may cancel another
            variable.assign(np.full(variable.shape, 0.01, "float32"))
    image = tf.Variable(tf.ones([1, *model.input_shape[1:]]))
    with tf.GradientTape() as tape:
        maps = probe(image, training=False)
        middle = maps[0, maps.shape[1] // 2, maps.shape[2] // 2, 0]
    rows = np.abs(tape.gradient(middle, image).numpy()).sum(axis=(0, 2, 3))
    return int(np.ptp(np.flatnonzero(rows))) + 1 if rows.any() else 0


def test_two_convolutions_and_a_pooling_by_hand():
    """3 x 3 sees 3; pooling by 2 adds 1; a 3 x 3 at stride 2 adds 2 x 2."""
    inputs = keras.Input((32, 32, 1))
    x = keras.layers.Conv2D(2, 3)(inputs)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Conv2D(2, 3)(x)
    fields = receptive_field.walk(keras.Model(inputs, x))
    assert [(f.size, f.stride) for f in fields[-3:]] == [(3, 1), (4, 2), (8, 2)]


def test_dilation_widens_the_window():
    inputs = keras.Input((32, 32, 1))
    x = keras.layers.Conv2D(1, 3, dilation_rate=4)(inputs)
    assert receptive_field.of_last_map(keras.Model(inputs, x)).size == 9


def test_upsampling_brings_the_stride_back():
    inputs = keras.Input((32, 32, 1))
    x = keras.layers.MaxPooling2D(4)(inputs)
    x = keras.layers.UpSampling2D(4)(x)
    x = keras.layers.Conv2DTranspose(1, 2, 2)(x)
    field = receptive_field.of_last_map(keras.Model(inputs, x))
    assert (field.size, field.stride) == (4, 0.5)


@pytest.mark.parametrize("output_stride", [4, 1])
def test_it_is_what_gradients_reach(output_stride):
    """With strides and with the dilation that replaces them."""
    shape = (161, 161, 3)
    model = BACKBONES["cifar_resnet20"](shape, None, output_stride=output_stride)
    fields = {field.layer: field for field in receptive_field.walk(model)}
    layer = "c3_block2_relu"
    assert measured_field(model, layer) == fields[layer].size


def test_published_fields():
    """ResNet-18's last map sees 435 pixels [Araujo 2019, appendix]."""
    resnet = BACKBONES["resnet18"]((224, 224, 3), None)
    assert receptive_field.of_last_map(resnet).size == 435
    lenet = BACKBONES["lenet5"]((32, 32, 1), None)
    assert receptive_field.of_last_map(lenet).size == 16


def test_a_classifier_sees_the_whole_picture():
    model = BACKBONES["lenet5"]((28, 28, 1), 10)
    assert receptive_field.walk(model)[-1].size == math.inf
    assert receptive_field.of_last_map(model).size == 16


def test_a_model_within_a_model_is_followed():
    inner = BACKBONES["lenet5"]((32, 32, 1), None)
    inputs = keras.Input((32, 32, 1))
    outer = keras.Model(inputs, inner(inputs)["c2"])
    assert receptive_field.of_last_map(outer).size == 16
