"""What the parity tests share: weights that none of the models starts from."""

import numpy as np
import pytest


@pytest.fixture
def randomize():
    """Give a model weights under which values keep their size; variances positive."""

    def assign(model):
        generator = np.random.default_rng(0)
        for weight in model.weights:
            values = generator.normal(scale=0.1, size=weight.shape)
            if weight.name in ("moving_variance", "gamma"):
                values = generator.uniform(0.5, 1.5, weight.shape)
            elif weight.name == "depthwise_kernel":
                values = generator.normal(scale=0.5, size=weight.shape)
            elif weight.name.endswith("kernel"):
                fan_in = np.prod(weight.shape[:-1])
                values = generator.normal(scale=np.sqrt(2 / fan_in), size=weight.shape)
            weight.assign(values)

    return assign
