"""What is checked of data and detector before training, and against what?"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tfdl.tasks.detection import detector, feeding, lint, pictures


def set_up(
    splits: feeding.Splits,
    build: Callable[[int], detector.Detector],
    *,
    draw: Callable[..., np.ndarray] = pictures.batch,
) -> dict[str, Any]:
    """Say what is to be checked before training, and against what.

    Args:
        splits: of the data set.
        build: number of classes -> detector.
        draw: draws what `splits.first_batch` returns, with `class_names`.

    Returns:
        The arguments of `tfdl.training.diagnostics.SetUp`.
    """
    names = splits.class_names
    made = build(len(names))

    def compiled(optimizer: keras.Optimizer) -> keras.Model:
        return made.compile(optimizer)

    return {
        "feed": splits.training,
        "held_out": splits.held_out,
        "build": compiled,
        "found": lint.lint(
            splits.sources,
            image_size=splits.image_size,
            smallest_stride=made.smallest_stride,
        ),
        "pictures": {"train_batch": draw(**splits.first_batch(), class_names=names)},
        "start_losses": lambda batch: made.start_losses(batch[1]),
        "least_loss": lambda batch: 0.0,
    }
