import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.tasks.segmentation import checks, feeding, recipes, segmenter
from tfdl.training import optimizers


def build(num_classes):
    inputs = keras.Input((None, None, 3))
    outputs = keras.layers.Conv2D(num_classes, 1, kernel_initializer="zeros")(inputs)
    return keras.Model(inputs, {"logits": outputs})


def test_a_check_is_told_data_network_and_theory(split):
    recipe = recipes.recipe(
        "flips",
        "random",
        image_size=16,
        frequencies=np.array([0.8, 0.2]),
        targets=lambda labels: {"labels": labels},
    )
    seen = split.take(np.arange(6))
    splits = feeding.Splits(
        {"train": seen, "validation": seen, "test": seen},
        recipe,
        batch_size=2,
        seed=0,
        image_size=16,
        cache_bytes=0,
    )
    told = checks.set_up(splits, build, lambda train: segmenter.Objective())
    batch = next(iter(told["feed"].batches(range(1))))
    assert told["start_losses"](batch) == {"loss": pytest.approx(math.log(2))}
    model = told["build"](optimizers.optimizer("sgd", 0.1))
    loss = model.evaluate(*batch, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(math.log(2), rel=1e-5)
    assert told["pictures"]["train_batch"].dtype == np.uint8
    assert {row.verdict for row in told["found"]} <= {"pass", "warn"}
    assert tf.reduce_max(batch[0]) <= 1
