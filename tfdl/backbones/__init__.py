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

import functools

from tfdl.backbones import cifar_resnet, lenet, resnet

BACKBONES = {
    "lenet5": lenet.lenet5,
    "cifar_resnet20": functools.partial(cifar_resnet.cifar_resnet, 20),
    "cifar_resnet32": functools.partial(cifar_resnet.cifar_resnet, 32),
    "cifar_resnet44": functools.partial(cifar_resnet.cifar_resnet, 44),
    "cifar_resnet56": functools.partial(cifar_resnet.cifar_resnet, 56),
    "cifar_resnet110": functools.partial(cifar_resnet.cifar_resnet, 110),
    "resnet18": functools.partial(resnet.resnet, 18),
    "resnet34": functools.partial(resnet.resnet, 34),
}
