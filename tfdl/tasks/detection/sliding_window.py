"""Sliding windows: a classifier of small pictures, asked everywhere in a large one.

There are two ways, and both answer with logits (batch, rows, columns, classes), one for
each window of `windows`:

- `convolutional` turns the classifier into a network that computes what neighbouring
  windows share only once [Sermanet 2013, 3.5]. It is exact where no layer pads: a
  padded convolution sees zeros at the border of a crop, and the neighbour's pixels in
  the middle of a picture. Of `tfdl.backbones` these are lenet5 and lenet5_1998, for
  pictures of 32 pixels or more, which they do not pad.
- `classify_crops` asks any classifier about each window by itself.

`detections` runs either over a pyramid of scales and answers as a detector does.
"""

from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
from keras import layers, ops

from tfdl import errors
from tfdl.layers import (
    graph,
    grouped_convolution,
    local_response,
    receptive_field,
    sparse_convolution,
    subsampling,
)

CROPS_AT_ONCE = 256
# What sees each value by itself: also of a map that has been flattened.
_ELEMENTWISE = (layers.Dropout, layers.LeakyReLU, layers.ReLU)
# What sees the channels of one place.
_POINTWISE = (
    layers.Activation,
    layers.BatchNormalization,
    layers.Rescaling,
    layers.SpatialDropout2D,
    local_response.LocalResponseNormalization,
)
# What sees a neighbourhood, alike at every place; none of it if it pads.
_LOCAL = (
    layers.AveragePooling2D,
    layers.Conv2D,
    layers.DepthwiseConv2D,
    layers.MaxPooling2D,
    layers.SeparableConv2D,
    grouped_convolution.GroupedConv2D,
    sparse_convolution.SparseConv2D,
    subsampling.Subsampling2D,
)
# What sees a whole map, and what does the same to the map of every window.
_POOLED = {
    layers.GlobalAveragePooling2D: layers.AveragePooling2D,
    layers.GlobalMaxPooling2D: layers.MaxPooling2D,
}


def convolutional(
    classifier: keras.Model, image_shape: Sequence[int | None]
) -> keras.Model:
    """Let a classifier slide over larger pictures, as one network.

    Flattening and a dense layer become a convolution with the reshaped kernel, global
    pooling becomes pooling of the window's map, further dense layers convolutions of
    1 x 1; all other layers are copied. Weights are copied, too: training one model
    leaves the other alone.

    Args:
        classifier: a chain of layers, float (batch, height, width, channels) -> (batch,
            classes), of a known size: the window.
        image_shape: (height, width, channels) of the pictures; height and width may be
            None.

    Returns:
        images -> logits, float (batch, rows, columns, classes), for the windows that
        `windows` lists with the strides of `strides`.

    Raises:
        UsageError: a layer pads or sees more than its window, or layers branch: then
            crops say something else. Or a picture is smaller than the window.

    Reference:
        Sermanet 2013, OverFeat, section 3.5.
    """
    window = classifier.input_shape[1:3]
    _check_sizes(window, image_shape)
    chain = _exact_chain(classifier)
    x = inputs = keras.Input(tuple(image_shape), name="image")
    # Strides may leave a rest of the window unseen: cut off, it adds no window.
    seen, _ = _geometry(classifier)
    rest = [(0, side - part) for side, part in zip(window, seen, strict=True)]
    if np.any(rest):
        x = layers.Cropping2D(tuple(rest), name="unseen_rest")(x)
    area, copies = (1, 1), []
    for call in chain:
        copy, area = _slid(call, area)
        if copy is not None:
            x = copy(x)
            copies.append((call.layer, copy))
    if area != (1, 1):
        raise _inexact(chain[-1].layer, "flattens a map that no dense layer sees")
    _copy_weights(copies)
    return keras.Model(inputs, x, name=f"{classifier.name}_sliding")


def strides(classifier: keras.Model) -> tuple[int, int]:
    """Say how far apart the windows of `convolutional` are: rows and columns, pixels.

    Raises:
        UsageError: as `convolutional`.
    """
    window = classifier.input_shape[1:3]
    _check_sizes(window, classifier.input_shape[1:])
    _exact_chain(classifier)
    return _geometry(classifier)[1]


def windows(
    size: Sequence[int], *, window: Sequence[int], strides: Sequence[int]
) -> np.ndarray:
    """List the windows that lie within a picture, the first at its corner.

    Args:
        size: height and width of the picture, at least those of the window.
        window: height and width of a window, pixels.
        strides: from one window to the next below, and to its right, pixels.

    Returns:
        Boxes, float32 (rows, columns, 4), pixels.
    """
    starts = (
        np.arange(0, whole - part + 1, stride)
        for whole, part, stride in zip(size, window, strides, strict=True)
    )
    top, left = np.meshgrid(*starts, indexing="ij")
    height, width = window
    return np.stack([left, top, left + width, top + height], -1).astype(np.float32)


def classify_crops(
    classifier: keras.Model, images: np.ndarray, *, strides: Sequence[int]
) -> np.ndarray:
    """Ask a classifier, of whatever layers, about each window by itself.

    Args:
        classifier: float32 (batch, height, width, channels) -> logits (batch, classes),
            of a known size: the window.
        images: float32 (batch, height, width, channels) in [0, 1], of one size.
        strides: from one window to the next below, and to its right, pixels.

    Returns:
        Logits, float32 (batch, rows, columns, classes), in the order of `windows`.

    Raises:
        UsageError: a picture is smaller than the window.
    """
    images = np.asarray(images, np.float32)
    window = classifier.input_shape[1:3]
    _check_sizes(window, images.shape[1:])
    views = np.lib.stride_tricks.sliding_window_view(images, window, axis=(1, 2))
    views = views[:, :: strides[0], :: strides[1]]
    views = np.moveaxis(views, 3, -1)  # (batch, rows, columns, height, width, channels)
    places = np.indices(views.shape[:3]).reshape(3, -1)
    logits = [
        classifier.predict_on_batch(views[tuple(some)]) for some in _portions(places)
    ]
    return np.concatenate(logits).reshape(*views.shape[:3], -1)


def detections(
    classify: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    *,
    window: Sequence[int],
    strides: Sequence[int],
    scales: Sequence[float] = (1.0,),
    background: int | None = None,
) -> dict[str, np.ndarray]:
    """Take each window of an image pyramid for a candidate, as a detector's `decode`.

    Args:
        classify: images -> logits of their windows: `convolutional` with an unknown
            height and width, or `classify_crops` of a classifier.
        images: float32 (batch, height, width, channels) in [0, 1], of one size.
        window: height and width that the classifier takes.
        strides: from one window to the next below, and to its right, pixels.
        scales: factors on the pictures: a window in half a picture finds what is twice
            as large. Scales at which no window fits are left out.
        background: the class that is no object, left out of the scores; None if there
            is none.

    Returns:
        {"boxes": float32 (batch, candidates, 4), pixels of the images, "scores":
        float32 (batch, candidates, classes) in [0, 1], the softmax}, for
        `tfdl.ops.nms.suppress`.

    Raises:
        UsageError: no window fits at any scale.
    """
    images = np.asarray(images, np.float32)
    boxes, scores = [], []
    for resized, ratio in _pyramid(images, window, scales):
        logits = ops.cast(ops.convert_to_tensor(classify(resized)), "float32")
        shares = ops.convert_to_numpy(ops.softmax(logits, axis=-1))
        found = windows(resized.shape[1:3], window=window, strides=strides) * ratio
        boxes.append(found.reshape(-1, 4))
        scores.append(shares.reshape(len(images), -1, shares.shape[-1]))
    joined = np.concatenate(scores, axis=1)
    if background is not None:
        joined = np.delete(joined, background, axis=-1)
    everywhere = np.concatenate(boxes).astype(np.float32)
    return {
        "boxes": np.broadcast_to(everywhere, (len(images), *everywhere.shape)),
        "scores": joined,
    }


def _slid(call: graph.Call, area: tuple[int, int]):
    """Return a layer's like on larger maps, and which area the next dense layer sees.

    Args:
        call: of the classifier's layer.
        area: rows and columns of the map that has been flattened, which the larger map
            still has; (1, 1) where none is pending.
    """
    layer, size = call.layer, call.inputs[0].shape[1:3]
    options = {"dtype": layer.dtype_policy, "name": layer.name}
    if isinstance(layer, layers.Flatten):
        return None, size if len(call.inputs[0].shape) == 4 else area
    if type(layer) in _POOLED:
        return _POOLED[type(layer)](size, 1, **options), (1, 1)
    if isinstance(layer, layers.Dense):
        convolution = layers.Conv2D(
            layer.units,
            area,
            activation=layer.activation,
            use_bias=layer.use_bias,
            **options,
        )
        return convolution, (1, 1)
    if area != (1, 1) and not isinstance(layer, _ELEMENTWISE):
        raise _inexact(layer, "sees a flattened map")
    return layer.__class__.from_config(layer.get_config()), area


def _copy_weights(copies) -> None:
    """Copy weights, those of dense layers into the shape of a convolution's."""
    for layer, copy in copies:
        shapes = [weight.shape for weight in copy.weights]
        values = zip(layer.get_weights(), shapes, strict=True)
        copy.set_weights([np.reshape(value, shape) for value, shape in values])


def _exact_chain(classifier: keras.Model) -> list[graph.Call]:
    """List the calls of layers that follow each other; refuse what is not exact."""
    last, chain = classifier.inputs[0], []
    for call in graph.calls(classifier):
        if len(call.inputs) != 1 or call.inputs[0] is not last:
            raise _inexact(call.layer, "is not in a chain")
        last = call.outputs[0]
        if not call.is_passage:
            _check_exact(call.layer)
            chain.append(call)
    return chain


def _check_exact(layer: keras.Operation) -> None:
    """Refuse a layer that does not do the same in a crop and in a picture."""
    kinds = (*_ELEMENTWISE, *_POINTWISE, *_POOLED, layers.Dense, layers.Flatten)
    if isinstance(layer, _LOCAL):
        sizes = getattr(layer, "kernel_size", getattr(layer, "pool_size", ()))
        if getattr(layer, "padding", "valid") != "valid" and max(sizes) > 1:
            raise _inexact(layer, "pads")
    elif isinstance(layer, layers.ZeroPadding2D):
        if np.any(layer.padding):
            raise _inexact(layer, "pads")
    elif not isinstance(layer, kinds):
        raise _inexact(layer, f"is a {type(layer).__name__}, which may see the rest")


def _inexact(layer, reason) -> errors.UsageError:
    return errors.UsageError(
        f"Layer {layer.name} {reason}: a sliding network would not answer as the "
        "classifier does for each crop.",
        "Use `classify_crops`, or a classifier such as lenet5 of 32 pixels or more.",
    )


def _geometry(classifier) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the window's pixels, from its corner, that are seen, and the strides."""
    local = [field for field in receptive_field.walk(classifier) if not field.is_whole]
    if not local:  # the first layer sees the whole window
        return classifier.input_shape[1:3], (1, 1)
    axes = zip((local[-1].rows, local[-1].columns), local[-1].output_size, strict=True)
    seen = tuple(int(axis.span(size - 1)[1]) + 1 for axis, size in axes)
    return seen, tuple(int(stride) for stride in local[-1].stride)


def _check_sizes(window, image_shape) -> None:
    if None in window:
        raise errors.UsageError(
            f"The classifier must have a known size. Received {tuple(window)}.",
            "Build it for pictures of the window's size.",
        )
    sides = zip(image_shape[:2], window, strict=True)
    if any(whole is not None and whole < part for whole, part in sides):
        raise errors.UsageError(
            f"`image_shape` must be at least the window, {tuple(window)}. "
            f"Received {tuple(image_shape)}.",
            "Give larger pictures, or a classifier of smaller ones.",
        )


def _portions(places: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, places.shape[1], CROPS_AT_ONCE):
        yield places[:, start : start + CROPS_AT_ONCE]


def _pyramid(images, window, scales):
    """Resize pictures -> these, and what takes their boxes back, float32 (4,)."""
    size = np.array(images.shape[1:3])
    sizes = [np.round(size * scale).astype(int) for scale in scales]
    sizes = [some for some in sizes if np.all(some >= window)]
    if not sizes:
        raise errors.UsageError(
            f"`scales` leave no picture as large as the window, {tuple(window)}. "
            f"Received scales={tuple(scales)} for {tuple(size)} pixels.",
            "Give larger scales or pictures.",
        )
    for some in sizes:
        ratio = np.tile((size / some)[::-1], 2).astype(np.float32)
        if np.array_equal(some, size):
            yield images, ratio
        else:
            resized = ops.image.resize(images, tuple(some.tolist()), antialias=True)
            yield ops.convert_to_numpy(resized), ratio
