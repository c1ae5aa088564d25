"""Draws pictures with boxes, masks, labels and titles: uint8 (height, width, 3).

An `image` is uint8 or float in [0, 1], of shape (height, width), (height, width, 1) or
(height, width, 3). A small one is enlarged without smoothing, so that a digit of 28
pixels can be seen and its label be read. Nothing is shown and nothing is written.
"""

import functools
import pathlib
from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tfdl.drawing import colours

_WIDTH = 1200  # pixels, of a full grid
_LEGIBLE_SIDE = 480  # pixels, at least, of the longer side of an annotated picture
_FONT = pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
_TITLE_COLOURS = {"black": (0, 0, 0), "green": (0, 128, 93), "red": (196, 62, 0)}


def grid(
    images: Sequence[np.ndarray],
    *,
    titles: Sequence[str] = (),
    title_colours: Sequence[str] = (),
    columns: int = 8,
) -> np.ndarray:
    """Draw pictures side by side, each below its title.

    Args:
        images: at least one; their sizes may differ.
        titles: one for each image or none; up to two lines of each are shown.
        title_colours: "black", "green" (right) or "red" (wrong) for each, or none.
        columns: most pictures in a row.
    """
    columns, margin = min(columns, len(images)), 4
    tile = min(_WIDTH // columns, _LEGIBLE_SIDE)
    side, font = tile - 2 * margin, _font(max(13, tile // 18))
    texts = [_wrapped(title, font, side) for title in titles] or [[]] * len(images)
    inks = [_TITLE_COLOURS[name] for name in title_colours or ["black"] * len(images)]
    line_height = sum(font.getmetrics())
    head = max(len(lines) for lines in texts) * line_height + 2 * margin
    row_height, rows = head + side + margin, -(-len(images) // columns)
    page = Image.new("RGB", (columns * tile, rows * row_height), "white")
    pen = ImageDraw.Draw(page)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        left, top = column * tile + margin, row * row_height + head
        page.paste(_fitted(image, side), (left, top))
        for number, text in enumerate(reversed(texts[index]), start=1):
            place = (left, top - margin - number * line_height)
            pen.text(place, text, inks[index], font)
    return np.array(page)


def thumbnails(images: Sequence[np.ndarray], *, side: int) -> np.ndarray:
    """Fit pictures into squares, white where they are not square.

    Args:
        images: any number, their sizes may differ.
        side: of the squares, in pixels.

    Returns:
        uint8 (images, side, side, 3).
    """
    squares = np.full((len(images), side, side, 3), 255, np.uint8)
    for square, image in zip(squares, images, strict=True):
        small = np.array(_fitted(image, side))
        square[: small.shape[0], : small.shape[1]] = small
    return squares


def boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    *,
    labels: Sequence[int],
    class_names: Sequence[str],
    scores: Sequence[float] | None = None,
) -> np.ndarray:
    """Draw boxes with class names and, where given, scores.

    Args:
        image: the picture.
        boxes: float32 (objects, 4), pixels of `image`; what lies beyond is cut off.
        labels: int32 (objects,), indices into `class_names`.
        class_names: one for each class.
        scores: float32 (objects,) in [0, 1].
    """
    pixels, factor = _enlarged(image, _LEGIBLE_SIDE)
    picture = Image.fromarray(pixels)
    frames = [_frame(box * factor, picture.size) for box in np.asarray(boxes)]
    pen = ImageDraw.Draw(picture)
    for frame, label in zip(frames, labels, strict=True):
        pen.rectangle(frame, outline=_colour(label), width=_stroke(pixels))
    _write_tags(picture, frames, labels, _tags(labels, class_names, scores))
    return np.array(picture)


def masks(
    image: np.ndarray,
    masks: np.ndarray,
    *,
    labels: Sequence[int],
    class_names: Sequence[str],
    scores: Sequence[float] | None = None,
) -> np.ndarray:
    """Draw translucent outlined masks with class names and, where given, scores.

    Args:
        image: the picture.
        masks: uint8 (objects, height, width) of 0 and 1; empty ones are left out.
        labels: int32 (objects,), indices into `class_names`.
        class_names: one for each class.
        scores: float32 (objects,) in [0, 1].
    """
    pixels, factor = _enlarged(image, _LEGIBLE_SIDE)
    tags = _tags(labels, class_names, scores)
    seen = [index for index, mask in enumerate(masks) if np.any(mask)]
    labels, tags = [labels[index] for index in seen], [tags[index] for index in seen]
    frames = [
        _tint(pixels, masks[index], factor, _colour(label))
        for index, label in zip(seen, labels, strict=True)
    ]
    picture = Image.fromarray(pixels)
    _write_tags(picture, frames, labels, tags)
    return np.array(picture)


def semantic(
    image: np.ndarray, semantic_map: np.ndarray, *, class_names: Sequence[str]
) -> np.ndarray:
    """Draw a translucent map of classes above a legend of those that occur.

    The background is darkened, class id k has the colour of label k - 1, and what is
    ignored is white.

    Args:
        image: the picture.
        semantic_map: uint8 (height, width), class ids; 0 background, 255 ignored.
        class_names: the name of each id, that of the background first.
    """
    pixels, factor = _enlarged(image, _LEGIBLE_SIDE)
    ids = np.asarray(semantic_map, np.uint8)
    palette = np.full((256, 3), 255, np.uint8)
    palette[0], palette[1:255] = 0, colours.label_colours(254)
    opacity = np.where(ids == 0, 0.35, 0.55)[:, :, None]
    tints, opacity = _repeated(palette[ids], factor), _repeated(opacity, factor)
    overlay = _blended(pixels, tints, opacity)
    names = {**dict(enumerate(class_names)), 255: "(ignored)"}
    occurring = np.unique(ids).tolist()
    entries = [(names[index], tuple(palette[index].tolist())) for index in occurring]
    return np.concatenate([overlay, _legend(entries, overlay.shape[1])])


def _colour(label):
    return tuple(colours.label_colours(256)[int(label) % 256].tolist())


@functools.cache
def _font(size):
    return ImageFont.truetype(_FONT, size)  # as matplotlib's: accents, Greek, Cyrillic


def _rgb(image):
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        pixels = np.rint(np.clip(np.nan_to_num(pixels), 0, 1) * 255).astype(np.uint8)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def _repeated(array, factor):
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def _enlarged(image, side):
    """Return a copy at least `side` long, and how many pixels stand for one."""
    pixels = _rgb(image)
    factor = -(-side // max(pixels.shape[:2]))
    return _repeated(pixels, factor), factor


def _fitted(image, side):
    picture = Image.fromarray(_enlarged(image, side)[0])
    scale = side / max(picture.size)
    size = [max(1, round(length * scale)) for length in picture.size]
    return picture.resize(size, Image.Resampling.LANCZOS)


def _stroke(pixels):
    return max(pixels.shape[:2]) // 160


def _blended(pixels, colour, opacity):
    return np.rint(pixels + opacity * (colour - pixels.astype(float))).astype(np.uint8)


def _frame(box, size):
    """Round a half-open box to the first and last pixels that it holds."""
    low, high = np.zeros(4), np.tile(size, 2) - 1.0
    corners = np.rint(np.nan_to_num(box)) - (0, 0, 1, 1)
    left, top, right, bottom = np.clip(corners, low, high).astype(int).tolist()
    return [left, top, max(left, right), max(top, bottom)]


def _tint(pixels, mask, factor, colour):
    """Colour a mask in place, its border fully, and return its frame."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    stroke = _stroke(pixels)
    inside = np.asarray(mask[top:bottom, left:right], np.uint8)
    inside = np.pad(_repeated(inside, factor), stroke)
    core = Image.fromarray(inside).filter(ImageFilter.MinFilter(2 * stroke + 1))
    opacity = np.where(inside > np.array(core), 1, 0.4 * inside)[:, :, None]
    top, bottom, left, right = (np.array([top, bottom, left, right]) * factor).tolist()
    window = pixels[top:bottom, left:right]
    window[:] = _blended(window, colour, opacity[stroke:-stroke, stroke:-stroke])
    return [left, top, right - 1, bottom - 1]


def _tags(labels, class_names, scores):
    if scores is None:
        return [(class_names[label], "") for label in labels]
    pairs = zip(labels, scores, strict=True)
    return [(class_names[label], f" {score:.2f}") for label, score in pairs]


def _write_tags(picture, frames, labels, tags):
    """Write names beside frames, where possible not over each other."""
    font = _font(max(14, max(picture.size) // 32))
    pen, height, padding, taken = ImageDraw.Draw(picture), sum(font.getmetrics()), 3, []
    for frame, label, (name, score) in zip(frames, labels, tags, strict=True):
        space = picture.width - 2 * padding - font.getlength(score)
        text = _cut(name, font, space) + score
        width = int(font.getlength(text)) + 2 * padding
        left, top = _free_place(frame, (width, height), picture.size, taken)
        taken.append((left, top, left + width, top + height))
        colour = _colour(label)
        pen.rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
        ink = "black" if np.dot(colour, colours.LUMA) > 120 else "white"
        pen.text((left + padding, top), text, ink, font)


def _free_place(frame, size, limits, taken):
    (width, height), last_top = size, limits[1] - size[1]
    left = max(0, min(frame[0], limits[0] - width))
    beside = [frame[1] - height, frame[1], frame[3] + 1]
    rows = sorted(range(0, last_top + 1, height), key=lambda top: abs(top - frame[1]))
    for top in (*beside, *rows):
        is_free = all(
            left >= right
            or left + width <= start
            or top >= end
            or top + height <= begin
            for start, begin, right, end in taken
        )
        if is_free and 0 <= top <= last_top:
            return left, top
    return left, max(0, min(frame[1], last_top))


def _wrapped(text, font, width):
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) > width and lines[-1] and len(lines) < 2:
            lines.append(word)
        else:
            lines[-1] = joined
    return [_cut(line, font, width) for line in lines]


def _cut(text, font, width):
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _legend(entries, width):
    """Draw swatches with names, in as many rows as needed: (height, width, 3)."""
    font = _font(max(14, width // 32))
    line_height, gap, places, left, top = sum(font.getmetrics()) + 4, 6, [], 0, 0
    texts = [_cut(name, font, width - line_height - gap) for name, _ in entries]
    for text in texts:
        length = line_height + int(font.getlength(text)) + 2 * gap
        if left and left + length > width:
            left, top = 0, top + line_height
        places.append((left, top))
        left += length
    page = Image.new("RGB", (width, top + line_height), "white")
    pen = ImageDraw.Draw(page)
    for (left, top), text, (_, colour) in zip(places, texts, entries, strict=True):
        end = left + line_height - gap
        pen.rectangle((left + 3, top + 3, end, top + line_height - 4), colour, "grey")
        pen.text((end + gap, top + 1), text, "black", font)
    return np.array(page)
