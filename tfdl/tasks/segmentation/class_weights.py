"""How much should each class count, when some have a hundred times more pixels?"""

import numpy as np

from tfdl import errors
from tfdl.data.sources import semantic

_ENET = 1.02  # c; 50 times as much at most


def named(name: str, train: semantic.Source | semantic.Stream) -> np.ndarray | None:
    """Weigh the classes of a data set as a flag says.

    Args:
        name: "none", "inverse" for `inverse_frequency`, "median" for
            `median_frequency`, or "logarithmic" for `logarithmic_frequency`.
        train: what is trained on; its maps were counted when it was read.

    Returns:
        float32 (classes,), or None for "none".

    Raises:
        UsageError: no pixel at all.
    """
    pixels = train.class_pixels
    if name == "none":
        return None
    if name == "inverse":
        return inverse_frequency(pixels.sum(axis=0))
    if name == "logarithmic":
        return logarithmic_frequency(pixels.sum(axis=0))
    of_pictures = pixels.sum(axis=1, keepdims=True) * (pixels > 0)
    return median_frequency(pixels.sum(axis=0), of_pictures.sum(axis=0))


def inverse_frequency(pixels: np.ndarray) -> np.ndarray:
    """Weigh classes so that all count as much: total / (classes * own pixels).

    Args:
        pixels: int (classes,), the pixels of each class in the training maps, without
            ignored ones.

    Returns:
        float32 (classes,); their mean over all pixels is 1. A class without pixels has
        0, and is not counted among the classes.

    Raises:
        UsageError: no pixel at all.
    """
    pixels = _checked(pixels)
    share = pixels.sum() / np.count_nonzero(pixels)
    return _divided(share, pixels)


def median_frequency(pixels: np.ndarray, pixels_of_pictures: np.ndarray) -> np.ndarray:
    """Weigh classes by the median frequency over their own.

    Args:
        pixels: int (classes,), as `inverse_frequency` takes them.
        pixels_of_pictures: int (classes,), all pixels of the pictures in which each
            class occurs, without ignored ones.

    Returns:
        float32 (classes,), 1 for the class in the middle; 0 for one without pixels.

    Raises:
        UsageError: no pixel at all.

    Reference:
        Eigen and Fergus, "Predicting Depth, Surface Normals and Semantic Labels with a
        Common Multi-Scale Convolutional Architecture", 2015.
    """
    pixels = _checked(pixels)
    frequencies = _divided(pixels, np.asarray(pixels_of_pictures, np.float64))
    return _divided(np.median(frequencies[pixels > 0]), frequencies)


def logarithmic_frequency(pixels: np.ndarray) -> np.ndarray:
    """Weigh classes by 1 / ln(1.02 + share of the pixels), which bounds the rarest.

    A class of half a percent counts twelve times as much as one of a third, not 66
    times, as by their inverse frequencies.

    Args:
        pixels: int (classes,), as `inverse_frequency` takes them.

    Returns:
        float32 (classes,); their mean over all pixels is 1. A class without pixels has
        0.

    Raises:
        UsageError: no pixel at all.

    Reference:
        Paszke et al., "ENet: A Deep Neural Network Architecture for Real-Time Semantic
        Segmentation", 2016, section 5; deviation: they do not divide by the mean.
    """
    pixels = _checked(pixels)
    shares = pixels / pixels.sum()
    weights = np.where(pixels > 0, 1 / np.log(_ENET + shares), 0)
    return (weights / (shares @ weights)).astype(np.float32)


def _checked(pixels):
    pixels = np.asarray(pixels, np.float64)
    if not pixels.any():
        raise errors.UsageError(
            "`pixels` must count at least one pixel. Received none.",
            "Leave the weights of classes out, or train on maps that are not all "
            "ignored.",
        )
    return pixels


def _divided(numerator, denominator):
    """Divide, with 0 for what does not occur."""
    quotient = np.divide(
        numerator, denominator, out=np.zeros(denominator.shape), where=denominator > 0
    )
    return quotient.astype(np.float32)
