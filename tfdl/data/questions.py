"""Pictures to ask a model about: some of a split, or noise where there are no data."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfdl.data.sources import source

_NOISE_SHAPES = ((37, 61), (64, 64), (50, 90), (1, 1))  # in pixels
_NOISE_SEED = 3
_JPEG_EVERY = 2  # of the files


def some_pictures(
    examples: source.Source | source.Stream, *, count: int
) -> list[np.ndarray]:
    """Load pictures from the whole of a split, each uint8 (height, width, channels)."""
    step = max(1, len(examples) // count)
    samples = examples.records().shard(step, 0).take(count).map(examples.load)
    return [sample["image"].numpy() for sample in samples]


def noise() -> list[np.ndarray]:
    """Draw noise of several sizes, each uint8 (height, width, 3)."""
    random = np.random.default_rng(_NOISE_SEED)
    return [random.integers(0, 256, (*shape, 3), np.uint8) for shape in _NOISE_SHAPES]


def files(pictures: Sequence[np.ndarray]) -> tf.Tensor:
    """Encode pictures, by turns as PNG and JPEG -> string (pictures,)."""
    return tf.stack(
        [
            tf.io.encode_jpeg(picture)
            if index % _JPEG_EVERY
            else tf.io.encode_png(picture)
            for index, picture in enumerate(pictures)
        ]
    )
