"""Which layers does a functional model call, in which order and on which tensors?"""

import dataclasses
from collections.abc import Iterator

import keras


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        layer: the layer, or an operation of `keras.ops`.
        inputs: the tensors that it was called on.
        outputs: the tensors that it returned.
    """

    layer: keras.Operation
    inputs: tuple[keras.KerasTensor, ...]
    outputs: tuple[keras.KerasTensor, ...]

    @property
    def is_passage(self) -> bool:
        """Whether tensors only enter or leave a model within the model."""
        return isinstance(self.layer, keras.Model)


def calls(model: keras.Model) -> Iterator[Call]:
    """List the calls of a model, each after those that its inputs come from.

    A layer that is called several times is listed as often. A model within the model
    is followed: its tensors enter, its layers are called and its tensors leave; both
    passages are calls of that model, from one tensor to one tensor.

    Args:
        model: a functional or sequential model.
    """
    # Keras has no public way from a tensor to the call that made it; this is what its
    # own functional models run through. Every walk of ours starts here.
    nodes = getattr(model, "_functional", model)._nodes_by_depth
    for depth in sorted(nodes, reverse=True):
        for node in nodes[depth]:
            if node.is_input:
                continue
            call = Call(
                node.operation, tuple(node.input_tensors), tuple(node.output_tensors)
            )
            yield from _within(call) if call.is_passage else (call,)


def _within(call: Call) -> Iterator[Call]:
    inner = call.layer
    for outside, inside in zip(call.inputs, inner.inputs, strict=True):
        yield Call(inner, (outside,), (inside,))
    yield from calls(inner)
    for inside, outside in zip(inner.outputs, call.outputs, strict=True):
        yield Call(inner, (inside,), (outside,))
