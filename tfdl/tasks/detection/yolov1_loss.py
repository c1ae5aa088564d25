"""What does YOLO's grid learn from the objects of a picture?

Every object is learnt by the cell in which its centre lies, and there by that of the
cell's boxes which overlaps it most. All other boxes learn that they have no object.
"""

import dataclasses
from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from tfdl.ops import anchors, boxes as boxes_of
from tfdl.tasks.detection import places as places_of

Tensors = Mapping[str, keras.KerasTensor]

BOXES_PER_CELL = 2
BOX_WEIGHT = 5.0  # lambda_coord [Redmon 2016, 2.2]
NO_OBJECT_WEIGHT = 0.5  # lambda_noobj
# Of an untrained network: boxes in the middle of their cells, a quarter of the picture.
START_OFFSET = 0.5


@dataclasses.dataclass(frozen=True)
class Grid:
    """The cells, row by row.

    Attributes:
        cells: (rows, columns).
        size: (height, width) of the picture, pixels.
    """

    cells: tuple[int, int]
    size: tuple[int, int]

    @property
    def num_cells(self) -> int:
        """Number of cells of a picture."""
        return self.cells[0] * self.cells[1]

    def boxes(self, offsets: keras.KerasTensor) -> keras.KerasTensor:
        """Read boxes.

        Args:
            offsets: float32 (batch, num_cells, boxes, 4): x and y as shares of the
                cell, then the square roots of width and height as shares of the
                picture, so that an error counts more in a small box.

        Returns:
            float32 (batch, num_cells, boxes, 4), pixels, not cut to the picture.
        """
        centres = anchors.grid(self.cells, self._stride)[:, None]
        shift = (offsets[..., :2] - 0.5) * self._stride[::-1]
        # A root below 0 has no meaning; its gradient leads out of there all the same.
        sides = ops.square(offsets[..., 2:]) * np.float32(self.size[::-1])
        return boxes_of.from_cxcywh(ops.concatenate([shift + centres, sides], axis=-1))

    def placed(
        self, boxes: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Find the cell of each object and write what `boxes` reads there.

        Args:
            boxes: float32 (batch, objects, 4), pixels.

        Returns:
            The cell's number, int32 (batch, objects), and float32 (batch, objects, 4),
            all in [0, 1].
        """
        box = boxes_of.to_cxcywh(boxes)
        place = box[..., :2] / self._stride[::-1]
        cell = ops.clip(ops.floor(place), 0.0, np.float32(self.cells[::-1]) - 1)
        column, row = (ops.cast(cell[..., axis], "int32") for axis in (0, 1))
        share = ops.maximum(box[..., 2:] / np.float32(self.size[::-1]), 0)
        offsets = ops.concatenate([place - cell, ops.sqrt(share)], axis=-1)
        return row * self.cells[1] + column, ops.clip(offsets, 0.0, 1.0)

    @property
    def _stride(self):
        """Height and width of a cell in pixels, float32 (2,)."""
        return np.float32(self.size) / np.float32(self.cells)


def targets(grid: Grid, objects: Tensors) -> Tensors:
    """Assign each object to its cell; of several there, the largest has it.

    Args:
        grid: of the network.
        objects: as `detector.Detector` has them.

    Returns:
        {"boxes": float32 (batch, objects, 4), pixels, zeros for padding,
        "places": int32 (batch, objects), numbers of cells,
        "offsets": float32 (batch, objects, 4), see `Grid.boxes`,
        "labels": int32 (batch, objects), 0 for padding,
        "weights": float32 (batch, objects), 0 for padding and what has no cell}.
    """
    is_real = objects["weights"] > 0
    boxes = ops.where(is_real[..., None], objects["boxes"], 0.0)
    places, offsets = grid.placed(boxes)
    return {
        "boxes": boxes,
        "places": places,
        "offsets": offsets,
        "labels": ops.maximum(objects["labels"], 0),
        "weights": places_of.owners(places, boxes, objects["weights"]),
    }


def losses(grid: Grid, targets: Tensors, outputs: Tensors) -> Tensors:
    """Compare the network's outputs with the targets by squared errors.

    An object's confidence is its IoU with the box, which is a constant to the gradient.

    Args:
        grid: of the network.
        targets: of `targets`.
        outputs: of the network.

    Returns:
        {"box", "object", "no_object", "classes"}, float32 (batch,) each: the sums of
        the paper's equation 3 over the picture, the box's times 5, that of the boxes
        without object times 0.5; divided by the number of objects that have a cell, at
        least 1.
    """
    outputs = {name: ops.cast(raw, "float32") for name, raw in outputs.items()}
    weights, places = targets["weights"], targets["places"]
    own = {name: places_of.predicted(raw, places) for name, raw in outputs.items()}
    found = ops.stop_gradient(grid.boxes(outputs["boxes"]))
    overlap = boxes_of.iou(
        places_of.predicted(found, places), targets["boxes"][:, :, None]
    )[..., 0]  # (batch, objects, boxes of a cell)
    is_responsible = ops.one_hot(ops.argmax(overlap, axis=2), BOXES_PER_CELL)
    offsets = targets["offsets"][:, :, None]
    wrong_box = ops.sum(ops.square(own["boxes"] - offsets), axis=3)
    wrong_confidence = ops.square(own["confidence"] - overlap)
    one_hot = ops.one_hot(targets["labels"], own["classes"].shape[-1])
    wrong_class = ops.sum(ops.square(own["classes"] - one_hot), axis=2)
    is_taken = _taken(grid, targets, is_responsible)
    unfounded = (1 - is_taken) * ops.square(outputs["confidence"])
    count = _num_objects(targets)

    def of_responsible(wrong):
        return ops.sum(weights * ops.sum(is_responsible * wrong, axis=2), axis=1)

    return {
        "box": BOX_WEIGHT * of_responsible(wrong_box) / count,
        "object": of_responsible(wrong_confidence) / count,
        "no_object": NO_OBJECT_WEIGHT * ops.sum(unfounded, axis=(1, 2)) / count,
        "classes": ops.sum(weights * wrong_class, axis=1) / count,
    }


def start_losses(grid: Grid, targets: Tensors) -> dict[str, float]:
    """Say what a network costs that answers the same box everywhere, and no class.

    All confidences and class probabilities are 0: an object costs its squared IoU with
    the start box of its cell, and 1 for its class. What has no object costs nothing.

    Args:
        grid: of the network.
        targets: of `targets`.

    Returns:
        {"box", "object", "classes"}, means over the batch.
    """
    weights, count = targets["weights"], _num_objects(targets)
    start = grid.boxes(ops.full((1, grid.num_cells, 1, 4), START_OFFSET))[0, :, 0]
    start = ops.take(start, targets["places"], axis=0)
    overlap = boxes_of.iou(start[:, :, None], targets["boxes"][:, :, None])
    wrong = {
        "box": BOX_WEIGHT
        * ops.sum(ops.square(START_OFFSET - targets["offsets"]), axis=2),
        "object": ops.square(overlap[..., 0, 0]),
        "classes": ops.ones_like(weights),
    }
    return {
        name: float(ops.mean(ops.sum(weights * each, axis=1) / count))
        for name, each in wrong.items()
    }


def _num_objects(targets):
    """Count the objects that are learnt, float32 (batch,), at least 1."""
    count = ops.sum(ops.cast(targets["weights"] > 0, "float32"), axis=1)
    return ops.maximum(count, 1)


def _taken(grid, targets, is_responsible):
    """Mark the boxes with an object -> float32 (batch, num_cells, boxes of a cell)."""
    is_learnt = ops.cast(targets["weights"] > 0, "float32")
    marks = [
        places_of.spread(
            is_learnt * is_responsible[..., number], targets["places"], grid.num_cells
        )
        for number in range(BOXES_PER_CELL)
    ]
    return ops.stack(marks, axis=2)
