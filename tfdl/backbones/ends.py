"""The two ends of every backbone: the picture normalised, logits or feature maps."""

from collections.abc import Callable, Mapping, Sequence

import keras

from tfdl import errors
from tfdl.backbones import imagenet, legacy_weights, weights as weights_file
from tfdl.backbones.weights import CLASSIFIER


def image_input(
    image_shape: Sequence[int | None], *, mean: Sequence[float], std: Sequence[float]
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Make a model's input and its first layer, which normalises the picture.

    The normalisation is (image - mean) / std in float32 under every dtype policy. A
    picture with another number of channels than the constants (a grey one, say) is
    normalised by their averages.

    Args:
        image_shape: (height, width, channels); height and width may be None.
        mean: mean of each channel over a data set, in [0, 1].
        std: standard deviation of each channel, likewise.

    Returns:
        The input, float32 (batch, height, width, channels) in [0, 1], and the
        normalised picture, float32 of the same shape.

    Raises:
        errors.UsageError: if the shape is none of a picture.
    """
    if len(image_shape) != 3 or image_shape[-1] is None:
        raise errors.UsageError(
            "`image_shape` must be (height, width, channels) with known channels. "
            f"Received image_shape={tuple(image_shape)}.",
            "Give three numbers, such as (224, 224, 3).",
        )
    inputs = keras.Input(tuple(image_shape), name="image")
    channels = image_shape[-1]
    if channels != len(mean):
        mean = [sum(mean) / len(mean)] * channels
        std = [sum(std) / len(std)] * channels
    normalize = keras.layers.Rescaling(
        scale=_one_if_equal([1.0 / deviation for deviation in std]),
        offset=_one_if_equal(
            [-average / deviation for average, deviation in zip(mean, std, strict=True)]
        ),
        dtype="float32",
        name="normalize",
    )
    return inputs, normalize(inputs)


def _one_if_equal(values):
    """Return one number for equal ones: three of a pixel are several times as slow."""
    return values[0] if len(set(values)) == 1 else values


def check_output_stride(output_stride: int, choices: Sequence[int]) -> None:
    """Refuse an output stride that a model does not offer.

    Raises:
        errors.UsageError: if `output_stride` is none of `choices`.
    """
    if output_stride not in choices:
        raise errors.UsageError(
            f"`output_stride` must be one of {', '.join(map(str, choices))}. "
            f"Received output_stride={output_stride}.",
            "Choose one of these, or another model.",
        )


def check_size(image_shape: Sequence[int | None], least: int, *, name: str) -> None:
    """Refuse a picture that a model's strides and poolings leave nothing of.

    Args:
        image_shape: (height, width, channels).
        least: of the sides' pixels; an unknown side may have as many.
        name: of the model.

    Raises:
        errors.UsageError: if a known side is shorter.
    """
    known = [size for size in image_shape[:2] if size is not None]
    if min(known, default=least) < least:
        raise errors.UsageError(
            f"`image_shape` must have at least {least} pixels on each side for {name}. "
            f"Received image_shape={tuple(image_shape)}.",
            "Give larger pictures, or choose a network of small ones, such as "
            "cifar_resnet20.",
        )


def check_known_size(size: Sequence[int | None], *, reason: str) -> None:
    """Refuse an unknown height or width where a model depends on them.

    Args:
        size: (height, width) of the picture, or of a map, which has those it knows.
        reason: what needs them, such as "the dense layers of maxout_cifar".

    Raises:
        errors.UsageError: if one is None.
    """
    if None in size:
        raise errors.UsageError(
            f"`image_shape` must have a height and a width for {reason}. Received "
            f"None for {'both' if set(size) == {None} else 'one'}.",
            "Give three numbers, such as (224, 224, 3).",
        )


def check_rate(name: str, rate: float) -> None:
    """Refuse a share of values to drop that leaves nothing, or is none.

    Args:
        name: of the argument, such as "dropout_rate".
        rate: its value.

    Raises:
        errors.UsageError: if it is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise errors.UsageError(
            f"`{name}` must be in [0, 1). Received {name}={rate}.",
            "Give 0 to drop nothing.",
        )


def check_classifier(num_classes: int, *, dropout_rate: float = 0.0) -> None:
    """Refuse a head's numbers that are out of their range.

    Raises:
        errors.UsageError: if there is no class, or the rate is not in [0, 1).
    """
    if num_classes < 1:
        raise errors.UsageError(
            f"`num_classes` must be at least 1. Received num_classes={num_classes}.",
            "Give the number of classes, or None for feature maps.",
        )
    check_rate("dropout_rate", dropout_rate)


def classifier(
    x: keras.KerasTensor,
    num_classes: int,
    *,
    dropout_rate: float = 0.0,
    stddev: float = 0.01,
) -> keras.KerasTensor:
    """Add dropout and the last dense layer, in float32 under every dtype policy.

    The layer starts from a normal distribution of small deviation, by default 0.01
    [Goyal 2017, 5.1], so that the first loss is close to log(num_classes).

    Args:
        x: float (batch, channels).
        num_classes: number of logits, at least 1.
        dropout_rate: in [0, 1).
        stddev: of the first weights; smaller where nothing normalises `x`.

    Returns:
        Logits, float32 (batch, num_classes).

    Raises:
        errors.UsageError: if a number is out of its range.
    """
    check_classifier(num_classes, dropout_rate=dropout_rate)
    if dropout_rate > 0:
        dropout = keras.layers.Dropout(
            dropout_rate, dtype="float32", name=f"{CLASSIFIER}_dropout"
        )
        x = dropout(x)
    return keras.layers.Dense(
        num_classes,
        kernel_initializer=keras.initializers.RandomNormal(stddev=stddev),
        dtype="float32",
        name=CLASSIFIER,
    )(x)


def pooled(x: keras.KerasTensor) -> keras.KerasTensor:
    """Average over the pixels, float32 (batch, channels) under every dtype policy.

    A mean of many bfloat16 numbers loses digits.

    Args:
        x: float (batch, height, width, channels).
    """
    return keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)


def model(
    name: str,
    inputs: keras.KerasTensor,
    features: Mapping[str, keras.KerasTensor],
    classify: Callable[[], keras.KerasTensor],
    *,
    num_classes: int | None,
    weights: str | None,
    published: imagenet.Published | None = None,
    legacy: legacy_weights.Legacy | None = None,
) -> keras.Model:
    """Make the model: of logits, or of feature maps, from random or stored weights.

    Args:
        name: of the model, a key of `BACKBONES`.
        inputs: as `image_input` makes it.
        features: {"c1", "c2", ...}, float (batch, height, width, channels).
        classify: adds the head and returns the logits, (batch, num_classes); called
            only if there are classes.
        num_classes: None for the feature maps.
        weights: path of a `.weights.h5` file, "imagenet", or None.
        published: where the weights for "imagenet" come from, None if there are none.
        legacy: how the weights of an `.h5` file of Keras 2 are named, None if such
            files are refused.

    Raises:
        errors.ModelFileError: if the weights cannot be loaded.
        errors.NetworkError: if they cannot be downloaded.
        errors.UsageError: if nobody publishes them.
    """
    outputs = dict(features) if num_classes is None else classify()
    built = keras.Model(inputs, outputs, name=name)
    if weights is None:
        return built
    if weights == imagenet.WEIGHTS:
        imagenet.load(built, published)
    elif legacy is not None and legacy_weights.is_legacy(weights):
        legacy_weights.load(built, weights, legacy)
    else:
        weights_file.load(built, weights)
    return built


def refuse_drop_path(rate: float, *, name: str) -> None:
    """Refuse to drop paths of a model that has one path only.

    Raises:
        errors.UsageError: if the rate is not 0.
    """
    if rate:
        raise errors.UsageError(
            f"`drop_path_rate` must be 0 for {name}, which has no residual branches. "
            f"Received drop_path_rate={rate}.",
            "Leave it out, or choose a residual network.",
        )
