"""Chooses the colours of classes, as different from each other as they can be."""

import functools

import numpy as np

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, brightness of red, green and blue

# Okabe and Ito (2008), "Color universal design": the colour-blind tell them apart.
_OKABE_ITO = (
    *((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167)),
    *((230, 159, 0), (86, 180, 233), (240, 228, 66)),
)
_RGB_TO_CONES = np.array(
    [(0.4122, 0.2119, 0.0883), (0.5363, 0.6807, 0.2817), (0.0514, 0.1074, 0.63)]
)
_CONES_TO_OKLAB = np.array(
    [(0.2105, 1.978, 0.0259), (0.7936, -2.4286, 0.7828), (-0.0041, 0.4506, -0.8087)]
)


def label_colours(num_classes: int) -> np.ndarray:
    """Choose the colours of classes; class k has the same one in every picture.

    Returns:
        uint8 (num_classes, 3); they repeat after 256.
    """
    return np.resize(_palette(), (num_classes, 3))


@functools.cache
def _palette():
    """Continue Okabe and Ito's colours, each the farthest from all before: (256, 3)."""
    levels = np.linspace(0, 255, 9).round()
    lattice = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    lattice = lattice[np.abs(lattice @ LUMA - 140) < 80]  # neither black nor white
    chosen = [np.array(colour, float) for colour in _OKABE_ITO]
    nearest = np.min([_difference(lattice, colour) for colour in chosen], axis=0)
    while len(chosen) < 256:
        chosen.append(lattice[nearest.argmax()])
        nearest = np.minimum(nearest, _difference(lattice, chosen[-1]))
    return np.array(chosen, np.uint8)


def _difference(colours, colour):
    return np.square(_oklab(colours) - _oklab(colour)).sum(axis=-1)


def _oklab(colours):
    """Map to where equal distances look equal: Ottosson (2020), gamma simplified."""
    cones = np.cbrt((colours / 255) ** 2.2 @ _RGB_TO_CONES)
    return cones @ _CONES_TO_OKLAB
