"""SqueezeNet: Caffe's poolings, and real weights on real pictures."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import squeezenet

BUILDERS = {"1_0": squeezenet.squeezenet1_0, "1_1": squeezenet.squeezenet1_1}
WEIGHTS = "squeezenet/weights/squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5"
PICTURES = "caltech10/101_ObjectCategories"


@pytest.mark.parametrize(
    ("version", "image_size", "sizes", "channels"),
    [
        (
            "1_0",
            (224, 224),
            [(109, 109), (54, 54), (27, 27), (13, 13)],
            [96, 256, 512, 512],
        ),
        (
            "1_0",
            (320, 256),
            [(157, 125), (78, 62), (39, 31), (19, 15)],
            [96, 256, 512, 512],
        ),
        (
            "1_1",
            (224, 224),
            [(111, 111), (55, 55), (27, 27), (13, 13)],
            [64, 128, 256, 512],
        ),
        (
            "1_1",
            (320, 256),
            [(159, 127), (79, 63), (39, 31), (19, 15)],
            [64, 128, 256, 512],
        ),
    ],
)
def test_feature_maps_have_the_sizes(version, image_size, sizes, channels):
    outputs = BUILDERS[version]((*image_size, 3), None).output
    assert {name: outputs[name].shape[1:] for name in outputs} == {
        f"c{level}": (*size, number)
        for level, size, number in zip(range(1, 5), sizes, channels, strict=True)
    }


@pytest.mark.parametrize("version", BUILDERS)
def test_sizes_may_be_unknown(version):
    model = BUILDERS[version]((None, None, 3), 7, width=0.25)
    assert model(np.zeros((1, 33, 48, 3), "float32")).shape == (1, 7)
    assert model(np.zeros((3, 32, 40, 3), "float32")).shape == (3, 7)


def test_classifier_is_a_float32_convolution_averaged_after_relu():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = squeezenet.squeezenet1_1((67, 67, 3), 4, width=0.25)
    layer = model.get_layer("classifier")
    assert isinstance(layer, keras.layers.Conv2D)
    assert layer.compute_dtype == "float32"
    image = np.random.default_rng(0).random((2, 67, 67, 3), dtype="float32")
    maps = keras.Model(model.input, layer.output)(image)
    np.testing.assert_allclose(
        model(image), np.mean(np.maximum(maps, 0), axis=(1, 2)), rtol=1e-6
    )


def test_every_class_starts_with_a_gradient():
    """After a ReLU, a class whose map is negative everywhere would never learn."""
    model = squeezenet.squeezenet1_1((67, 67, 3), 100, width=0.5)
    images = np.random.default_rng(0).random((2, 67, 67, 3), dtype="float32")
    assert np.all(model(images) > 0)


class _SlowSqueezeNet:
    """Version 1.1's first level in NumPy, with windows cut off at the edge."""

    def __init__(self, weights):
        self.weights = weights

    def __call__(self, image):
        x = self.convolution(self.normalized(image), "conv1", strides=2)
        x = self.pool(x)
        return self.fire(self.fire(x, "fire2"), "fire3")

    def normalized(self, image):
        mean = np.array([123.68, 116.779, 103.939])
        return (255 * image - mean) / (255 * np.array([0.229, 0.224, 0.225]))

    def pool(self, x):
        rows, columns = (int(np.ceil((size - 3) / 2)) + 1 for size in x.shape[:2])
        return np.array(
            [
                [
                    x[2 * row : 2 * row + 3, 2 * column : 2 * column + 3].max((0, 1))
                    for column in range(columns)
                ]
                for row in range(rows)
            ]
        )

    def fire(self, x, name):
        x = self.convolution(x, f"{name}_squeeze1x1")
        wide = self.convolution(
            np.pad(x, [(1, 1), (1, 1), (0, 0)]), f"{name}_expand3x3"
        )
        return np.concatenate([self.convolution(x, f"{name}_expand1x1"), wide], -1)

    def convolution(self, x, name, strides=1):
        kernel, bias = self.weights[name]
        size = kernel.shape[0]
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (0, 1))
        windows = windows[::strides, ::strides]
        return np.maximum(np.einsum("hwcij,ijcf->hwf", windows, kernel) + bias, 0)


@pytest.mark.parametrize("size", [(36, 41), (35, 38)])
def test_second_map_equals_that_of_numpy(size):
    """36 leaves 17 rows after conv1, whose windows fit; 38 leaves 18, which do not."""
    generator = np.random.default_rng(0)
    model = squeezenet.squeezenet1_1((*size, 3), None, width=0.25)
    for layer in model.layers:
        if len(layer.weights) == 2:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, generator.normal(size=bias.shape)])
    image = generator.random((*size, 3), dtype="float32")
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    expected = _SlowSqueezeNet(weights)(image)
    np.testing.assert_allclose(
        model(image[None])["c2"][0], expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "options", [{"output_stride": 8}, {"drop_path_rate": 0.1}, {"width": 0}]
)
def test_what_it_has_not_is_refused(options):
    with pytest.raises(errors.UsageError, match=f"`{next(iter(options))}` must be"):
        squeezenet.squeezenet1_1((64, 64, 3), 10, **options)


@pytest.fixture
def pictures(real_data):
    """Return float32 (classes, 16, 227, 227, 3): 12 for training, 4 for testing."""
    folder = real_data / PICTURES
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    files = [sorted(kind.iterdir()) for kind in sorted(folder.iterdir())]
    return np.array(
        [
            [
                keras.utils.img_to_array(
                    keras.utils.load_img(file, target_size=(227, 227))
                )
                / 255
                for file in kind[:12] + kind[48:52]
            ]
            for kind in files
        ]
    )


def _accuracy_of_nearest_mean(model, pictures):
    """Average the last map, and take the class whose mean has the largest cosine."""
    vectors = np.array(
        [np.mean(model.predict_on_batch(kind)["c4"], (1, 2)) for kind in pictures]
    )
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    means = vectors[:, :12].mean(axis=1)
    means /= np.linalg.norm(means, axis=-1, keepdims=True)
    predicted = (vectors[:, 12:] @ means.T).argmax(axis=-1)
    return np.mean(predicted == np.arange(len(pictures))[:, np.newaxis])


@pytest.mark.parametrize(("version", "least"), [("1_0", 21), ("1_1", 17)])
def test_the_smallest_picture_leaves_one_pixel_and_a_smaller_one_is_refused(
    version, least
):
    maps = BUILDERS[version]((least, least, 3), None, width=0.125).output
    assert maps["c4"].shape[1:3] == (1, 1)
    with pytest.raises(errors.UsageError, match=f"at least {least} pixels"):
        BUILDERS[version]((64, least - 1, 3), None, width=0.125)


def test_real_weights_tell_real_pictures_apart(real_data, pictures):
    """Ten classes; measured 0.95 with the weights, and 0.25 without."""
    path = real_data / WEIGHTS
    if not path.is_file():
        pytest.skip(f"no {path}")
    keras.utils.set_random_seed(0)
    trained, random = (
        squeezenet.squeezenet1_1((227, 227, 3), None, weights)
        for weights in (path, None)
    )
    assert _accuracy_of_nearest_mean(trained, pictures) > 0.8
    assert _accuracy_of_nearest_mean(random, pictures) < 0.5
