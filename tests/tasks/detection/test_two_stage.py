"""The stages are asked and trained with the same layers."""

import keras
import numpy as np

from tfdl.tasks.detection import roi_sampling, two_stage


def test_both_ways_through_the_stages():
    stages = two_stage.stages(
        (64, 64, 3), 3, backbone="resnet18", weights=None, width=0.125
    )
    proposals, asked = stages.asked()
    objects = two_stage.objects_input()
    drawn, trained = stages.trained(objects)
    network = keras.Model(
        {"image": stages.image, **objects},
        {"boxes": proposals["boxes"], "asked": asked, "drawn": drawn, "own": trained},
    )
    found = network(
        {
            "image": np.zeros((2, 64, 64, 3), np.float32),
            "boxes": np.array([[[4, 4, 30, 40]]] * 2, np.float32),
            "labels": np.array([[1], [-1]], np.int32),
            "weights": np.array([[1], [0]], np.float32),
        }
    )
    proposed, count = found["boxes"].shape[1], found["drawn"]["boxes"].shape[1]
    assert found["asked"]["classes"].shape == (2, proposed, 4)
    assert found["own"]["classes"].shape == (2, count, 4)
    first = two_stage.most_with_object(drawn)
    assert (first, count - first) == roi_sampling.room(count)
    has_object = np.array(found["drawn"]["labels"]) < stages.num_classes
    assert has_object[0, :first].any()
    assert not has_object[:, first:].any()
    assert not has_object[1].any()
