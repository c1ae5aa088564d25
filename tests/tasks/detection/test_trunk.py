"""The maps that backbones give detectors, and those that give none."""

import pytest

from tfdl import errors
from tfdl.tasks.detection import trunk


def test_maps_have_strides_of_8_16_and_32_rounded_up():
    inputs, maps = trunk.feature_maps(
        "mobilenet_v2", (100, 64, 3), weights=None, width=0.25
    )
    assert inputs.shape == (None, 100, 64, 3)
    shapes = {level: x.shape[1:3] for level, x in maps.items()}
    assert shapes == {"c3": (13, 8), "c4": (7, 4), "c5": (4, 2)}


@pytest.mark.parametrize(
    ("backbone", "message"),
    [("resnet5", "network of the zoo"), ("cifar_resnet20", "a map c3 of stride 8")],
)
def test_a_backbone_without_such_maps_is_refused(backbone, message):
    with pytest.raises(errors.UsageError, match=message):
        trunk.feature_maps(backbone, (64, 64, 3), weights=None, width=0.25)


def test_an_unknown_size_is_refused():
    with pytest.raises(errors.UsageError, match="height and a width"):
        trunk.feature_maps("resnet18", (None, None, 3), weights=None, width=0.25)
