"""FCN: classifiers as fully convolutional networks [Long 2015].

Counting traps: 136,152,917 parameters of FCN-32s on VGG16 with 21 classes, and
134,489,759 of FCN-8s, are with the transposed convolutions' kernels of 21 x 21
channels; the last of them is fixed, as in the paper, so that `count_params()` has it
and the trainable weights have not. torchvision's 35,322,218 of FCN-ResNet-50 are the
trainable ones with the auxiliary head; without it they are 32,957,013.
"""

from collections.abc import Sequence

import keras
import numpy as np

from tfdl import errors
from tfdl.backbones import BACKBONES, ends, imagenet
from tfdl.layers import blocks
from tfdl.tasks.segmentation import heads, trunk

FC_CHANNELS = 4096
IMAGENET_SHAPE = (224, 224, 3)  # of the pictures that VGG16's dense layers belong to
# The paper's scores start from zero, which keeps all before them from learning until
# they do. Nothing normalises what they see, so that they must be small.
SCORE_SPREAD = 0.05
_OF_CLASSIFIER = {"fc6": "classifier_fc1", "fc7": "classifier_fc2"}


def fcn(
    stride: int,
    image_shape: Sequence[int | None],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
    upsampling: str = "transposed_convolution",
    dropout_rate: float = 0.5,
) -> keras.Model:
    """Build FCN-32s, FCN-16s or FCN-8s on VGG16, or on another backbone.

    VGG16's dense layers become a convolution of 7 x 7 and one of 1 x 1. Their map is
    scored; the scores are doubled and added to those of the next finer map, as often as
    the stride asks for, and from there enlarged to the picture at once.

    Deviations from the paper: the 7 x 7 convolution pads its map by zeros, where the
    authors pad the picture by 100 pixels and cut the scores; scores start from small
    weights; all parts are trained at once. On another backbone the maps of stride 8, 16
    and 32 are scored as they are.

    Args:
        stride: 32, 16 or 8, of the scores that are enlarged to the picture.
        image_shape: (height, width, channels); height and width may be None.
        num_classes: number of logits.
        backbone: None for VGG16, or a key of `BACKBONES`.
        weights: of the backbone: "imagenet", a file, or None. VGG16's from ImageNet
            include the dense layers.
        width: factor on the number of channels.
        upsampling: of the scores, one of `heads.KINDS`. Transposed convolutions start
            as bilinear interpolation, and the last stays it.
        dropout_rate: after each of VGG16's dense layers.

    Returns:
        image, float32 (batch, height, width, channels) in [0, 1] -> {"logits": float32
        (batch, height, width, num_classes)}.

    Raises:
        UsageError: an argument is out of its range.

    Reference:
        Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015,
        sections 3 and 4.
    """
    ends.check_classifier(num_classes, dropout_rate=dropout_rate)
    if backbone is None:
        inputs, maps = _vgg_maps(image_shape, weights, width, dropout_rate)
    else:
        body = trunk.build(backbone, image_shape, weights=weights, width=width)
        trunk.check_strides(body, (8, 16, 32), backbone=backbone)
        inputs, maps = body.image, body.by_stride
    x = _scores(maps, 32, num_classes)
    for finer in (16, 8):
        if finer >= stride:
            x = heads.enlarged(
                x, maps[finer], upsampling, factor=2, name=f"upscore{finer}"
            )
            added = _scores(maps, finer, num_classes)
            x = keras.layers.Add(dtype="float32", name=f"sum{finer}")([x, added])
    x = heads.enlarged(
        x, inputs, upsampling, factor=stride, trainable=False, name="upscore"
    )
    name = f"fcn{stride}s" if backbone is None else f"fcn{stride}s_{backbone}"
    model = keras.Model(inputs, {"logits": x}, name=name)
    if backbone is None and weights == imagenet.WEIGHTS:
        classifier = BACKBONES["vgg16"](IMAGENET_SHAPE, weights=weights, width=width)
        convolutionalize(classifier, model)
    return model


def convolutionalize(classifier: keras.Model, model: keras.Model) -> None:
    """Give an FCN on VGG16 the weights of a classifier, but for the last layer.

    Where the 7 x 7 convolution sees the whole map of a picture of 224 pixels, the two
    then say the same.

    Args:
        classifier: VGG16 with its dense layers, of pictures of 224 pixels.
        model: of `fcn`, on VGG16, of the same width.

    Raises:
        UsageError: the dense layers do not fit.

    Reference:
        Long 2015, section 3.1, figure 2.
    """
    sources = {layer.name: layer for layer in classifier.layers}
    for layer in model.layers:
        source = sources.get(_OF_CLASSIFIER.get(layer.name, layer.name))
        if source is None or not layer.weights:
            continue
        shapes = [weight.shape for weight in layer.weights]
        values = source.get_weights()
        if [np.prod(shape) for shape in shapes] != [value.size for value in values]:
            raise errors.UsageError(
                f"layer {source.name} of {classifier.name} must have as many weights "
                f"as {layer.name}. Received {[value.shape for value in values]} for "
                f"{[tuple(shape) for shape in shapes]}.",
                "Build VGG16 for pictures of 224 pixels, and both of one width.",
            )
        layer.set_weights(
            [np.reshape(*pair) for pair in zip(values, shapes, strict=True)]
        )


def fcn_resnet(
    image_shape: Sequence[int | None],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
    upsampling: str = "bilinear",
    output_stride: int = 8,
    auxiliary: bool = True,
) -> keras.Model:
    """Build torchvision's FCN on ResNet-50, or on another backbone.

    The strides of the last two stages are dilations instead; a 3 x 3 convolution to a
    quarter of the channels is scored, and stretched over the picture.

    Args:
        image_shape: (height, width, channels); height and width may be None.
        num_classes: number of logits.
        backbone: None for ResNet-50, or a key of `BACKBONES`.
        weights: of the backbone: "imagenet", a file, or None.
        width: factor on the number of channels.
        upsampling: of the scores, one of `heads.KINDS`.
        output_stride: of the last map: 8, 16 or 32.
        auxiliary: whether there is a second head on the map before the last stage.

    Returns:
        image, float32 (batch, height, width, channels) in [0, 1] -> {"logits",
        "auxiliary": float32 (batch, height, width, num_classes)}, the latter if asked
        for.

    Raises:
        UsageError: an argument is out of its range.

    Reference:
        Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015;
        Yu et al., "Dilated Residual Networks", 2017; torchvision's `fcn_resnet50`.
    """
    ends.check_classifier(num_classes)
    body = trunk.build(
        backbone or "resnet50",
        image_shape,
        weights=weights,
        width=width,
        output_stride=output_stride,
    )
    *_, finer, x = body.features.values()
    x = heads.convolved_scores(x, num_classes, prefix="head")
    outputs = {
        "logits": heads.enlarged(
            x, body.image, upsampling, factor=output_stride, name="logits"
        )
    }
    if auxiliary:
        outputs["auxiliary"] = heads.auxiliary(finer, body.image, num_classes)
    name = f"fcn_{backbone or 'resnet50'}"
    return keras.Model(body.image, outputs, name=name)


def _vgg_maps(image_shape, weights, width, dropout_rate):
    """Return the input, and {32: what fc7 says, 16: pool4, 8: pool3}."""
    loaded = None if weights == imagenet.WEIGHTS else weights
    body = trunk.build("vgg16", image_shape, weights=loaded, width=width)
    channels = blocks.scaled(FC_CHANNELS, width)
    maps = body.by_stride
    x = maps[32]
    for name, kernel_size in (("fc6", 7), ("fc7", 1)):
        x = blocks.convolution(x, channels, kernel_size, activation="relu", name=name)
        x = heads.dropped(x, dropout_rate, name=name)
    return body.image, maps | {32: x}


def _scores(maps, stride, num_classes):
    return heads.scores(
        maps[stride], num_classes, spread=SCORE_SPREAD, name=f"score{stride}"
    )
