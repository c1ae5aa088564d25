import inspect

import numpy as np
import pytest

from tfdl import errors
from tfdl.tasks.detection import models

WIDTH = 0.125


def test_every_detector_is_built_by_the_same_arguments():
    for name, function in models.MODELS.items():
        parameters = inspect.signature(function).parameters
        assert list(parameters)[:2] == ["image_shape", "num_classes"], name
        assert {"backbone", "weights", "width"} <= set(parameters), name


@pytest.mark.parametrize("name", models.MODELS)
def test_a_detector_answers_boxes_and_scores(name):
    made = models.make(name, 64, 3, backbone="resnet18", weights="none", width=WIDTH)
    assert isinstance(made, models.Detector)
    answers = made.inference_model(np.zeros((2, 64, 64, 3), np.float32))
    candidates = answers["boxes"].shape[1]
    assert answers["boxes"].shape in [(2, candidates, 4), (2, candidates, 3, 4)]
    assert answers["scores"].shape == (2, candidates, 3)
    scores = np.asarray(answers["scores"])
    assert ((scores >= 0) & (scores <= 1)).all()
    assert 4 <= made.smallest_stride <= 32


def test_published_is_the_model_s_own_backbone():
    made = models.make(
        "yolov8_n", 64, 3, backbone="published", weights="none", width=1.0
    )
    assert made.network.name == "yolov8n"


@pytest.mark.parametrize("name", models.MODELS)
def test_what_cannot_be_built_is_a_mistake_of_usage(name):
    for backbone, num_classes in (("resnet19", 3), ("resnet18", 0)):
        with pytest.raises(errors.UsageError):
            models.make(
                name, 64, num_classes, backbone=backbone, weights="none", width=WIDTH
            )
