"""Which examples are mixed with which?

Eight neighbouring positions of the training are a group, and mixed among themselves.
Their order is shuffled, so that over the epochs anyone is anyone's partner, and no
picture is read or augmented twice, as it would be if partners were drawn from all.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

Example = dict[str, tf.Tensor]

SIZE = 8
_FOUR = 4  # pictures of a mosaic
# Streams of draws beside those of augmentation, which has 0, 1, 2 ... of a key.
_MOSAIC_STREAM, _MIX_STREAM = -1, -2


def mixed(
    group: Example,
    keys: Sequence[tf.Tensor],
    *,
    mosaic: Callable | None,
    mix: Callable | None,
) -> Example:
    """Make a group of a group.

    An example meets the three others of its half in a mosaic, itself at the top left;
    then it is mixed with its counterpart of the other half, which shows other pictures.

    Args:
        group: tensors (8, ...).
        keys: int32 (2,) for each example, its own.
        mosaic: (example, three others, *, seed) -> example, or None.
        mix: (example, partner, *, seed) -> example, or None.
    """
    examples = [
        {name: values[index] for name, values in group.items()} for index in range(SIZE)
    ]
    if mosaic is not None:
        examples = [
            mosaic(*_four(examples, index), seed=_stream(key, _MOSAIC_STREAM))
            for index, key in enumerate(keys)
        ]
    if mix is not None:
        partners = examples[_FOUR:] + examples[:_FOUR]
        examples = [
            mix(example, partner, seed=_stream(key, _MIX_STREAM))
            for example, partner, key in zip(examples, partners, keys, strict=True)
        ]
    return {name: tf.stack([e[name] for e in examples]) for name in examples[0]}


def _four(examples: Sequence[Example], index: int) -> list[Example]:
    """Choose an example and the three others of its half."""
    half = examples[index // _FOUR * _FOUR :][:_FOUR]
    return [half[(index + turn) % _FOUR] for turn in range(_FOUR)]


def _stream(key: tf.Tensor, number: int) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(key, number)
