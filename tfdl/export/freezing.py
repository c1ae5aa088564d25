"""Makes constants of the variables behind a function, so that a graph runs faster."""

from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from tfdl.export import folding

# A graph is a protocol buffer, which holds at most 2 GB; the rest is for its nodes.
LIMIT_BYTES = 1_800_000_000


def weight_bytes(function: tf.types.experimental.PolymorphicFunction) -> int:
    """Count the bytes of the variables that a function reads.

    Args:
        function: a tf.function with an input signature.
    """
    variables = function.get_concrete_function().variables
    return sum(
        variable.dtype.size * variable.shape.num_elements() for variable in variables
    )


def precision(*functions: tf.types.experimental.PolymorphicFunction) -> str:
    """Name the lowest precision that some functions compute in.

    Args:
        *functions: tf.functions with an input signature.

    Returns:
        "float32", "bfloat16" or "float16".
    """
    graphs = [function.get_concrete_function().graph for function in functions]
    operations = [each for graph in graphs for each in graph.get_operations()]
    dtypes = {tensor.dtype for each in operations for tensor in each.outputs}
    low = [dtype.name for dtype in (tf.bfloat16, tf.float16) if dtype in dtypes]
    return (*low, "float32")[0]


def freeze(function: tf.types.experimental.PolymorphicFunction) -> Callable:
    """Build the same function without variables, its batch norms folded.

    Functions that call it share its constants: a SavedModel holds them once, however
    many signatures it has. Branches and loops may read variables too.

    Args:
        function: a tf.function with an input signature. It may return any nest of
            tensors; its variables are read now.

    Returns:
        The function of the same arguments, for use inside other tf.functions; the
        outputs' static shapes are those of `function`.
    """
    concrete = function.get_concrete_function()
    # Control flow is kept as it is: lowered, a function cannot be imported twice.
    constant = convert_to_constants.convert_variables_to_constants_v2(
        concrete, lower_control_flow=False
    )
    ends = [tensor.op.name for tensor in (*constant.inputs, *constant.outputs)]
    graph = folding.fold(constant.graph.as_graph_def(), ends=ends)
    imported = tf.compat.v1.wrap_function(
        lambda: tf.graph_util.import_graph_def(graph, name=""), []
    )
    pruned = imported.prune(
        [tensor.name for tensor in constant.inputs],
        [tensor.name for tensor in constant.outputs],
    )

    def frozen(*arguments: tf.Tensor):
        outputs = pruned(*arguments)
        for output, original in zip(outputs, concrete.outputs, strict=True):
            output.set_shape(original.shape)
        return tf.nest.pack_sequence_as(concrete.structured_outputs, outputs)

    return frozen
