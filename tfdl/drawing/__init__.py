"""Pictures with boxes, masks and labels, and charts, for people to look at."""

from tfdl.drawing.bar_charts import bars
from tfdl.drawing.charts import curves, staircase
from tfdl.drawing.class_charts import (
    calibration,
    confusion_matrix,
    f_score_curves,
    precision_recall_curves,
    roc_curves,
)
from tfdl.drawing.colours import label_colours
from tfdl.drawing.contours import descents
from tfdl.drawing.files import encode, save
from tfdl.drawing.pictures import boxes, grid, masks, semantic, thumbnails

__all__ = [
    "bars",
    "boxes",
    "calibration",
    "confusion_matrix",
    "curves",
    "descents",
    "encode",
    "f_score_curves",
    "grid",
    "label_colours",
    "masks",
    "precision_recall_curves",
    "roc_curves",
    "save",
    "semantic",
    "staircase",
    "thumbnails",
]
