"""Describes a model, trained or not: the flags, words and pictures of the verb `info`.

Which tasks there are and how a model is measured is not known here: the app hands in
what builds the model and what measures it.
"""

import collections
import csv
import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
from PIL import Image, ImageOps

from tfdl import drawing, errors
from tfdl.drawing import filters
from tfdl.training import flags, inference

_TABLE = "layers.csv"
_SIGHTS = {"stride": "stride", "padding": "padding", "field": "size"}


@dataclasses.dataclass(frozen=True)
class Info:
    """Describe a model: what it costs, what it sees, what it answers to."""

    model: str
    """Name of the model."""
    image_size: int = 224
    """Height and width of its picture, in pixels."""
    channels: Literal[1, 3] = 3
    """1 for grey pictures, 3 for RGB."""
    num_classes: int = 1000
    """Classes that it tells apart."""
    width: float = 1.0
    """Factor on the model's channels."""
    output_stride: int = 32
    """Largest stride of its maps; what is beyond becomes dilation."""
    weights: str = "none"
    """A .weights.h5 file, an old Keras .h5, imagenet, or none for random ones."""
    picture: pathlib.Path | None = None
    """A picture whose activation maps are drawn."""
    out: pathlib.Path | None = None
    """Folder for table and pictures; by default runs/info/<model>."""
    debug: bool = False
    """Show the traceback of an error."""

    def __post_init__(self):
        flags.at_least("--image-size", self.image_size, 1)
        flags.at_least("--num-classes", self.num_classes, 1)

    @property
    def folder(self) -> pathlib.Path:
        """Where table and pictures are written."""
        return self.out or pathlib.Path("runs", "info", self.model)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the model's picture."""
        return self.image_size, self.image_size, self.channels


def describe(
    options: Info,
    build: Callable[..., keras.Model],
    *,
    costs: Callable[[keras.Model], Sequence[Any]],
    fields: Callable[[keras.Model], Sequence[Any]],
    levels: Callable[[keras.Model], Mapping[str, Any]],
) -> list[str]:
    """Run the verb `info`: measure a model, and draw what it has learned.

    `options.folder` gets layers.csv, with one row for each call of a layer, the filters
    of the first convolution and, of a picture, the strongest activation maps of every
    level.

    Args:
        options: the flags.
        build: (image_shape, num_classes, weights=, width=, output_stride=) -> model;
            with None classes one that returns a dict of feature maps, its levels.
        costs: model -> what each call of a layer costs, as the dataclass
            `tfdl.layers.cost.Cost`.
        fields: model -> what each call of a layer sees of the picture, as the dataclass
            `tfdl.layers.receptive_field.ReceptiveField`.
        levels: model of feature maps -> what each of them sees, likewise.

    Returns:
        Lines for people.

    Raises:
        errors.DataError: the picture cannot be read.
        errors.UserError: the model cannot be built as the flags say.
    """
    model, features = _build(options, build)
    image = None if options.picture is None else _read(options)
    rows, seen = costs(model), levels(features)
    options.folder.mkdir(parents=True, exist_ok=True)
    _write(options.folder / _TABLE, rows, fields(model))
    drawn = _filters(features, options)
    if image is not None:
        drawn |= _activations(features, image, options)
    drawing.save(options.folder, drawn)
    shapes = {name: tensor.shape[1:] for name, tensor in features.output.items()}
    written = ", ".join([_TABLE, *(f"{name}.png" for name in drawn)])
    return [
        *_totals(options, rows),
        "",
        *_levels(shapes, seen),
        "",
        f"{written} in {options.folder.resolve()}",
    ]


def _build(options, build):
    """Build the model for its classes, and that of its feature maps."""
    how = {
        "weights": None if options.weights == "none" else options.weights,
        "width": options.width,
        "output_stride": options.output_stride,
    }
    return (
        build(options.image_shape, num_classes, **how)
        for num_classes in (options.num_classes, None)
    )


def _read(options) -> np.ndarray:
    """Cut out the central square of the picture -> float32, shaped for the model."""
    try:
        with Image.open(options.picture) as opened:
            upright = ImageOps.exif_transpose(opened)
            picture = upright.convert("RGB" if options.channels == 3 else "L")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise errors.DataError(
            f"--picture {options.picture} cannot be read: {error}",
            "give a JPEG or PNG file",
        ) from error
    side = (options.image_size, options.image_size)
    square = ImageOps.fit(picture, side, Image.Resampling.BILINEAR)
    return np.asarray(square, np.float32).reshape(options.image_shape) / 255


def _totals(options, rows) -> list[str]:
    trainable, parameters, multiply_adds, activation_bytes = (
        sum(getattr(row, name) for row in rows)
        for name in ("trainable", "parameters", "multiply_adds", "activation_bytes")
    )
    others = parameters - trainable
    more = f", and {others:,} that are not trained" if others else ""
    return [
        f"{options.model} for pictures of {_product(options.image_shape)}, "
        f"{options.num_classes} classes",
        f"parameters     {trainable:,}{more}",
        f"multiply-adds  {multiply_adds:,} for a picture",
        f"activations    {activation_bytes / 1000:,.0f} kB for a picture in training",
    ]


def _levels(shapes, seen) -> list[str]:
    """Say what the levels are: map, stride, and what a value sees, in pixels."""
    table = [("level", "map", "stride", "receptive field", "padding")]
    for name, field in seen.items():
        numbers = (_pair(field.stride), _pair(field.size), _pair(field.padding))
        table.append((name, _product(shapes[name]), *numbers))
    lines = [*_aligned(table), "stride, field and padding in pixels of the picture"]
    if any(field.has_global_path for field in seen.values()):
        lines.append(
            "gates or branches that pool the whole picture are not counted as seeing it"
        )
    return lines


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Lay a table out, its first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(map(str.rjust, row[1:], widths[1:])),
            ]
        )
        for row in table
    ]


def _pair(values) -> str:
    """Write what holds for rows and columns, once where it is the same."""
    texts = [_number(value) or "unknown" for value in values]
    return " x ".join(texts if texts[0] != texts[1] else texts[:1])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _product(shape) -> str:
    return " x ".join(map(str, shape))


def _write(path: pathlib.Path, rows, fields) -> None:
    """Write a row for each call of a layer: what it costs and what it sees."""
    of_layer = collections.defaultdict(list)
    for field in fields:
        of_layer[field.layer].append(field)
    columns = [field.name for field in dataclasses.fields(rows[0])]
    sights = [f"{what}_{axis}" for what in _SIGHTS for axis in ("rows", "columns")]
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, [*columns, *sights])
        writer.writeheader()
        for row in rows:
            values = dataclasses.asdict(row)
            values["output_shape"] = "x".join(map(str, row.output_shape))
            if of_layer[row.layer]:  # none of what is not computed from the picture
                field = of_layer[row.layer].pop(0)
                pairs = [getattr(field, name) for name in _SIGHTS.values()]
                numbers = [_number(value) for pair in pairs for value in pair]
                values |= zip(sights, numbers, strict=True)
            writer.writerow(values)


def _filters(features, options) -> dict[str, np.ndarray]:
    for layer in features.layers:
        for weight in layer.weights:
            if weight.name.endswith("kernel") and len(weight.shape) == 4:
                kernel = keras.ops.convert_to_numpy(weight)
                heading = f"{_heading(options)}: {kernel.shape[3]} filters of "
                heading += f"{_product(kernel.shape[:3])} in {layer.name}"
                return {"filters": filters.filters(kernel, heading=heading)}
    return {}


def _activations(features, image, options) -> dict[str, np.ndarray]:
    maps = inference.compiled(features)(image[np.newaxis])
    drawn = {}
    for name, values in maps.items():
        values = keras.ops.convert_to_numpy(keras.ops.cast(values[0], "float32"))
        heading = f"{_heading(options)}: {name} of {options.picture.name}"
        drawn[f"activations_{name}"] = filters.activation_maps(
            image, values, heading=heading
        )
    return drawn


def _heading(options) -> str:
    kind = "random" if options.weights == "none" else pathlib.Path(options.weights).name
    return f"{options.model}, {kind} weights"
