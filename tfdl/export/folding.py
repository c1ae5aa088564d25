"""Folds batch norms into the convolutions before them, in a graph of constants."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

_KERNEL = 1  # which input of a convolution it is
_STATISTICS = slice(1, 5)  # which inputs of a batch norm are known before it runs


def fold(graph: tf.compat.v1.GraphDef, *, ends: Sequence[str]) -> tf.compat.v1.GraphDef:
    """Replace every convolution and the batch norm after it by one with a bias.

    The norm multiplies a channel by s = scale / sqrt(variance + epsilon) and adds
    offset - mean * s; s goes into the kernel. It is computed in float64 and rounded
    once, so that answers differ by float32's rounding alone. TensorFlow then joins
    convolution, bias, addition of the shortcut and activation, which it does not with a
    norm in between. Convolutions in bfloat16 stay as they are: their kernels would be
    rounded a second time.

    Args:
        graph: with constants in place of variables.
        ends: nodes to keep: its inputs and outputs.

    Returns:
        A graph with the same names of inputs and outputs, and without what no output
        needs.
    """
    nodes = {node.name: node for node in graph.node}
    uses = _count_uses(graph)
    folded = tf.compat.v1.GraphDef(library=graph.library, versions=graph.versions)
    for node in graph.node:
        convolution = nodes.get(_source(node.input[0])) if node.input else None
        if _is_frozen_norm(node) and _is_convolution(convolution, uses):
            constants = [
                _constant(nodes, name)
                for name in (convolution.input[_KERNEL], *node.input[_STATISTICS])
            ]
            if all(constant is not None for constant in constants):
                folded.node.extend(_joined(convolution, node, *constants))
                continue
        folded.node.append(node)
    for node in folded.node:
        # An output waits for the reading of all variables, which are constants now.
        kept = [name for name in node.input if not _waits_for_constant(nodes, name)]
        node.input[:] = kept
    return _untrained(_needed(folded, ends))


def _untrained(graph):
    """Forget gradients that a layer wrote out: to save them needs what made them."""
    for nodes in (graph.node, *(each.node_def for each in graph.library.function)):
        for node in nodes:
            node.attr.pop("_gradient_op_type", None)
    return graph


def _needed(graph, ends: Sequence[str]):
    nodes = {node.name: node for node in graph.node}
    found, ahead = set(), list(ends)
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += map(_source, nodes[name].input)
    kept = tf.compat.v1.GraphDef(library=graph.library, versions=graph.versions)
    kept.node.extend(node for node in graph.node if node.name in found)
    return kept


def _count_uses(graph) -> dict[str, int]:
    uses = {}
    for node in graph.node:
        for name in node.input:
            uses[_source(name)] = uses.get(_source(name), 0) + 1
    return uses


def _source(name: str) -> str:
    """Name the node that an input comes from."""
    return name.lstrip("^").partition(":")[0]


def _is_frozen_norm(node) -> bool:
    return (
        node.op == "FusedBatchNormV3"
        and not node.attr["is_training"].b
        and node.attr["T"].type == tf.float32.as_datatype_enum
        and node.attr["data_format"].s == b"NHWC"
    )


def _is_convolution(node, uses: dict[str, int]) -> bool:
    kinds = ("Conv2D", "DepthwiseConv2dNative")
    return node is not None and node.op in kinds and uses[node.name] == 1


def _waits_for_constant(nodes: dict, name: str) -> bool:
    return name.startswith("^") and _origin(nodes, name).op == "Const"


def _origin(nodes: dict, name: str):
    """Find the node behind a name and all identities."""
    node = nodes[_source(name)]
    while node.op == "Identity":
        node = nodes[_source(node.input[0])]
    return node


def _constant(nodes: dict, name: str) -> np.ndarray | None:
    """Return the value behind a name, float64, or None where it is no constant."""
    node = _origin(nodes, name)
    if node.op != "Const":
        return None
    return tf.make_ndarray(node.attr["value"].tensor).astype(np.float64)


def _joined(convolution, norm, kernel, scale, offset, mean, variance) -> list:
    """Build the nodes that take the place of a norm."""
    factor = scale / np.sqrt(variance + norm.attr["epsilon"].f)
    bias = offset - mean * factor
    if convolution.op == "DepthwiseConv2dNative":
        factor = factor.reshape(kernel.shape[2:])  # (channels, multiplier)
    kernel_node = _constant_node(f"{norm.name}/kernel", kernel * factor)
    bias_node = _constant_node(f"{norm.name}/bias", bias)

    scaled = tf.compat.v1.NodeDef()
    scaled.CopyFrom(convolution)
    scaled.name = f"{norm.name}/convolution"
    scaled.input[_KERNEL] = kernel_node.name

    added = tf.compat.v1.NodeDef(name=norm.name, op="BiasAdd")
    added.input.extend([scaled.name, bias_node.name])
    for attribute in ("T", "data_format"):
        added.attr[attribute].CopyFrom(norm.attr[attribute])
    return [kernel_node, bias_node, scaled, added]


def _constant_node(name: str, value: np.ndarray):
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.float32.as_datatype_enum
    tensor = tf.make_tensor_proto(value.astype(np.float32))
    node.attr["value"].tensor.CopyFrom(tensor)
    return node
