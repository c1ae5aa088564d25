"""What is checked of data and network before training, and against what?"""

from collections.abc import Callable
from typing import Any

import keras

from tfdl.data.sources import semantic
from tfdl.tasks.segmentation import feeding, lint, pictures, segmenter


def set_up(
    splits: feeding.Splits,
    build: Callable[[int], keras.Model],
    objective: Callable[[semantic.Source | semantic.Stream], segmenter.Objective],
) -> dict[str, Any]:
    """Say what is to be checked before training, and against what.

    Args:
        splits: of the data set.
        build: number of classes -> network.
        objective: train -> what is made small.

    Returns:
        The arguments of `tfdl.training.diagnostics.SetUp`.
    """
    names = splits.class_names
    network, goal = build(len(names)), objective(splits.sources["train"])

    def compiled(optimizer: keras.Optimizer) -> keras.Model:
        return goal.compile(network, optimizer)

    return {
        "feed": splits.training,
        "held_out": splits.held_out,
        "build": compiled,
        "found": lint.lint(splits.sources, image_size=splits.image_size),
        "pictures": {
            "train_batch": pictures.batch(**splits.first_batch(), class_names=names)
        },
        "start_losses": lambda batch: {"loss": goal.start_loss(batch[1], network)},
        "least_loss": lambda batch: 0.0,
    }
