"""How many pixels of the picture can a value of a feature map see?"""

import dataclasses
import math

import keras


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """What one position of a layer's output sees of the picture.

    Attributes:
        layer: name of the layer.
        size: height and width of the field in pixels; `math.inf` is the whole picture.
        stride: distance in pixels between the fields of neighbouring positions.
    """

    layer: str
    size: float
    stride: float


# What mixes positions: the window that one output value is computed from.
_WINDOWS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)
_POOLINGS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
_WHOLE = (
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.Flatten,
)


def walk(model: keras.Model) -> list[ReceptiveField]:
    """Follow the receptive field through a functional model.

    Where branches join, the larger field counts. Layers of a model within the model are
    followed as well. Dense layers, activations and normalisations (whose statistics of
    the picture are not counted) leave it as it is; transposed convolutions and
    upsampling are counted by what they gather.

    Args:
        model: a functional model of pictures, (batch, height, width, channels).

    Returns:
        One entry for each layer that has an input, in the order of computation.

    Reference:
        Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks",
        Distill, 2019, equation 2.
    """
    start = ReceptiveField("", size=1, stride=1)
    return _walk(model, {id(tensor): start for tensor in model.inputs})


def of_last_map(model: keras.Model) -> ReceptiveField:
    """Return the field of the last layer whose output still is a map of positions."""
    maps = [field for field in walk(model) if math.isfinite(field.size)]
    return maps[-1]


def _walk(model, fields: dict[int, ReceptiveField]) -> list[ReceptiveField]:
    walked = []
    for operation in model.operations:
        for node in operation._inbound_nodes:
            sources = [
                fields[id(t)] for t in node.input_tensors if id(t) in fields
            ]  # nodes of other models that share the layer have unknown inputs
            if not sources:
                continue
            if isinstance(operation, keras.Model):
                inner = dict.fromkeys(map(id, operation.inputs), _joined(sources))
                walked += _walk(operation, inner)
                result = walked[-1]
            else:
                result = _after(operation, _joined(sources))
                walked.append(result)
            fields |= dict.fromkeys(map(id, node.output_tensors), result)
    return walked


def _joined(fields: list[ReceptiveField]) -> ReceptiveField:
    size = max(field.size for field in fields)
    return ReceptiveField("", size, max(field.stride for field in fields))


def _after(layer, field: ReceptiveField) -> ReceptiveField:
    """Widen the field by a layer's window, then spread it by the layer's stride."""
    if isinstance(layer, _WHOLE):
        return ReceptiveField(layer.name, math.inf, math.inf)
    window, stride = 1, 1.0
    if isinstance(layer, keras.layers.Conv2DTranspose):
        stride = 1 / layer.strides[0]
        window = math.ceil(layer.kernel_size[0] * stride)
    elif isinstance(layer, _WINDOWS):
        window = 1 + (layer.kernel_size[0] - 1) * layer.dilation_rate[0]
        stride = layer.strides[0]
    elif isinstance(layer, _POOLINGS):
        window, stride = layer.pool_size[0], layer.strides[0]
    elif isinstance(layer, keras.layers.UpSampling2D):
        stride = 1 / layer.size[0]
    size = field.size + (window - 1) * (field.stride if window > 1 else 0)
    return ReceptiveField(layer.name, size, field.stride * stride)
