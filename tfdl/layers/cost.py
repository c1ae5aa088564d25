"""What does a layer cost: parameters, multiplications and memory of activations?"""

import dataclasses
import math
from collections.abc import Sequence

import keras
import numpy as np

from tfdl import errors
from tfdl.layers import graph


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one call of a layer costs.

    Attributes:
        layer: name of the layer.
        kind: name of its class.
        output_shape: of one picture, without the batch.
        trainable: parameters that are trained; 0 in all calls but the layer's first.
        parameters: those and the others, such as moving averages; likewise.
        multiply_adds: for one picture.
        activation_bytes: of the outputs, for the whole batch.
    """

    layer: str
    kind: str
    output_shape: tuple[int, ...]
    trainable: int
    parameters: int
    multiply_adds: int
    activation_bytes: int


def of_layers(
    model: keras.Model, *, batch_size: int = 1, dtype: str | None = None
) -> list[Cost]:
    """Count what each call of a layer costs.

    Multiply-adds are those of kernels: convolutions of all kinds and dense layers, an
    addition and a multiplication counted as one. Biases, normalisations, activations,
    poolings and additions are not counted. This is torchvision's convention, and most
    papers'; "FLOPs" often are twice as many.

    Activations are all outputs of all layers, each once, as they are kept for the
    backward pass where nothing is fused or computed again; a reshaped tensor is the
    same memory and counts as nothing. The picture, the weights, gradients and the
    optimizer's slots come on top. In inference most of them are freed at once.

    Args:
        model: a functional model whose picture has a known size.
        batch_size: pictures whose activations are held.
        dtype: of the activations, such as "bfloat16"; by default that of each tensor.

    Returns:
        One entry for each call, in the order of computation; those of models within
        the model included.

    Raises:
        errors.UsageError: if a size is not known.
    """
    counted, costs = set(), []
    for call in graph.calls(model):
        if call.is_passage:
            continue
        is_new = id(call.layer) not in counted
        counted.add(id(call.layer))
        costs.append(_cost(call, batch_size, dtype, is_new=is_new))
    return costs


def total(costs: Sequence[Cost]) -> Cost:
    """Add costs up.

    Args:
        costs: of the calls of one model, as `of_layers` returns them.

    Returns:
        Their sums; `output_shape` is empty.
    """
    counts = ("trainable", "parameters", "multiply_adds", "activation_bytes")
    sums = {name: sum(getattr(cost, name) for cost in costs) for name in counts}
    return Cost(layer="total", kind="", output_shape=(), **sums)


def _cost(call: graph.Call, batch_size, dtype, *, is_new) -> Cost:
    layer = call.layer
    trainable = getattr(layer, "trainable_weights", []) if is_new else []
    weights = getattr(layer, "weights", []) if is_new else []
    return Cost(
        layer=layer.name,
        kind=type(layer).__name__,
        output_shape=_shape(call, call.outputs[0]),
        trainable=sum(math.prod(weight.shape) for weight in trainable),
        parameters=sum(math.prod(weight.shape) for weight in weights),
        multiply_adds=_multiply_adds(call),
        activation_bytes=batch_size * _bytes(call, dtype),
    )


def _multiply_adds(call: graph.Call) -> int:
    """Use every value of every kernel once at every position."""
    # A transposed convolution spreads each of its inputs, the others gather an output.
    is_transposed = isinstance(call.layer, keras.layers.Conv2DTranspose)
    tensor = (call.inputs if is_transposed else call.outputs)[0]
    positions = math.prod(_shape(call, tensor)[:-1])
    kernels = [
        weight
        for weight in getattr(call.layer, "weights", [])
        if weight.name.endswith("kernel")
    ]
    return positions * sum(math.prod(kernel.shape) for kernel in kernels)


def _bytes(call: graph.Call, dtype) -> int:
    if isinstance(call.layer, keras.layers.Flatten | keras.layers.Reshape):
        return 0
    return sum(
        math.prod(_shape(call, tensor)) * np.dtype(dtype or tensor.dtype).itemsize
        for tensor in call.outputs
    )


def _shape(call: graph.Call, tensor) -> tuple[int, ...]:
    shape = tuple(tensor.shape[1:])
    if None in shape:
        raise errors.UsageError(
            "`model` must have a known picture size. Received a model whose layer "
            f"{call.layer.name} has the shape {shape}.",
            "Build it for one size, such as (224, 224, 3).",
        )
    return shape
