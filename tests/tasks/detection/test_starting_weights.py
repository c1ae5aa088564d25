import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import BACKBONES
from tfdl.tasks.detection import models, starting_weights

KINDS = {
    "yolov8_n": ("published", 64, {"classes8", "classes16", "classes32"}),
    "yolov3": ("published", 64, {f"head_c{n}_prediction" for n in (3, 4, 5)}),
    "yolov1": ("published", 64, {"prediction"}),
    "ssd300": ("resnet18", 300, {f"classes{n}" for n in range(1, 7)}),
    "retinanet": ("resnet18", 64, {"classes_last"}),
    "localizer": ("resnet18", 64, {"classes"}),
}


def make(name, num_classes, weights="none", *, width=0.0625):
    backbone, size, _ = KINDS[name]
    how = {"backbone": backbone, "weights": str(weights), "width": width}
    return models.make(name, size, num_classes, **how)


def values(network):
    return {layer.name: layer.get_weights() for layer in network.layers}


def changed(first, second):
    """Name the layers whose weights differ."""
    return {
        name
        for name in first
        for one, other in zip(first[name], second[name], strict=True)
        if one.shape != other.shape or not np.array_equal(one, other)
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A YOLOv8 of three classes, with random norms, and its file."""
    network = make("yolov8_n", 3).inference_model
    random = np.random.default_rng(0)
    network.set_weights([random.random(w.shape) for w in network.get_weights()])
    path = tmp_path_factory.mktemp("saved") / "best.weights.h5"
    network.save_weights(path)
    return network, path


def test_of_the_same_classes_all_weights_are_taken(saved):
    network, path = saved
    again = make("yolov8_n", 3, path)
    assert changed(values(again.network), values(network)) == set()


@pytest.mark.parametrize("name", KINDS)
def test_for_other_classes_the_last_layers_alone_start_anew(name, tmp_path):
    first = make(name, 3).network
    path = tmp_path / "best.weights.h5"
    first.save_weights(path)
    second = make(name, 5, path).network
    assert changed(values(second), values(first)) == KINDS[name][2]


def test_another_width_is_refused_by_the_name_of_a_layer(saved):
    with pytest.raises(errors.ModelFileError, match=r"best.weights.h5.*layer \w+"):
        make("yolov8_n", 3, saved[1], width=0.125)


def test_another_model_is_refused(saved):
    with pytest.raises(errors.ModelFileError, match="does not fit yolov3"):
        make("yolov3", 3, saved[1])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(errors.ModelFileError, match=r"nowhere.weights.h5"):
        make("yolov8_n", 3, tmp_path / "nowhere.weights.h5")


def test_a_backbone_s_file_is_none_of_a_detector(tmp_path):
    path = tmp_path / "resnet18.weights.h5"
    body = BACKBONES["resnet18"]((64, 64, 3), 10, width=0.0625)
    body.save_weights(path)
    assert not starting_weights.are_of_detector(path)
    network = make("retinanet", 3, path).network
    kernel = body.get_layer("stem_conv").get_weights()[0]
    np.testing.assert_array_equal(
        network.get_layer("stem_conv").get_weights()[0], kernel
    )
