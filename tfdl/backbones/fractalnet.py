"""FractalNet: very deep networks without residuals, for CIFAR [Larsson 2017].

Counting traps: the paper has no count for four columns with these channels, and leaves
open what changes it. Here the norms have a scale and an offset and the convolutions no
bias (76,106,634 with 10 classes); in the authors' code it is the other way round. Of
three columns 38.6 million are reported; the rule gives 33.7.
"""

from collections.abc import Sequence

import keras

from tfdl.backbones import cifar_resnet, ends
from tfdl.layers import blocks, drop_path

NUM_COLUMNS = 4  # of 1, 2, 4 and 8 convolutions in each block: 40 layers deep
CHANNELS = (64, 128, 256, 512, 512)  # of the five blocks


def fractalnet(
    image_shape: Sequence[int | None],
    num_classes: int | None = 1000,
    weights: str | None = None,
    width: float = 1.0,
    output_stride: int = 32,
    *,
    normalization: str = "batch",
    dropout_rate: float = 0.4,
    spatial_dropout_rate: float = 0.0,
    drop_path_rate: float = 0.15,
) -> keras.Model:
    """Build the fractal network of five blocks with four columns each.

    A fractal starts as one convolution. An expansion puts two copies of what there is
    behind one another and joins them, by their mean, with one convolution beside them.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32) with 64, 128, 256, 512, 512
    channels, after the blocks, each of which ends with a pooling.

    Half of the batches train one column (global drop-path), the others all (local).

    Deviations from the paper: local drop-path is drawn for each picture. Dropout, whose
    place the paper does not tell, follows every block but is nothing after the first.
    The columns are pooled before a block's last join, as in the authors' code. Pictures
    of more than 32 pixels are averaged before the dense layer. CIFAR-10's mean and
    deviation normalise them; He's initialisation replaces Xavier's; width and other
    norms are options.

    The arguments are those of every backbone, see `tfdl.backbones`; `drop_path_rate` is
    that of every join, and 0 switches global drop-path off too; `dropout_rate` is that
    of the last block, rising linearly from 0; `output_stride` must be 32.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        Larsson et al., "FractalNet: Ultra-Deep Neural Networks without Residuals",
        2017, sections 2 to 4.
    """
    ends.check_output_stride(output_stride, (32,))
    ends.check_rate("dropout_rate", dropout_rate)
    blocks.drop_path_rates(drop_path_rate, 1)  # refuses what is out of range
    inputs, x = ends.image_input(
        image_shape, mean=cifar_resnet.CIFAR_MEAN, std=cifar_resnet.CIFAR_STD
    )
    choice = drop_path.ColumnChoice(NUM_COLUMNS, name="column")(x)
    features, last = {}, len(CHANNELS) - 1
    for index, filters in enumerate(CHANNELS):
        name = f"c{index + 1}"
        x = _fractal(
            x,
            blocks.scaled(filters, width),
            choice,
            drop_path_rate=drop_path_rate,
            normalization=normalization,
            name=name,
        )
        x = features[name] = blocks.spatial_dropout(x, spatial_dropout_rate, name=name)
        if 0 < index < last:
            rate = dropout_rate * index / last
            x = keras.layers.Dropout(rate, name=f"{name}_dropout")(x)
    return ends.model(
        "fractalnet",
        inputs,
        features,
        lambda: ends.classifier(ends.pooled(x), num_classes, dropout_rate=dropout_rate),
        num_classes=num_classes,
        weights=weights,
    )


def _fractal(x, filters, choice, *, drop_path_rate, normalization, name):
    """Add a block: all columns at once, join by join, and their pooling."""
    columns = [x] * NUM_COLUMNS
    num_steps = 2 ** (NUM_COLUMNS - 1)  # convolutions of the deepest column
    for step in range(1, num_steps + 1):
        # Column 0 has one convolution as long as the block, the last one has the most.
        ending = [
            column for column in range(NUM_COLUMNS) if step % (num_steps >> column) == 0
        ]
        for column in ending:
            columns[column] = blocks.conv_norm_activation(
                columns[column],
                filters,
                3,
                normalization=normalization,
                name=f"{name}_column{column + 1}_{step}",
            )
            if step == num_steps:
                columns[column] = blocks.max_pool(
                    columns[column],
                    2,
                    2,
                    padding="same",
                    name=f"{name}_column{column + 1}_pool",
                )
        if len(ending) > 1:
            join = drop_path.DropPathJoin(
                drop_path_rate, columns=ending, name=f"{name}_join{step}"
            )
            joined = join([columns[column] for column in ending], choice=choice)
            for column in ending:
                columns[column] = joined
    return columns[0]
