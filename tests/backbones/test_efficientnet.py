"""EfficientNet: dropped paths, weighing by hand, keras.applications' logits."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import efficientnet, imagenet


@pytest.mark.parametrize("size", [(224, 224), (320, 256)])
def test_feature_maps_have_the_strides(size):
    outputs = efficientnet.efficientnet(0, (*size, 3), None).output
    for level, filters in enumerate((16, 24, 40, 112, 1280), start=1):
        shape = (None, size[0] >> level, size[1] >> level, filters)
        assert outputs[f"c{level}"].shape == shape


@pytest.mark.parametrize("num_images", [1, 3])
def test_feature_maps_of_unknown_and_odd_size_round_up(num_images):
    model = efficientnet.efficientnet(0, (None, None, 3), None, width=0.125)
    outputs = model(np.zeros((num_images, 75, 33, 3), "float32"))
    assert outputs["c5"].shape == (num_images, 3, 2, 160)


def test_paths_are_dropped_as_in_the_authors_program():
    """Rate times index by 16 blocks, where stride and channels let a path be."""
    model = efficientnet.efficientnet(0, (64, 64, 3), 10, drop_path_rate=0.16)
    rates = [layer.rate for layer in model.layers if "drop_path" in layer.name]
    indices = [2, 4, 6, 7, 9, 10, 12, 13, 14]
    np.testing.assert_allclose(rates, [0.01 * index for index in indices])


def test_excitation_weighs_each_map():
    inputs = keras.Input((2, 2, 2))
    outputs = efficientnet._squeeze_excite(inputs, 1, activation="silu", name="block")
    model = keras.Model(inputs, outputs)
    for name, kernel, bias in (
        ("block_squeeze", [[1.0], [1.0]], [0.0]),
        ("block_excite", [[0.0, 1.0]], [0.0, 1.0]),
    ):
        model.get_layer(name).set_weights([np.array(kernel), np.array(bias)])
    image = np.arange(8, dtype="float32").reshape(1, 2, 2, 2)  # means 3 and 4
    silu = 7 / (1 + np.exp(-7))
    weights = np.array([0.5, 1 / (1 + np.exp(-silu - 1))])
    np.testing.assert_allclose(model(image), image * weights, rtol=1e-6)


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilation_is_refused(output_stride):
    with pytest.raises(errors.UsageError, match=f"output_stride={output_stride}"):
        efficientnet.efficientnet(0, (64, 64, 3), 10, output_stride=output_stride)


def _randomize(model):
    generator = np.random.default_rng(0)
    for layer in model.layers:
        shapes = [weight.shape for weight in layer.weights]
        if isinstance(layer, keras.layers.Normalization):
            mean, std = efficientnet.IMAGENET_MEAN, efficientnet.IMAGENET_STD
            layer.set_weights([np.array(mean), np.square(std), np.array(1)])
            layer.finalize_state()
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights(
                [
                    generator.uniform(0.5, 1.5, shapes[0]),
                    generator.normal(0, 0.2, shapes[0]),
                    generator.normal(0, 0.2, shapes[0]),
                    generator.uniform(0.5, 1.5, shapes[0]),
                ]
            )
        elif "_se_" in layer.name and shapes:
            layer.set_weights([generator.normal(0, 0.2, shape) for shape in shapes])


def _rescaled_as_with_published_weights(theirs):
    """Insert the layer that keras.applications adds with weights="imagenet" only."""
    rescaling = keras.layers.Rescaling(1 / np.sqrt([0.229, 0.224, 0.225]))
    normalization = next(
        layer
        for layer in theirs.layers
        if isinstance(layer, keras.layers.Normalization)
    )

    def copied(layer):
        return layer.__class__.from_config(layer.get_config())

    def call(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        return rescaling(outputs) if layer.name == normalization.name else outputs

    clone = keras.models.clone_model(theirs, clone_function=copied, call_function=call)
    clone.set_weights(theirs.get_weights())
    for layer in clone.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    return clone


@pytest.mark.parametrize("has_second_rescaling", [False, True])
def test_logits_equal_those_of_keras_applications(has_second_rescaling):
    size = (45, 70, 3)
    keras.utils.set_random_seed(0)
    theirs = keras.applications.EfficientNetB0(
        weights=None, input_shape=size, classifier_activation=None
    )
    _randomize(theirs)
    if has_second_rescaling:
        theirs = _rescaled_as_with_published_weights(theirs)
    kinds = [isinstance(layer, keras.layers.Rescaling) for layer in theirs.layers]
    assert sum(kinds) == 1 + has_second_rescaling
    ours = efficientnet.efficientnet(0, size)
    imagenet.transfer(theirs, ours, efficientnet.published(0))
    image = np.random.default_rng(1).random((2, *size), dtype="float32")
    expected = theirs(255 * image)
    scale = np.abs(expected).max()
    assert np.std(expected) > 0
    np.testing.assert_allclose(ours(image), expected, rtol=0, atol=1e-5 * scale)
