"""Draws a seeded data set of textured shapes, so that every task runs offline.

Each picture holds one or several shapes of ten classes over a cluttered background,
with the labels, boxes, instance masks and semantic map that belong to it. Only the
outline tells the class: colour, texture, place, size and tilt are random for all.
"""

import json
import os
import pathlib
import secrets
import shutil

import numpy as np
from PIL import Image

from tfdl import errors
from tfdl.data import shapes

CLASS_NAMES: tuple[str, ...] = tuple(shapes.OUTLINES)
MIN_IMAGE_SIZE = 16
MAX_OBJECTS = 254  # an instance map is uint8: 0 is background, 255 is never used
MIN_VISIBLE_RATE = 0.45  # of an object's area, after occlusion and the picture's border

_MAX_TILT = 0.35  # radians, 20 degrees: at any angle, the 95 % of shapes.py become 50 %
_ATTEMPTS = 10  # to place an object, then there is no room for it
_VERSION = 1  # to be raised with any change of the pictures: old folders are refused
_ANNOTATIONS = "annotations.json"


def draw(
    rng: np.random.Generator, *, image_size: int, max_objects: int
) -> dict[str, np.ndarray]:
    """Draw one picture with its annotations.

    Args:
        rng: source of all randomness; the same state gives the same bytes.
        image_size: height and width in pixels, at least `MIN_IMAGE_SIZE`.
        max_objects: most objects in the picture, 1 to `MAX_OBJECTS`. Their number is
            drawn from 1 to `max_objects`; one that finds no place is left out.

    Returns:
        A dict, with `objects` for the number of objects:
        "image": uint8 (image_size, image_size, 3), RGB.
        "label": int32 (), class of the object with the largest visible area.
        "boxes": float32 (objects, 4), pixels, tight around the visible masks.
        "labels": int32 (objects,), indices into `CLASS_NAMES`.
        "masks": uint8 (objects, image_size, image_size), 1 where the object is seen.
        "semantic": uint8 (image_size, image_size), 0 background, else class index + 1.

    Raises:
        UsageError: image_size or max_objects is out of range.
    """
    _check("image_size", image_size, MIN_IMAGE_SIZE)
    _check("max_objects", max_objects, 1, MAX_OBJECTS)
    image, colours = shapes.background(rng, image_size)
    labels, outlines, instances = _arrange(rng, image_size, max_objects)
    for outline in outlines:
        fill = shapes.contrasting_colours(rng, colours)
        colours.append(fill[0])
        image = shapes.paint(rng, image, [outline], fill)

    masks = instances == np.arange(1, len(labels) + 1)[:, None, None]
    class_ids = np.array([0, *(label + 1 for label in labels)], np.uint8)
    return {
        "image": shapes.expose(rng, image),
        "label": np.int32(labels[masks.sum(axis=(1, 2)).argmax()]),
        "boxes": np.array([_tight_box(mask) for mask in masks], np.float32),
        "labels": np.array(labels, np.int32),
        "masks": masks.astype(np.uint8),
        "semantic": class_ids[instances],
    }


def write(
    folder: pathlib.Path,
    *,
    num_examples: int,
    image_size: int,
    max_objects: int,
    seed: int,
) -> None:
    """Draw a data set into `folder` once; if it is there already, return at once.

    The folder appears whole or not at all: it is drawn beside its place and renamed.
    Example k depends on (seed, k) alone, so a larger set begins with the smaller one.
    It holds images/000000.png (RGB), instances/000000.png (uint8 object numbers from 1,
    0 for background) and annotations.json with the arguments, "class_names", and
    "examples": for each picture "image", "instances", "label", "labels" and "boxes".

    Args:
        folder: where to write; missing parents are made.
        num_examples: number of pictures, at least 1.
        image_size: height and width of the pictures in pixels.
        max_objects: most objects in a picture.
        seed: at least 0.

    Raises:
        UsageError: an argument is out of range.
        DataError: `folder` holds anything but this data set.
    """
    _check("num_examples", num_examples, 1)
    _check("image_size", image_size, MIN_IMAGE_SIZE)
    _check("max_objects", max_objects, 1, MAX_OBJECTS)
    _check("seed", seed, 0)
    settings = {
        "class_names": list(CLASS_NAMES),
        "num_examples": num_examples,
        "image_size": image_size,
        "max_objects": max_objects,
        "seed": seed,
        "version": _VERSION,
    }
    if _is_written(folder, settings):
        return
    unfinished = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        _write_examples(unfinished, settings)
        _publish(unfinished, folder, settings)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _check(name, value, smallest, largest=float("inf")):
    if not smallest <= value <= largest:
        limit = f" and at most {largest}" if largest < float("inf") else ""
        raise errors.UsageError(
            f"`{name}` must be at least {smallest}{limit}. Received {name}={value}.",
            f"Choose another `{name}`.",
        )


def _arrange(rng, image_size, max_objects):
    """Place the objects, back to front: their labels, outlines in pixels, instances."""
    num_objects = rng.integers(1, max_objects + 1)
    # Circumradii: many objects must be small to fit; under 4 pixels no corner shows.
    smallest = max(0.1, 0.28 / max_objects**0.5) * image_size
    largest = 0.42 / num_objects**0.5 * image_size
    smallest, largest = max(smallest, 4), max(smallest, largest, 5)
    labels, outlines = [], []
    instances = np.zeros((image_size, image_size), np.uint8)
    for label in rng.integers(len(CLASS_NAMES), size=num_objects).tolist():
        for _ in range(_ATTEMPTS):
            radius = rng.uniform(smallest, largest)
            outline = _placed(rng, CLASS_NAMES[label], radius, image_size)
            candidate = instances.copy()
            candidate[shapes.coverage([outline], image_size) >= 0.5] = len(labels) + 1
            if _all_visible(candidate, [*outlines, outline]):
                labels.append(label)
                outlines.append(outline)
                instances = candidate
                break
    return labels, outlines, instances


def _placed(rng, class_name, radius, image_size):
    """Squeeze, tilt and shift an outline; the border may cut a little off."""
    scale = radius * np.array([1, rng.uniform(0.85, 1)])
    tilt = shapes.rotation(rng.uniform(-_MAX_TILT, _MAX_TILT))
    margin = 0.8 * radius
    centre = rng.uniform(margin, image_size - margin, size=2)
    return shapes.OUTLINES[class_name] * scale @ tilt + centre


def _all_visible(instances, outlines):
    visible = np.bincount(instances.ravel(), minlength=len(outlines) + 1)[1:]
    areas = np.array([shapes.area(outline) for outline in outlines])
    return (visible >= MIN_VISIBLE_RATE * areas).all()


def _tight_box(mask):
    columns, rows = (np.flatnonzero(mask.any(axis=axis)) for axis in (0, 1))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def _is_written(folder, settings):
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / _ANNOTATIONS).read_text())
        is_same = {name: found[name] for name in settings} == settings
    except (OSError, ValueError, TypeError, KeyError):
        is_same = False
    if not is_same:
        raise errors.DataError(
            f"{folder} holds something else than the synthetic data set asked for.",
            "Delete it, or name another folder.",
        )
    return True


def _write_examples(folder, settings):
    for name in ("images", "instances"):
        (folder / name).mkdir(parents=True)
    examples = [
        _write_example(folder, index, settings)
        for index in range(settings["num_examples"])
    ]
    content = json.dumps({**settings, "examples": examples})
    (folder / _ANNOTATIONS).write_text(content)


def _write_example(folder, index, settings):
    rng = np.random.default_rng((settings["seed"], index))
    sample = draw(
        rng, image_size=settings["image_size"], max_objects=settings["max_objects"]
    )
    numbers = np.arange(1, len(sample["labels"]) + 1, dtype=np.uint8)
    instances = (sample["masks"] * numbers[:, None, None]).max(axis=0)
    names = {name: f"{name}/{index:06d}.png" for name in ("images", "instances")}
    # The noise in the pictures hardly compresses: more effort costs time only.
    Image.fromarray(sample["image"]).save(folder / names["images"], compress_level=1)
    Image.fromarray(instances).save(folder / names["instances"], compress_level=1)
    return {
        "image": names["images"],
        "instances": names["instances"],
        "label": int(sample["label"]),
        "labels": sample["labels"].tolist(),
        "boxes": sample["boxes"].tolist(),
    }


def _publish(unfinished, folder, settings):
    try:
        os.rename(unfinished, folder)
    except OSError:
        # Another process may have drawn the same set meanwhile; then that one serves.
        if not _is_written(folder, settings):
            raise
