import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfdl.backbones import BACKBONES
from tfdl.layers import receptive_field

SHAPE = (37, 45, 1)


def make_positive(model: keras.Model):
    """Let no path through the kernels cancel another."""
    for variable in model.trainable_variables:
        if len(variable.shape) == 4:
            variable.assign(np.full(variable.shape, 0.01, "float32"))


def reached(model: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    """Ask gradients which rows and columns reach which -> bool (outputs, inputs)."""
    make_positive(model)
    image = tf.Variable(tf.ones([1, *model.input_shape[1:]]))
    with tf.GradientTape(persistent=True) as tape:
        maps = model(image, training=False)
        rows, columns = tf.reduce_sum(maps, [0, 2, 3]), tf.reduce_sum(maps, [0, 1, 3])
    along_rows, along_columns = (
        np.abs(tape.jacobian(values, image).numpy()) for values in (rows, columns)
    )
    return along_rows.sum((1, 3, 4)) > 0, along_columns.sum((1, 2, 4)) > 0


def assert_axis(axis: receptive_field.Axis, seen: np.ndarray):
    """Compare where each position's field begins and ends, away from the edges."""
    assert axis.is_placed
    num_inside, last_pixel = 0, seen.shape[1] - 1
    for position, pixels in enumerate(seen):
        first, last = axis.span(position)
        found = np.flatnonzero(pixels)
        if 0 <= first <= last <= last_pixel:
            num_inside += 1
            assert (found.min(), found.max()) == (first, last), position
            assert last - first + 1 <= axis.size
        else:
            assert ((found >= first) & (found <= last)).all(), position
    assert num_inside >= 3


def stack(*chain):
    x = inputs = keras.Input(SHAPE)
    for layer in chain:
        x = layer(x)
    return keras.Model(inputs, x)


def branches(join):
    """Build a U-Net of one level, whose halves begin at different pixels."""
    inputs = keras.Input((36, 44, 1))
    x = layers.Conv2D(1, 3, padding="same")(inputs)
    below = layers.AveragePooling2D(2)(x)
    below = layers.Conv2D(1, (3, 5), padding="same")(below)
    below = layers.Conv2DTranspose(1, 2, 2)(below)
    x = layers.Conv2D(1, (4, 1), padding="same")(x)  # one row more after than before
    x = join([x, below])
    return keras.Model(inputs, layers.Conv2D(1, 3)(x))


def fire():
    """Join a 1 x 3 and a 3 x 1 convolution, as Inception-v3 does."""
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(2, 3, 2)(inputs)
    wide = layers.Conv2D(1, (1, 3), padding="same")(x)
    high = layers.Conv2D(1, (3, 1), padding="same")(x)
    return keras.Model(inputs, layers.Concatenate()([wide, high]))


MODELS = {
    "window of rows and columns": stack(layers.Conv2D(1, (3, 2), (2, 1))),
    "same, odd sizes": stack(
        layers.Conv2D(1, 3, 2, padding="same"),
        layers.Conv2D(1, 4, 3, padding="same"),
    ),
    "dilation": stack(
        layers.AveragePooling2D(2), layers.Conv2D(1, 3, dilation_rate=(2, 3))
    ),
    "dilation, same": stack(layers.Conv2D(1, 3, dilation_rate=3, padding="same")),
    "groups": stack(layers.Conv2D(4, 1), layers.Conv2D(4, (1, 5), groups=2)),
    "depthwise and separable": stack(
        layers.DepthwiseConv2D(3, 2, padding="same"),
        layers.SeparableConv2D(2, (5, 3), dilation_rate=2),
    ),
    "pooling, same": stack(layers.AveragePooling2D(3, (3, 2), padding="same")),
    "padding and cropping": stack(
        layers.ZeroPadding2D(((3, 1), (0, 2))),
        layers.Conv2D(1, 5, 2),
        layers.Cropping2D(((1, 0), (2, 1))),
    ),
    "padding by an operation": stack(
        lambda x: keras.ops.pad(x, ((0, 0), (2, 1), (0, 3), (0, 1))),
        layers.Conv2D(1, 5, 2),
    ),
    "transposed": stack(
        layers.Conv2D(1, 3, 3), layers.Conv2DTranspose(1, (3, 5), 2), layers.ReLU()
    ),
    "transposed, same": stack(
        layers.AveragePooling2D(4), layers.Conv2DTranspose(1, 4, 2, padding="same")
    ),
    "transposed, small kernel, then convolution": stack(
        layers.AveragePooling2D(3),
        layers.Conv2DTranspose(1, (1, 2), 3, padding="same"),
        layers.Conv2D(1, 4),
    ),
    "transposed, dilated": stack(
        layers.AveragePooling2D(2), layers.Conv2DTranspose(1, 3, dilation_rate=2)
    ),
    "nearest, then convolution": stack(
        layers.AveragePooling2D(4), layers.UpSampling2D((4, 3)), layers.Conv2D(1, 3)
    ),
    "nearest, then a stride that does not divide": stack(
        layers.AveragePooling2D(2), layers.UpSampling2D(4), layers.Conv2D(1, 2, 3)
    ),
    "bilinear": stack(
        layers.AveragePooling2D(3),
        layers.UpSampling2D((2, 3), interpolation="bilinear"),
        layers.Conv2D(1, 3),
    ),
    "branches that add": branches(layers.Add()),
    "branches that concatenate": branches(layers.Concatenate()),
    "one by three and three by one": fire(),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_position_sees_what_gradients_reach(name):
    field = receptive_field.walk(MODELS[name])[-1]
    rows, columns = reached(MODELS[name])
    assert_axis(field.rows, rows)
    assert_axis(field.columns, columns)
    assert field.output_size == (len(rows), len(columns))


@pytest.mark.parametrize("output_stride", [4, 1])
def test_the_middle_of_a_backbone_sees_what_its_gradient_reaches(output_stride):
    """With strides and with the dilation that replaces them."""
    model = BACKBONES["cifar_resnet20"](
        (161, 105, 3), None, width=0.1, output_stride=output_stride
    )
    make_positive(model)
    image = tf.Variable(tf.ones([1, *model.input_shape[1:]]))
    with tf.GradientTape() as tape:
        maps = model(image, training=False)["c3"]
        row, column = maps.shape[1] // 2, maps.shape[2] // 2
        middle = maps[0, row, column, 0]
    seen = np.abs(tape.gradient(middle, image).numpy()[0]).sum(2) > 0
    field = receptive_field.of_outputs(model)["c3"]
    for axis, pixels, position in (
        (field.rows, seen.any(1), row),
        (field.columns, seen.any(0), column),
    ):
        found = np.flatnonzero(pixels)
        assert (found.min(), found.max()) == axis.span(position)


def test_two_convolutions_and_a_pooling_by_hand():
    """3 x 3 sees 3; pooling by 2 adds 1; a 3 x 3 at stride 2 adds 2 x 2."""
    model = stack(
        layers.Conv2D(2, 3, padding="same"),
        layers.MaxPooling2D(2),
        layers.Conv2D(2, 3, padding="same"),
    )
    fields = receptive_field.walk(model)
    assert [field.size[0] for field in fields] == [3, 4, 8]
    assert [field.stride[0] for field in fields] == [1, 2, 2]
    assert [field.padding[0] for field in fields] == [1, 1, 3]
    assert [field.output_size for field in fields] == [(37, 45), (18, 22), (18, 22)]


def test_rows_and_columns_are_their_own():
    model = stack(layers.Conv2D(1, (1, 7), (2, 1), padding="same"))
    field = receptive_field.of_last_map(model)
    assert (field.size, field.stride, field.padding) == ((1, 7), (2, 1), (0, 3))


def test_upsampling_brings_the_stride_back():
    model = stack(
        layers.MaxPooling2D(4), layers.UpSampling2D(4), layers.Conv2DTranspose(1, 2, 2)
    )
    field = receptive_field.of_last_map(model)
    assert (field.size, field.stride) == ((4, 4), (0.5, 0.5))


def test_an_offset_that_depends_on_an_unknown_size_is_unknown():
    inputs = keras.Input((None, 32, 1))
    x = layers.Conv2D(1, 3, padding="same")(inputs)
    fields = receptive_field.walk(
        keras.Model(inputs, layers.Conv2D(1, 3, 2, padding="same")(x))
    )
    assert [field.padding for field in fields] == [(1, 1), (None, 1)]
    assert [field.size for field in fields] == [(3, 3), (5, 5)]
    assert fields[-1].output_size == (None, 16)


def test_a_gate_of_the_whole_picture_is_told_and_not_counted():
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(2, 3)(inputs)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(2, 1, activation="sigmoid", name="gate")(gate)
    x = layers.Multiply()([x, gate])
    fields = receptive_field.walk(keras.Model(inputs, layers.Conv2D(2, 3)(x)))
    assert [f.layer for f in fields if f.is_whole][-1] == "gate"
    assert not fields[0].has_global_path
    assert (fields[-1].size, fields[-1].has_global_path) == ((5, 5), True)


def test_a_choice_that_no_gradient_passes_sees_nothing():
    inputs = keras.Input(SHAPE)
    brightest = keras.ops.argmax(inputs, axis=1)
    x = layers.Conv2D(1, 3)(inputs)
    x = x * keras.ops.cast(brightest[:, None, :1], x.dtype)
    field = receptive_field.walk(keras.Model(inputs, x))[-1]
    assert (field.size, field.has_global_path) == ((3, 3), False)


def test_a_layer_with_the_attributes_of_a_pooling_is_one():
    """A window of 2 x 3; 48 and 72 pixels become 32."""

    class Fractional(layers.Layer):
        pool_size = (2, 3)

        def compute_output_spec(self, inputs):
            return keras.KerasTensor((None, 32, 32, 1))

    inputs = keras.Input((48, 72, 1))
    x = layers.Conv2D(1, 3, padding="same")(Fractional()(inputs))
    field = receptive_field.of_last_map(keras.Model(inputs, x))
    assert field.stride == (1.5, 2.25)
    assert field.size == (2 + 2 * 1.5, 3 + 2 * 2.25)


def test_a_resampling_of_another_kind_keeps_the_stride_right():
    field = receptive_field.of_last_map(stack(layers.Resizing(74, 15)))
    assert (field.size, field.stride) == ((1, 1), (0.5, 3))


@pytest.mark.parametrize(
    ("name", "image_size", "field", "padding"),
    [
        ("alexnet_torchvision", 224, 195, None),
        ("vgg16", 224, 212, 90),
        ("mobilenet_v1", 224, 315, 126),
        ("resnet50_v1", 224, 483, None),
        ("inception_v3", 299, 1311, 618),
    ],
)
def test_fields_are_those_of_the_paper(name, image_size, field, padding):
    """The table of Araujo [2019], whose AlexNet and ResNet are padded otherwise."""
    model = BACKBONES[name]((image_size, image_size, 3), None, width=0.125)
    last = receptive_field.of_outputs(model)["c5"]
    assert last.size == (field, field)
    assert last.stride == (32, 32)
    assert last.padding == (padding or last.rows.padding,) * 2


def test_fields_of_all_levels_by_hand():
    """ResNet-18: each block of two 3 x 3 adds 4 strides, a strided one 3 of before."""
    resnet = BACKBONES["resnet18"]((224, 224, 3), None)
    levels = receptive_field.of_outputs(resnet)
    assert [field.size[0] for field in levels.values()] == [7, 43, 99, 211, 435]
    assert [field.stride[1] for field in levels.values()] == [2, 4, 8, 16, 32]
    assert levels["c5"].padding == (217, 217)
    lenet = BACKBONES["lenet5"]((32, 32, 1), None)
    assert receptive_field.of_last_map(lenet).size == (16, 16)


def test_a_classifier_sees_the_whole_picture():
    model = BACKBONES["lenet5"]((28, 28, 1), 10)
    last = receptive_field.walk(model)[-1]
    assert last.is_whole
    assert last.size == (math.inf, math.inf)
    assert receptive_field.of_last_map(model).size == (16, 16)


def test_a_model_within_a_model_is_followed_to_each_output():
    inner = BACKBONES["lenet5"]((32, 32, 1), None)
    inputs = keras.Input((32, 32, 1))
    features = inner(inputs)
    outer = keras.Model(inputs, {"near": features["c1"], "far": features["c2"]})
    fields = receptive_field.of_outputs(outer)
    assert fields["near"].size == (6, 6)
    assert fields["far"].size == (16, 16)
