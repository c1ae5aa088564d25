"""Weights files: what loads, what may differ, and every way to be refused."""

import hashlib

import h5py
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import BACKBONES, weights

SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def model():
    return BACKBONES["cifar_resnet20"](SHAPE, 10, width=0.25)


@pytest.fixture
def path(model, tmp_path):
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    return path


def _assert_equal_weights(left, right, names):
    for name in names:
        for mine, theirs in zip(
            left.get_layer(name).get_weights(),
            right.get_layer(name).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(mine, theirs)


def _weighted(model):
    return [layer.name for layer in model.layers if layer.weights]


def test_all_layers_load(model, path):
    loaded = BACKBONES["cifar_resnet20"](SHAPE, 10, path, 0.25)
    _assert_equal_weights(loaded, model, _weighted(model))


def test_another_number_of_classes_keeps_its_own_last_layer(model, path):
    loaded = BACKBONES["cifar_resnet20"](SHAPE, 3, path, 0.25)
    _assert_equal_weights(loaded, model, _weighted(model)[:-1])
    assert loaded.get_layer("classifier").get_weights()[0].shape == (16, 3)


@pytest.mark.parametrize("output_stride", [32, 2])
def test_a_model_of_feature_maps_takes_all_but_the_head(model, path, output_stride):
    loaded = BACKBONES["cifar_resnet20"](
        SHAPE, None, path, width=0.25, output_stride=output_stride
    )
    _assert_equal_weights(loaded, model, _weighted(loaded))


def test_lenet_without_its_dense_layers_loads(tmp_path):
    full = BACKBONES["lenet5"]((28, 28, 1), 10)
    full.save_weights(tmp_path / "lenet.weights.h5")
    maps = BACKBONES["lenet5"]((28, 28, 1), None, tmp_path / "lenet.weights.h5")
    _assert_equal_weights(maps, full, ["c1_conv", "c2_conv"])


def test_a_head_cannot_come_from_a_model_without_one(path, tmp_path):
    maps = BACKBONES["cifar_resnet20"](SHAPE, None, width=0.25)
    maps.save_weights(tmp_path / "maps.weights.h5")
    with pytest.raises(errors.ModelFileError, match="layer classifier has"):
        BACKBONES["cifar_resnet20"](SHAPE, 10, tmp_path / "maps.weights.h5", 0.25)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("cifar_resnet20", {"width": 0.5}, "layer stem_conv has"),
        ("cifar_resnet20", {"width": 0.25, "normalization": "group"}, "stem_norm"),
        ("cifar_resnet32", {"width": 0.25}, "layer c1_block4_1_conv has"),
        ("resnet18", {}, "layer stem_conv has"),
    ],
)
def test_weights_of_another_model_are_refused(path, name, options, reason):
    with pytest.raises(errors.ModelFileError, match=reason) as info:
        BACKBONES[name](SHAPE, 10, path, **options)
    assert str(path) in str(info.value)


def test_a_deeper_model_is_refused_although_its_names_include_ours(tmp_path):
    deeper = BACKBONES["cifar_resnet32"](SHAPE, 10, width=0.25)
    deeper.save_weights(tmp_path / "deeper.weights.h5")
    with pytest.raises(errors.ModelFileError, match="other layers, such as c1_block4"):
        BACKBONES["cifar_resnet20"](SHAPE, 10, tmp_path / "deeper.weights.h5", 0.25)


def test_a_truncated_file_is_refused(model, path):
    content = path.read_bytes()
    for length in (0, 100, len(content) // 2):
        path.write_bytes(content[:length])
        with pytest.raises(errors.ModelFileError, match="cannot be read") as info:
            weights.load(model, path)
        assert str(path) in str(info.value)


def test_a_missing_file_is_refused(model, tmp_path):
    with pytest.raises(
        errors.ModelFileError, match=r"missing.weights.h5 does not exist\.$"
    ):
        weights.load(model, tmp_path / "missing.weights.h5")


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_other_formats_are_refused(model, tmp_path, name):
    with pytest.raises(errors.ModelFileError, match=r"must be a `.weights.h5` file"):
        weights.load(model, tmp_path / name)


def test_a_digest_beside_the_file_is_verified(model, path):
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    sidecar = path.with_name(path.name + ".sha256")
    sidecar.write_text(f"{digest}  {path.name}\n")
    weights.load(model, path)

    flipped = bytearray(content)
    flipped[-1] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(errors.ModelFileError, match="model.weights.h5 is damaged"):
        weights.load(model, path)

    path.write_bytes(content)
    sidecar.write_text("")
    with pytest.raises(errors.ModelFileError, match="model.weights.h5 is damaged"):
        weights.load(model, path)


def test_values_in_another_file_are_refused(model, path, tmp_path):
    """Else a weights file could read any file of the machine."""
    with h5py.File(path, "r+") as file:
        group = _classifier(file)
        del group["1"]
        (tmp_path / "secret").write_bytes(bytes(40))
        group.create_dataset(
            "1", (10,), "float32", external=[(str(tmp_path / "secret"), 0, 40)]
        )
    with pytest.raises(errors.ModelFileError, match="not allowed"):
        weights.load(model, path)


@pytest.mark.parametrize("kind", ["external", "soft", "group"])
def test_anything_but_an_array_of_the_file_is_refused(model, path, tmp_path, kind):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["values"] = np.zeros(10, "float32")
    with h5py.File(path, "r+") as file:
        group = _classifier(file)
        del group["1"]
        if kind == "external":
            group["1"] = h5py.ExternalLink(str(secret), "/values")
        elif kind == "soft":
            group["1"] = h5py.SoftLink(f"{group.name}/0")
        else:
            group.create_group("1")
    with pytest.raises(errors.ModelFileError, match=r"/1 is a link .* not allowed"):
        weights.load(model, path)


def test_a_last_layer_of_other_inputs_is_refused(model, path):
    """Other classes alone may differ."""
    with h5py.File(path, "r+") as file:
        group = _classifier(file)
        del group["0"]
        group["0"] = np.zeros((17, 10), "float32")
    with pytest.raises(errors.ModelFileError, match="layer classifier has"):
        weights.load(model, path)


def _classifier(file):
    groups = []
    file.visititems(lambda _, group: groups.append(group))
    return next(group for group in groups if group.attrs.get("name") == "classifier")
