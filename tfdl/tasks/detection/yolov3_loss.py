"""What does YOLOv3 learn from the objects of a picture?

Every object is learnt by one candidate, that of its cell and of the anchor most like
it, where it costs a box and a class. All candidates learn whether they have an object,
but for those whose box overlaps one by more than half without having it.
"""

from collections.abc import Mapping

import keras
from keras import ops

from tfdl.ops import boxes as boxes_of, losses as elements
from tfdl.tasks.detection import places as places_of
from tfdl.tasks.detection.yolov3_grid import Grid

Tensors = Mapping[str, keras.KerasTensor]

OBJECTNESS_PRIOR = 0.01  # of an untrained network
IGNORED_ABOVE = 0.5  # IoU [Redmon 2018, 2.1]
_CHUNK = 16  # objects whose overlaps are in memory at once
_CERTAIN = 1e-6  # how near to the border of its cell a centre is taken to be


def targets(grid: Grid, objects: Tensors) -> Tensors:
    """Assign each object to its candidate; of several there, the largest has it.

    Args:
        grid: of the network.
        objects: as `detector.Detector` has them.

    Returns:
        {"boxes": float32 (batch, objects, 4), pixels, zeros for padding,
        "places": int32 (batch, objects), along the candidates,
        "offsets": float32 (batch, objects, 4), see `Grid.offsets`,
        "labels": int32 (batch, objects), 0 for padding,
        "weights": float32 (batch, objects), 0 for padding and what has no place,
        "objectness": float32 (batch, candidates), weight of the object of each, or 0}.
    """
    is_real = objects["weights"] > 0
    boxes = ops.where(is_real[..., None], objects["boxes"], 0.0)
    places = grid.places(boxes)
    weights = places_of.owners(places, boxes, objects["weights"])
    return {
        "boxes": boxes,
        "places": places,
        "offsets": grid.offsets(boxes, places),
        "labels": ops.maximum(objects["labels"], 0),
        "weights": weights,
        "objectness": places_of.spread(weights, places, grid.num_candidates),
    }


def losses(grid: Grid, targets: Tensors, outputs: Tensors) -> Tensors:
    """Compare the network's outputs with the targets.

    The box's error has the gradient of the authors' code, which is the paper's, target
    less prediction: binary cross-entropy of x and y, less that of a perfect answer, and
    half the squared error of the logarithms of the sides; both times 2 less the box's
    share of the picture, so that small boxes count up to twice.

    Args:
        grid: of the network.
        targets: of `targets`.
        outputs: of the network.

    Returns:
        {"box", "objectness", "classes"}, float32 (batch,) each, sums over the picture
        divided by the number of its objects that have a place, at least 1.
    """
    outputs = {name: ops.cast(raw, "float32") for name, raw in outputs.items()}
    weights, places = targets["weights"], targets["places"]
    own = {
        name: places_of.predicted(outputs[name], places)
        for name in ("boxes", "classes")
    }
    boxes = grid.boxes(ops.stop_gradient(outputs["boxes"]))
    one_hot = ops.one_hot(targets["labels"], own["classes"].shape[-1])
    wrong_class = elements.binary_cross_entropy(own["classes"], one_hot)
    share = boxes_of.area(targets["boxes"]) / (grid.size[0] * grid.size[1])
    wrong_box = (2 - share) * _box_errors(own["boxes"], targets["offsets"])
    has_object = targets["objectness"] > 0
    wrong_objectness = elements.binary_cross_entropy(
        outputs["objectness"], ops.cast(has_object, "float32")
    )
    counted = ops.where(
        has_object,
        targets["objectness"],
        ops.where(_best_overlap(boxes, targets["boxes"]) > IGNORED_ABOVE, 0.0, 1.0),
    )
    count = _num_objects(targets)
    return {
        "box": ops.sum(weights * wrong_box, axis=1) / count,
        "objectness": ops.sum(counted * wrong_objectness, axis=1) / count,
        "classes": ops.sum(weights * ops.sum(wrong_class, axis=2), axis=1) / count,
    }


def start_losses(grid: Grid, targets: Tensors, *, num_classes: int) -> dict[str, float]:
    """Say what a network costs that answers every anchor as it is, and no class.

    With the prior p, -ln p for each object and -ln (1 - p) for each candidate without,
    but those ignored; ln 2 for each class of each object.

    Args:
        grid: of the network.
        targets: of `targets`.
        num_classes: of the network.

    Returns:
        {"objectness", "classes"}, means over the batch.
    """
    weights, count = targets["weights"], _num_objects(targets)
    prior = ops.convert_to_tensor(OBJECTNESS_PRIOR, "float32")
    overlap = _best_overlap(grid.anchors[None], targets["boxes"])
    is_background = ops.logical_and(
        targets["objectness"] == 0, overlap <= IGNORED_ABOVE
    )
    num_background = ops.sum(ops.cast(is_background, "float32"), axis=1)
    weight = ops.sum(weights, axis=1)
    objectness = -weight * ops.log(prior) - num_background * ops.log(1 - prior)
    return {
        "objectness": float(ops.mean(objectness / count)),
        "classes": float(ops.mean(weight / count) * num_classes * ops.log(2.0)),
    }


def _num_objects(targets):
    """Count the objects that are learnt, float32 (batch,), at least 1."""
    count = ops.sum(ops.cast(targets["weights"] > 0, "float32"), axis=1)
    return ops.maximum(count, 1)


def _box_errors(raw, offsets):
    """Compare what is predicted with `Grid.offsets` -> float32 (batch, objects)."""
    within = ops.clip(offsets[..., :2], _CERTAIN, 1 - _CERTAIN)
    perfect = ops.log(within / (1 - within))
    place = elements.binary_cross_entropy(
        raw[..., :2], within
    ) - elements.binary_cross_entropy(perfect, within)
    size = ops.square(raw[..., 2:] - offsets[..., 2:]) / 2
    return ops.sum(place + size, axis=-1)


def _best_overlap(boxes, objects):
    """Find each candidate's best IoU with any object, a few objects at a time.

    All at once, 500 objects would take 2 GB for 8 pictures of 416 pixels.

    Args:
        boxes: float32 (batch or 1, candidates, 4), pixels.
        objects: float32 (batch, objects, 4), pixels, zeros for padding.

    Returns:
        float32 (batch, candidates) in [0, 1].
    """
    num_objects = ops.shape(objects)[1]
    num_chunks = -(-num_objects // _CHUNK)
    missing = num_chunks * _CHUNK - num_objects
    objects = ops.pad(objects, [[0, 0], [0, missing], [0, 0]])

    def with_chunk(number, best):
        start = number * _CHUNK
        some = ops.take(objects, start + ops.arange(_CHUNK), axis=1)
        return ops.maximum(best, ops.max(boxes_of.iou(boxes, some), axis=2))

    nothing = ops.zeros_like(objects[:, :1, 0] + boxes[..., 0])
    return ops.fori_loop(0, num_chunks, with_chunk, nothing)
