"""Backbones: image -> logits, or -> {"c1", "c2", ...} feature maps.

Every entry of `BACKBONES` is called alike:

    BACKBONES[name](image_shape, num_classes=1000, weights=None, width=1.0,
                    output_stride=32, *, normalization="batch", dropout_rate=...,
                    spatial_dropout_rate=0.0, drop_path_rate=...)

- image_shape: (height, width, channels). The input is float32 in [0, 1]; the model's
  first layer normalises it. Height and width may be None where the model allows it.
- num_classes: the model returns logits, float32 (batch, num_classes); with None it
  returns the feature maps, a dict of float (batch, height / stride, width / stride,
  channels) whose strides are in each family's docstring.
- weights: path of a `.weights.h5` file (`weights.load`), "imagenet" where
  keras.applications has them (downloaded once, see `imagenet`), None for random ones.
- width: factor on the number of channels.
- output_stride: the last feature map's stride is at most this; strides beyond it become
  dilation. 32 leaves every model as published.
- normalization: a kind of `norms.normalization`; without effect on a model that has no
  normalisation or another one, such as AlexNet.
- dropout_rate: before the dense layers; by default the paper's.
- spatial_dropout_rate: of the dropout of whole channels after every stage.
- drop_path_rate: of the last residual branch in training, rising linearly from the
  first; by default the paper's. A model without such branches takes 0 alone.

What is out of its range is an errors.UsageError, weights that cannot be loaded are an
errors.ModelFileError, and what cannot be downloaded is an errors.NetworkError.
"""

from functools import partial

from tfdl.backbones import (
    alexnet,
    cifar_resnet,
    darknet,
    densenet,
    dropconnect,
    efficientnet,
    fractalnet,
    fractional,
    googlenet,
    inception_resnet_v2,
    inception_v3,
    lenet,
    maxout,
    mobilenet_v1,
    mobilenet_v2,
    nin,
    resnet,
    resnet_v1,
    resnet_v2,
    resnext,
    squeezenet,
    vgg,
    wide_resnet,
    xception,
    zfnet,
)

BACKBONES = {
    "lenet5": lenet.lenet5,
    "lenet5_1998": lenet.lenet5_1998,
    "alexnet": partial(alexnet.alexnet, "alexnet"),
    "alexnet_grouped": partial(alexnet.alexnet, "alexnet_grouped"),
    "alexnet_torchvision": partial(alexnet.alexnet, "alexnet_torchvision"),
    "zfnet": zfnet.zfnet,
    "vgg11": partial(vgg.vgg, 11, False),
    "vgg13": partial(vgg.vgg, 13, False),
    "vgg16": partial(vgg.vgg, 16, False),
    "vgg19": partial(vgg.vgg, 19, False),
    "vgg11_bn": partial(vgg.vgg, 11, True),
    "vgg13_bn": partial(vgg.vgg, 13, True),
    "vgg16_bn": partial(vgg.vgg, 16, True),
    "vgg19_bn": partial(vgg.vgg, 19, True),
    "nin": nin.nin,
    "cifar_nin": nin.cifar_nin,
    "googlenet": googlenet.googlenet,
    "googlenet_bn": googlenet.googlenet_bn,
    "inception_v3": inception_v3.inception_v3,
    "inception_resnet_v2": inception_resnet_v2.inception_resnet_v2,
    "xception": xception.xception,
    "resnet18": partial(resnet.resnet, 18),
    "resnet34": partial(resnet.resnet, 34),
    "resnet50": partial(resnet.resnet, 50),
    "resnet101": partial(resnet.resnet, 101),
    "resnet152": partial(resnet.resnet, 152),
    "resnet50_v1": partial(resnet_v1.resnet_v1, 50),
    "resnet101_v1": partial(resnet_v1.resnet_v1, 101),
    "resnet152_v1": partial(resnet_v1.resnet_v1, 152),
    "resnet50_v2": partial(resnet_v2.resnet_v2, 50),
    "resnet101_v2": partial(resnet_v2.resnet_v2, 101),
    "resnet152_v2": partial(resnet_v2.resnet_v2, 152),
    "cifar_resnet20": partial(cifar_resnet.cifar_resnet, 20),
    "cifar_resnet32": partial(cifar_resnet.cifar_resnet, 32),
    "cifar_resnet44": partial(cifar_resnet.cifar_resnet, 44),
    "cifar_resnet56": partial(cifar_resnet.cifar_resnet, 56),
    "cifar_resnet110": partial(cifar_resnet.cifar_resnet, 110),
    "wrn_16_4": partial(wide_resnet.cifar_wide_resnet, 16, 4),
    "wrn_16_8": partial(wide_resnet.cifar_wide_resnet, 16, 8),
    "wrn_28_10": partial(wide_resnet.cifar_wide_resnet, 28, 10),
    "wrn_40_4": partial(wide_resnet.cifar_wide_resnet, 40, 4),
    "wide_resnet50_2": partial(wide_resnet.wide_resnet, 50, 2),
    "wide_resnet101_2": partial(wide_resnet.wide_resnet, 101, 2),
    "resnext50_32x4d": partial(resnext.resnext, 50, 32, 4),
    "resnext101_32x4d": partial(resnext.resnext, 101, 32, 4),
    "resnext101_32x8d": partial(resnext.resnext, 101, 32, 8),
    "fractalnet": fractalnet.fractalnet,
    "densenet121": partial(densenet.densenet, 121),
    "densenet161": partial(densenet.densenet, 161),
    "densenet169": partial(densenet.densenet, 169),
    "densenet201": partial(densenet.densenet, 201),
    "densenet_40_12": partial(densenet.cifar_densenet, 40, False),
    "densenet_bc_100_12": partial(densenet.cifar_densenet, 100, True),
    "squeezenet1_0": squeezenet.squeezenet1_0,
    "squeezenet1_1": squeezenet.squeezenet1_1,
    "mobilenet_v1": mobilenet_v1.mobilenet_v1,
    "mobilenet_v2": mobilenet_v2.mobilenet_v2,
    "efficientnet_b0": partial(efficientnet.efficientnet, 0),
    "efficientnet_b1": partial(efficientnet.efficientnet, 1),
    "efficientnet_b2": partial(efficientnet.efficientnet, 2, dropout_rate=0.3),
    "efficientnet_b3": partial(efficientnet.efficientnet, 3, dropout_rate=0.3),
    "efficientnet_b4": partial(efficientnet.efficientnet, 4, dropout_rate=0.4),
    "efficientnet_b5": partial(efficientnet.efficientnet, 5, dropout_rate=0.4),
    "efficientnet_b6": partial(efficientnet.efficientnet, 6, dropout_rate=0.5),
    "efficientnet_b7": partial(efficientnet.efficientnet, 7, dropout_rate=0.5),
    "darknet53": darknet.darknet53,
    "cspdarknet": darknet.cspdarknet,
    "maxout_cifar": maxout.maxout_cifar,
    "dropconnect_cifar": dropconnect.dropconnect_cifar,
    "fractional_cifar": fractional.fractional_cifar,
}

# As they are trained: {"logits", "auxiliary1", ...}, see `googlenet`.
WITH_AUXILIARY = {
    "googlenet": partial(googlenet.googlenet, auxiliary=True),
    "googlenet_bn": partial(googlenet.googlenet_bn, auxiliary=True),
    "inception_v3": partial(inception_v3.inception_v3, auxiliary=True),
}
