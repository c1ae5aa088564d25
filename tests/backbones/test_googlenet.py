"""GoogLeNet: its depth, its modules in NumPy, and the auxiliary heads."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.backbones import googlenet

BUILDERS = {"2014": googlenet.googlenet, "bn": googlenet.googlenet_bn}


@pytest.mark.parametrize("version", BUILDERS)
@pytest.mark.parametrize("image_size", [(224, 224), (320, 256)])
def test_feature_maps_have_the_strides(version, image_size):
    outputs = BUILDERS[version]((*image_size, 3), None).output
    assert {name: outputs[name].shape[1:] for name in outputs} == {
        f"c{level}": (*(size // 2**level for size in image_size), channels)
        for level, channels in enumerate((64, 192, 480, 832, 1024), start=1)
    }


def test_sizes_may_be_unknown():
    model = googlenet.googlenet_bn((None, None, 3), 7, width=0.125)
    assert model(np.zeros((1, 33, 48, 3), "float32")).shape == (1, 7)
    assert model(np.zeros((3, 32, 40, 3), "float32")).shape == (3, 7)


def test_depth_is_22_layers_with_parameters():
    """As the paper counts: the longest way through convolutions and dense layers."""
    model = googlenet.googlenet((64, 64, 3), 10, width=0.125)
    depth = {}
    for layer in model.layers[1:]:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        before = max(depth.get(tensor.name, 0) for tensor in inputs)
        depth[layer.output.name] = before + bool(layer.weights)
    assert depth[model.output.name] == 22


class _SlowGoogLeNet:
    """The paper's network up to module 3a, in NumPy."""

    def __init__(self, weights):
        self.weights = weights

    def __call__(self, image):
        mean = np.array([123.68, 116.779, 103.939])
        x = (255 * image - mean) / (255 * np.array([0.229, 0.224, 0.225]))
        x = self.pool(self.convolution(x, "conv1", strides=2))
        x = self.convolution(self.local_response(x), "conv2_reduce")
        x = self.pool(self.local_response(self.convolution(x, "conv2")))
        return np.concatenate(
            [
                self.convolution(x, "c3a_1x1"),
                self.convolution(self.convolution(x, "c3a_3x3_reduce"), "c3a_3x3"),
                self.convolution(self.convolution(x, "c3a_5x5_reduce"), "c3a_5x5"),
                self.convolution(self.largest_around(x), "c3a_pool_projection"),
            ],
            axis=-1,
        )

    def convolution(self, x, name, strides=1):
        kernel, bias = self.weights[name]
        size = kernel.shape[0]
        x = np.pad(x, [(size // 2, size // 2)] * 2 + [(0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (0, 1))
        windows = windows[::strides, ::strides]
        return np.maximum(np.einsum("hwcij,ijcf->hwf", windows, kernel) + bias, 0)

    def pool(self, x):
        return np.array(
            [
                [
                    x[row : row + 3, column : column + 3].max((0, 1))
                    for column in self.starts(x.shape[1])
                ]
                for row in self.starts(x.shape[0])
            ]
        )

    def starts(self, size):
        """Windows of 3 pixels, until one reaches the last pixel."""
        return range(0, 2 * int(np.ceil((size - 3) / 2)) + 1, 2)

    def largest_around(self, x):
        x = np.pad(x, [(1, 1), (1, 1), (0, 0)])
        return np.lib.stride_tricks.sliding_window_view(x, (3, 3), (0, 1)).max((-2, -1))

    def local_response(self, x):
        squares = np.pad(x**2, [(0, 0), (0, 0), (2, 2)])
        sums = sum(squares[..., start : start + x.shape[-1]] for start in range(5))
        return x / (1 + 1e-4 / 5 * sums) ** 0.75


@pytest.mark.parametrize("size", [(41, 48), (50, 37)])
def test_first_module_equals_that_of_numpy(size):
    generator = np.random.default_rng(0)
    model = googlenet.googlenet((*size, 3), 3, width=0.125)
    for layer in model.layers:
        if len(layer.weights) == 2:
            kernel, bias = layer.get_weights()
            # Large enough for the local response normalisation to matter.
            layer.set_weights([3 * kernel, generator.normal(size=bias.shape)])
    image = generator.random((*size, 3), dtype="float32")
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    first = keras.Model(model.input, model.get_layer("c3a_concat").output)
    expected = _SlowGoogLeNet(weights)(image)
    np.testing.assert_allclose(first(image[None])[0], expected, rtol=1e-4, atol=1e-2)


def test_auxiliary_heads_see_modules_4a_and_4d():
    model = googlenet.googlenet((79, 80, 3), 5, width=0.125, auxiliary=True)
    outputs = model(np.zeros((2, 79, 80, 3), "float32"))
    assert {
        name: tuple(logits.shape) for name, logits in outputs.items()
    } == dict.fromkeys(("logits", "auxiliary1", "auxiliary2"), (2, 5))
    for head, module in [("auxiliary1", "c4a"), ("auxiliary2", "c4d")]:
        pool = model.get_layer(f"classifier_{head}_pool")
        assert pool.input is model.get_layer(f"{module}_concat").output
        assert model.get_layer(f"classifier_{head}_dropout").rate == 0.7


def test_each_head_gives_gradients_to_what_is_below_it_only():
    model = googlenet.googlenet((79, 79, 3), 5, width=0.125, auxiliary=True)
    image = np.random.default_rng(0).random((2, 79, 79, 3), dtype="float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(image)["auxiliary1"]))
    kernels = [model.get_layer(name).kernel for name in ("conv1", "c4a_1x1", "c4b_1x1")]
    below, itself, above = tape.gradient(loss, [kernel.value for kernel in kernels])
    assert np.any(below)
    assert np.any(itself)
    assert above is None


def test_a_model_without_heads_loads_the_weights_of_one_with_them(tmp_path):
    options = {"image_shape": (79, 79, 3), "num_classes": 5, "width": 0.125}
    full = googlenet.googlenet_bn(**options, auxiliary=True)
    full.save_weights(tmp_path / "full.weights.h5")
    plain = googlenet.googlenet_bn(**options, weights=tmp_path / "full.weights.h5")
    image = np.random.default_rng(0).random((2, 79, 79, 3), dtype="float32")
    np.testing.assert_allclose(plain(image), full(image)["logits"], rtol=1e-6)


def _with_heads(size=79, num_classes=5, **options):
    return googlenet.googlenet(
        (size, size, 3), num_classes, width=0.125, auxiliary=True, **options
    )


def test_heads_for_other_classes_keep_their_last_layers_alone(tmp_path):
    full = _with_heads()
    full.save_weights(tmp_path / "full.weights.h5")
    loaded = _with_heads(num_classes=3, weights=tmp_path / "full.weights.h5")
    name = "classifier_auxiliary1"
    for layer in ("projection", "fc"):
        np.testing.assert_array_equal(
            loaded.get_layer(f"{name}_{layer}").kernel,
            full.get_layer(f"{name}_{layer}").kernel,
        )
    assert loaded.get_layer(f"{name}_logits").kernel.shape == (128, 3)


def test_heads_of_another_picture_size_are_refused(tmp_path):
    _with_heads().save_weights(tmp_path / "full.weights.h5")
    with pytest.raises(errors.ModelFileError, match="layer classifier_auxiliary1_fc"):
        _with_heads(127, weights=tmp_path / "full.weights.h5")


def test_a_model_with_heads_loads_the_weights_of_one_without(tmp_path):
    plain = googlenet.googlenet((79, 79, 3), 5, width=0.125)
    plain.save_weights(tmp_path / "plain.weights.h5")
    full = _with_heads(weights=tmp_path / "plain.weights.h5")
    image = np.random.default_rng(0).random((2, 79, 79, 3), dtype="float32")
    np.testing.assert_allclose(plain(image), full(image)["logits"], rtol=1e-6)


def test_torchvisions_last_pooling_is_over_two_pixels():
    """Windows that end after the last pixel count, as with `ceil_mode`."""
    model = googlenet.googlenet_bn((48, 48, 3), None, width=0.125)
    names = ("c4e_concat", "c5_pool")
    part = keras.Model(model.input, [model.get_layer(name).output for name in names])
    image = np.random.default_rng(0).random((2, 48, 48, 3), dtype="float32")
    before, after = map(np.array, part(image))
    assert before.shape[1:3] == (3, 3)
    halves = (slice(0, 2), slice(2, 3))
    expected = [
        [before[:, rows, columns].max((1, 2)) for columns in halves] for rows in halves
    ]
    np.testing.assert_array_equal(after, np.transpose(expected, (2, 0, 1, 3)))


@pytest.mark.parametrize(("version", "least"), [("2014", 31), ("bn", 15)])
def test_the_smallest_picture_leaves_one_pixel_and_a_smaller_one_is_refused(
    version, least
):
    maps = BUILDERS[version]((least, least, 3), None, width=0.125).output
    assert maps["c5"].shape[1:3] == (1, 1)
    with pytest.raises(errors.UsageError, match=f"at least {least} pixels"):
        BUILDERS[version]((64, least - 1, 3), None, width=0.125)


@pytest.mark.parametrize(
    ("image_shape", "num_classes", "message"),
    [
        ((79, 79, 3), None, "`auxiliary` must be False for feature maps"),
        ((79, 78, 3), 5, r"at least 79 pixels.*\(5, 4\)"),
        ((None, None, 3), 5, "`image_shape` must be known"),
    ],
)
def test_auxiliary_heads_where_there_can_be_none(image_shape, num_classes, message):
    with pytest.raises(errors.UsageError, match=message):
        googlenet.googlenet(image_shape, num_classes, width=0.125, auxiliary=True)


@pytest.mark.parametrize("build", BUILDERS.values())
@pytest.mark.parametrize(
    "options", [{"output_stride": 16}, {"drop_path_rate": 0.1}, {"width": 0}]
)
def test_what_it_has_not_is_refused(build, options):
    with pytest.raises(errors.UsageError, match=f"`{next(iter(options))}` must be"):
        build((64, 64, 3), 10, **options)
