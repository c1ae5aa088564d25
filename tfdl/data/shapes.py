"""Makes what a synthetic picture consists of: outlines, colours, textures, clutter.

Outlines are closed polygons, float (vertices, 2) of (x, y). Pictures are float32
(size, size, 3), RGB in [0, 1].
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

_SUPERSAMPLING = 4  # sub-pixels per side from which a pixel's coverage is counted
# Tuned with synthetic.py's tilt: a small residual network that sees 3,000 pictures of
# 48 pixels ten times is right in 95 to 98 % of others; stronger ones drown the outline.
_TEXTURE_STRENGTH = 0.4  # share of the second colour in an object's texture
_CLUTTER_STRENGTH = 0.35  # of an object's contrast with the background


def rotation(angle: float) -> np.ndarray:
    """Build the matrix (2, 2) that turns points: `points @ matrix`; radians."""
    return np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])


def area(outline: np.ndarray) -> float:
    """Measure the area of a polygon without crossings (the shoelace formula)."""
    x, y = outline.T
    return abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2


def coverage(outlines: Sequence[np.ndarray], image_size: int) -> np.ndarray:
    """Measure which share of each pixel lies inside any of the outlines.

    Args:
        outlines: polygons in pixels; what lies beyond the picture is cut off.
        image_size: height and width in pixels.

    Returns:
        float32 (size, size) in [0, 1].
    """
    size = image_size * _SUPERSAMPLING
    canvas = Image.new("L", (size, size))
    pen = ImageDraw.Draw(canvas)
    for outline in outlines:
        # Pillow fills the far edges too: shapes grow by up to a quarter of a pixel.
        pen.polygon((outline * _SUPERSAMPLING).ravel().tolist(), fill=255)
    return np.asarray(canvas.reduce(_SUPERSAMPLING), np.float32) / 255


def background(
    rng: np.random.Generator, image_size: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Paint a texture with lines, speckles and wavy blobs that are of no class.

    Returns:
        The picture, and its colours: two float (3,), which objects must differ from.
    """
    base = _random_colours(rng, 1)[0]
    near = np.clip(base + rng.uniform(-0.08, 0.08, size=3), 0, 1)
    image = _texture(rng, (base, near), image_size)
    clutter = (_lines, _speckles, _blobs)
    for chosen in rng.permutation(len(clutter))[: rng.integers(len(clutter))]:
        outlines = clutter[chosen](rng, image_size)
        bold = contrasting_colours(rng, [base])
        image = paint(rng, image, outlines, base + _CLUTTER_STRENGTH * (bold - base))
    return image, [base, near]


def contrasting_colours(
    rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Draw a colour unlike the others, and a variation of it for its texture.

    Returns:
        float (2, 3), RGB in [0, 1].
    """
    first = _farthest(_random_colours(rng, 6), others)
    varied = first + _TEXTURE_STRENGTH * (_random_colours(rng, 6) - first)
    return np.stack([first, _farthest(varied, others)])


def paint(
    rng: np.random.Generator,
    image: np.ndarray,
    outlines: Sequence[np.ndarray],
    colours: Sequence[np.ndarray],
) -> np.ndarray:
    """Fill outlines with a random texture of two colours, with smooth edges."""
    alpha = coverage(outlines, len(image))[:, :, None]
    return image + alpha * (_texture(rng, colours, len(image)) - image)


def expose(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Add uneven light and sensor noise, and round to uint8 (size, size, 3)."""
    ramp = np.linspace(-0.5, 0.5, len(image), dtype=np.float32)
    slope_x, slope_y = rng.uniform(-0.4, 0.4, size=2).astype(np.float32)
    light = 1 + slope_x * ramp + slope_y * ramp[:, None]
    noise_level = np.float32(rng.uniform(0, 0.04))
    noise = noise_level * rng.standard_normal(image.shape, np.float32)
    exposed = np.clip(image * light[:, :, None] + noise, 0, 1)
    return (exposed * 255 + 0.5).astype(np.uint8)


def _random_colours(rng, count):
    hues, saturations, values = rng.random((3, count, 1))
    saturations, values = 0.1 + 0.8 * saturations, 0.25 + 0.75 * values
    # How far each channel is from the hue at which it vanishes, on the colour circle.
    distances = np.abs((hues - (0.5, 5 / 6, 1 / 6) + 0.5) % 1 - 0.5)
    pure = np.clip(6 * distances - 1, 0, 1)
    return values * (1 - saturations * (1 - pure))


def _farthest(candidates, others):
    gaps = candidates[:, None] - np.stack(others)  # (candidates, others, 3)
    return candidates[np.square(gaps).sum(axis=-1).min(axis=-1).argmax()]


def _texture(rng, colours, image_size):
    """Mix two colours by a random pattern: float32 (size, size, 3)."""
    period = max(rng.uniform(0.08, 0.2) * image_size, 4)  # pixels
    ramp = np.arange(image_size, dtype=np.float32) * np.float32(2 * np.pi / period)
    matrix = rotation(rng.uniform(0, np.pi)).astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, size=(2, 1, 1)).astype(np.float32)
    columns, rows = ramp, ramp[:, None]
    across, along = matrix[:, :1, None] * columns + matrix[:, 1:, None] * rows + phases
    pattern = _PATTERNS[rng.integers(len(_PATTERNS))]
    first, second = np.asarray(colours, np.float32)
    return first + pattern(across, along)[:, :, None] * (second - first)


def _edged(waves):
    return np.clip(0.5 + 1.5 * waves, 0, 1)  # edges a pixel or two wide, not aliased


_PATTERNS = (
    lambda across, along: np.zeros_like(across),  # plain
    lambda across, along: _edged(np.sin(across)),  # stripes
    lambda across, along: _edged(np.sin(across) * np.sin(along)),  # checks
    lambda across, along: _edged(np.cos(across) + np.cos(along) - 0.7),  # dots
    lambda across, along: 0.5 + 0.5 * np.sin(across / 5),  # gradient
)


def _lines(rng, image_size):
    ends = rng.uniform(0, image_size, (rng.integers(1, 5), 2, 2))
    first, last = ends[:, 0], ends[:, 1]
    along = last - first
    lengths = np.linalg.norm(along, axis=1, keepdims=True) + 1e-6  # ends may coincide
    across = along[:, ::-1] * (1, -1) / lengths
    half = across * rng.uniform(0.006, 0.02) * image_size
    return np.stack([first - half, first + half, last + half, last - half], axis=1)


def _speckles(rng, image_size):
    centres = rng.uniform(0, image_size, (rng.integers(8, 40), 1, 2))
    return centres + _regular(6, radius=rng.uniform(0.008, 0.02) * image_size)


def _blobs(rng, image_size):
    turns = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    directions = np.stack([np.cos(turns), np.sin(turns)], axis=-1)
    num_blobs = rng.integers(1, 4)
    slow, fast = rng.uniform(0, 2 * np.pi, (2, num_blobs, 1))
    # A bumpy peanut: it resembles no class, however it is turned.
    waves = 1 + 0.45 * np.cos(2 * turns + slow) + 0.12 * np.cos(5 * turns + fast)
    radii = rng.uniform(0.06, 0.16, (num_blobs, 1, 1)) * image_size
    centres = rng.uniform(0, image_size, (num_blobs, 1, 2))
    return centres + radii * waves[:, :, None] * directions  # (blobs, vertices, 2)


def _regular(num_vertices, radius=1.0):
    turns = np.arange(num_vertices) / num_vertices * 2 * np.pi
    return radius * np.stack([np.sin(turns), -np.cos(turns)], axis=-1)


def _star():
    inner = -_regular(5, radius=0.42)[[3, 4, 0, 1, 2]]
    return np.stack([_regular(5), inner], axis=1).reshape(-1, 2)


def _ring():
    outer, hole = _regular(48), _regular(48, radius=0.58)
    # One polygon: around the rim, across a seam of no width, back around the hole.
    return np.concatenate([outer, outer[:1], hole[:1], hole[:0:-1], hole[:1]])


def _crescent():
    """Cut a circle around (0.5, 0) out of the unit circle; they meet at the tips."""
    tip, centre = np.deg2rad(50), 0.5
    tip_x, tip_y = np.cos(tip) - centre, np.sin(tip)
    end = np.arctan2(tip_y, tip_x)
    rim = np.linspace(tip, 2 * np.pi - tip, 40)
    cut = np.linspace(2 * np.pi - end, end, 40)[1:-1]
    inner = np.hypot(tip_x, tip_y) * np.stack([np.cos(cut), np.sin(cut)], axis=-1)
    return np.concatenate(
        [np.stack([np.cos(rim), np.sin(rim)], -1), inner + (centre, 0)]
    )


def _heart():
    turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x = 16 * np.sin(turns) ** 3
    y = 5 * np.cos(2 * turns) + 2 * np.cos(3 * turns) + np.cos(4 * turns)
    return np.stack([x, y - 13 * np.cos(turns)], axis=-1) / 17


def _cross():
    arm = np.array([(-1, -1), (-1, -3), (1, -3)]) / 3.2
    return np.concatenate([arm @ rotation(turn * np.pi / 2) for turn in range(4)])


def _arrow():
    right = np.array([(0, -1), (0.8, -0.1), (0.3, -0.1), (0.3, 0.95)])
    return np.concatenate([right, right[:0:-1] * (-1, 1)])


def _bolt():
    upper = np.array([(0.3, -0.95), (-0.55, 0.15), (-0.1, 0.15)])
    return np.concatenate([upper, -upper])


# Class name -> outline inside the unit disc, around (0, 0).
OUTLINES = {
    "circle": _regular(48),
    "triangle": _regular(3),
    "square": _regular(4) @ rotation(np.pi / 4),
    "star": _star(),
    "cross": _cross(),
    "arrow": _arrow(),
    "ring": _ring(),
    "crescent": _crescent(),
    "heart": _heart(),
    "bolt": _bolt(),
}
