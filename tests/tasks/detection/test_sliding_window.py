import functools

import keras
import numpy as np
import pytest
from keras import layers

from tfdl import errors
from tfdl.backbones import BACKBONES, lenet
from tfdl.layers import norms
from tfdl.ops import nms
from tfdl.tasks.detection import sliding_window

unpadded = functools.partial(lenet.lenet5, pad=False)


def randomized(model):
    """Give every weight a value that shows when it is lost."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + rng.uniform(0.0, 0.3, weight.shape))
    return model


def pictures(height, width, channels):
    return np.random.default_rng(1).random((2, height, width, channels), np.float32)


def chain(*parts, size=(17, 20)):
    return keras.Sequential([keras.Input((*size, 3)), *parts])


def cropped(classifier, images, strides):
    """Ask about each crop by itself, the plain way -> (batch, rows, columns, ...)."""
    height, width = classifier.input_shape[1:3]
    tops = range(0, images.shape[1] - height + 1, strides[0])
    lefts = range(0, images.shape[2] - width + 1, strides[1])
    answers = [
        [classifier(images[:, t : t + height, x : x + width]) for x in lefts]
        for t in tops
    ]
    return np.moveaxis(np.array(answers), 2, 0)


def assert_slides(classifier, images, *, strides):
    assert sliding_window.strides(classifier) == strides
    wanted = cropped(classifier, images, strides)
    for shape in (images.shape[1:], (None, None, images.shape[-1])):
        model = sliding_window.convolutional(classifier, shape)
        found = np.array(model(images))
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (BACKBONES["lenet5"], (32, 32, 1)),
        (BACKBONES["lenet5"], (35, 38, 3)),  # strides leave a rest of this window
        (BACKBONES["lenet5_1998"], (32, 33, 1)),
        (unpadded, (16, 21, 1)),  # one row is left of the last map
    ],
)
def test_a_lenet_slides_as_it_answers_for_each_crop(build, shape):
    images = pictures(shape[0] + 15, shape[1] + 13, shape[2])
    assert_slides(randomized(build(shape, 10)), images, strides=(4, 4))


@pytest.mark.parametrize(
    "head",
    [
        [layers.GlobalAveragePooling2D(), layers.Dense(4)],
        [layers.GlobalMaxPooling2D(keepdims=True), layers.Flatten(), layers.Dense(4)],
        [layers.Flatten(), layers.Dropout(0.5), layers.Dense(4, "softmax")],
        [layers.Conv2D(4, (5, 3), padding="valid"), layers.Flatten()],
        [
            layers.Flatten(),
            layers.Dense(5),
            layers.BatchNormalization(),
            layers.Activation("tanh"),
            layers.Dense(4, use_bias=False),
            layers.Activation("softmax"),
        ],
    ],
    ids=["average", "maximum", "dropout", "convolution", "hidden"],
)
def test_every_ending_slides(head):
    body = [
        layers.Conv2D(4, 3, strides=(1, 2), activation="relu"),
        norms.normalization("batch"),
        layers.Conv2D(6, 1, padding="same"),
        layers.DepthwiseConv2D(3, dilation_rate=2),
        layers.AveragePooling2D((2, 1)),
    ]
    if isinstance(head[0], layers.Conv2D):
        head[0] = layers.Conv2D(4, (5, 5))  # the whole map, as a dense layer would
    classifier = randomized(chain(*body, *head))
    assert_slides(classifier, pictures(28, 31, 3), strides=(2, 2))


def test_a_model_within_the_model_slides():
    inner = chain(layers.Conv2D(3, 3), layers.MaxPooling2D(3))
    classifier = randomized(chain(inner, layers.Flatten(), layers.Dense(2)))
    assert_slides(classifier, pictures(26, 24, 3), strides=(3, 3))


def test_dense_layers_alone_slide_by_pixels():
    classifier = randomized(chain(layers.Flatten(), layers.Dense(2), size=(4, 5)))
    assert_slides(classifier, pictures(7, 9, 3), strides=(1, 1))


def test_a_picture_of_the_windows_size_gives_the_classifiers_answer():
    classifier = randomized(unpadded((20, 20, 1), 10))
    images = pictures(20, 20, 1)
    found = sliding_window.convolutional(classifier, (20, 20, 1))(images)
    np.testing.assert_allclose(found[:, 0, 0], classifier(images), rtol=1e-5)


def test_the_two_models_share_no_weights():
    classifier = unpadded((16, 16, 1), 3)
    sliding = sliding_window.convolutional(classifier, (20, 20, 1))
    before = np.array(sliding(np.ones((1, 20, 20, 1), np.float32)))
    randomized(classifier)
    after = sliding(np.ones((1, 20, 20, 1), np.float32))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([layers.Conv2D(2, 3, padding="same")], "conv2d.* pads"),
        ([layers.ZeroPadding2D(1), layers.Conv2D(2, 3)], "zero_padding2d.* pads"),
        ([layers.MaxPooling2D(2, padding="same")], "max_pooling2d.* pads"),
        ([norms.normalization("instance", name="norm")], "norm is a Instance"),
        ([layers.Flatten(), layers.LayerNormalization()], "is a LayerNormalization"),
        ([layers.Flatten(), layers.BatchNormalization()], "sees a flattened map"),
        ([layers.Flatten(), layers.Activation("softmax")], "sees a flattened map"),
        ([layers.Flatten()], "no dense layer sees"),
    ],
)
def test_what_would_answer_otherwise_is_refused(parts, reason):
    ending = [] if isinstance(parts[0], layers.Flatten) else [layers.Flatten()]
    if ending:
        ending.append(layers.Dense(2))
    with pytest.raises(errors.UsageError, match=reason):
        sliding_window.convolutional(chain(*parts, *ending), (30, 30, 3))


@pytest.mark.parametrize("name", ["vgg11", "cifar_resnet20", "alexnet"])
def test_the_families_that_pad_are_refused_and_crops_named(name):
    classifier = BACKBONES[name]((64, 64, 3), 2, width=0.125)
    for ask in (
        sliding_window.strides,
        lambda model: sliding_window.convolutional(model, (99, 99, 3)),
    ):
        with pytest.raises(errors.UsageError, match="pads") as caught:
            ask(classifier)
        assert "classify_crops" in caught.value.remedy


def test_branches_are_refused():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(3, 1)(image)
    x = layers.Flatten()(layers.Add()([x, image]))
    classifier = keras.Model(image, layers.Dense(2)(x))
    with pytest.raises(errors.UsageError, match="is not in a chain"):
        sliding_window.convolutional(classifier, (9, 9, 3))


def test_a_picture_smaller_than_the_window_is_refused():
    classifier = unpadded((20, 20, 1), 10)
    with pytest.raises(errors.UsageError, match="at least the window"):
        sliding_window.convolutional(classifier, (32, 19, 1))
    with pytest.raises(errors.UsageError, match="at least the window"):
        sliding_window.classify_crops(classifier, pictures(19, 32, 1), strides=(4, 4))
    classifier = chain(layers.GlobalMaxPooling2D(), size=(None, 9))
    with pytest.raises(errors.UsageError, match="known size"):
        sliding_window.convolutional(classifier, (32, 32, 3))


def test_windows_by_hand():
    found = sliding_window.windows((10, 13), window=(6, 8), strides=(3, 5))
    np.testing.assert_array_equal(
        found,
        [
            [[0, 0, 8, 6], [5, 0, 13, 6]],
            [[0, 3, 8, 9], [5, 3, 13, 9]],
        ],
    )
    assert found.dtype == np.float32


def test_crops_of_any_classifier_are_those_of_the_windows(monkeypatch):
    monkeypatch.setattr(sliding_window, "CROPS_AT_ONCE", 5)
    classifier = BACKBONES["cifar_resnet20"]((32, 32, 3), 4, width=0.25)
    images = pictures(40, 45, 3)
    found = sliding_window.classify_crops(classifier, images, strides=(8, 5))
    assert found.shape == (2, 2, 3, 4)
    windows = sliding_window.windows((40, 45), window=(32, 32), strides=(8, 5))
    for row, column in np.ndindex(2, 3):
        left, top, right, bottom = windows[row, column].astype(int)
        answer = classifier(images[:, top:bottom, left:right])
        np.testing.assert_allclose(found[:, row, column], answer, atol=1e-5)


def brightness(images, *, window, strides):
    """Be a classifier of two classes: dark (the background) and white windows."""
    views = np.lib.stride_tricks.sliding_window_view(images[..., 0], window, (1, 2))
    means = views[:, :: strides[0], :: strides[1]].mean((-2, -1))
    return np.stack([np.zeros_like(means), 40 * (means - 0.9)], -1)


def test_the_pyramid_finds_small_and_large_objects():
    images = np.zeros((1, 48, 64, 1), np.float32)
    images[0, 4:12, 8:16] = 1  # the window's size
    images[0, 16:48, 32:64] = 1  # four times
    window, strides = (8, 8), (4, 4)
    found = sliding_window.detections(
        functools.partial(brightness, window=window, strides=strides),
        images,
        window=window,
        strides=strides,
        scales=(1.0, 0.25, 0.1),  # no window fits at the last
        background=0,
    )
    assert found["boxes"].shape == (1, 11 * 15 + 2 * 3, 4)
    assert found["scores"].shape == (1, 11 * 15 + 2 * 3, 1)
    kept = nms.suppress(
        **found, score_threshold=0.5, iou_threshold=0.01, max_detections=50
    )
    boxes = np.array(kept["boxes"][0])
    assert [8, 4, 16, 12] in boxes.tolist()
    assert [32, 16, 64, 48] in np.array(found["boxes"][0]).tolist()
    at = np.array(found["boxes"][0]).tolist().index([32, 16, 64, 48])
    assert found["scores"][0, at, 0] > 0.9


def test_scores_are_the_softmax_of_a_sliding_network():
    classifier = randomized(unpadded((16, 16, 1), 3))
    images = pictures(24, 20, 1)
    sliding = sliding_window.convolutional(classifier, (None, None, 1))
    strides = sliding_window.strides(classifier)
    crops = functools.partial(
        sliding_window.classify_crops, classifier, strides=strides
    )
    options = {"window": (16, 16), "strides": strides, "scales": (1.0, 0.85)}
    one = sliding_window.detections(sliding, images, **options)
    other = sliding_window.detections(crops, images, **options)
    assert one["boxes"].shape == (2, 3 * 2 + 2, 4)
    np.testing.assert_allclose(one["scores"].sum(-1), 1, rtol=1e-5)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-5)


def test_scales_at_which_nothing_fits_are_refused():
    with pytest.raises(errors.UsageError, match="scales=\\(0.5,\\)"):
        sliding_window.detections(
            lambda images: images,
            pictures(20, 20, 1),
            window=(16, 16),
            strides=(4, 4),
            scales=(0.5,),
        )
