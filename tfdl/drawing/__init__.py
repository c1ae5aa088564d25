"""Pictures with boxes, masks and labels, and charts, for people to look at."""

from tfdl.drawing.charts import confusion_matrix, curves, roc_curves
from tfdl.drawing.colours import label_colours
from tfdl.drawing.pictures import boxes, grid, masks, semantic

__all__ = [
    "boxes",
    "confusion_matrix",
    "curves",
    "grid",
    "label_colours",
    "masks",
    "roc_curves",
    "semantic",
]
