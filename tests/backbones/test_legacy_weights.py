"""Weights of Keras 2: names and shapes alone decide, and everything else is refused."""

import contextlib

import h5py
import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import ends, imagenet, legacy_weights, squeezenet

SHAPE = (35, 35, 3)
WIDTH = 0.125
REAL_FILE = "squeezenet/weights/squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5"


def _build(num_classes=None, weights=None, **options):
    options = {"image_shape": SHAPE, "width": WIDTH} | options
    image_shape = options.pop("image_shape")
    return squeezenet.squeezenet1_1(image_shape, num_classes, weights, **options)


def _write(path, arrays):
    """Write {"fire2/squeeze1x1": [kernel, bias]} as Keras 2 does."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in arrays]
        for name, (kernel, bias) in arrays.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}_3/kernel:0", f"{name}_3/bias:0"]
            group[f"{name}_3/kernel:0"] = kernel
            group[f"{name}_3/bias:0"] = bias


@pytest.fixture(scope="module")
def arrays():
    """Return the file's arrays for the narrow model, by its names."""
    generator = np.random.default_rng(0)
    return {
        squeezenet.LEGACY.name_of(layer.name): [
            generator.normal(size=weight.shape).astype("float32")
            for weight in layer.weights
        ]
        for layer in _build(5).layers
        if layer.weights
    }


@pytest.fixture
def path(arrays, tmp_path):
    path = tmp_path / "theirs.h5"
    _write(path, arrays)
    return path


def _notop(arrays):
    return {name: values for name, values in arrays.items() if name != "conv10"}


def test_all_layers_load_and_the_first_kernel_is_adapted(arrays, path):
    model = _build(5, path)
    kernel, bias = model.get_layer("conv1").get_weights()
    # Red, their last channel, is multiplied by 255 and our deviation.
    np.testing.assert_allclose(
        kernel[:, :, 0], arrays["conv1"][0][:, :, 2] * 255 * 0.229, rtol=1e-6
    )
    np.testing.assert_array_equal(bias, arrays["conv1"][1])
    for name, theirs in [
        ("fire2_squeeze1x1", "fire2/squeeze1x1"),
        ("fire9_expand3x3", "fire9/expand3x3"),
        ("classifier", "conv10"),
    ]:
        for mine, expected in zip(
            model.get_layer(name).get_weights(), arrays[theirs], strict=True
        ):
            np.testing.assert_array_equal(mine, expected)


def test_conv1_equals_that_of_their_picture(arrays, path):
    """Theirs is blue, green, red in [0, 255] less Caffe's mean, by Keras."""
    image = np.random.default_rng(1).random((2, *SHAPE), dtype="float32")
    theirs = keras.applications.imagenet_utils.preprocess_input(
        255 * image, mode="caffe"
    )
    kernel, bias = arrays["conv1"]
    expected = keras.ops.relu(keras.ops.conv(theirs, kernel, 2, "valid") + bias)
    np.testing.assert_allclose(
        _build(None, path)(image)["c1"], expected, rtol=1e-4, atol=1e-2
    )


@pytest.mark.parametrize("num_classes", [None, 5, 3])
def test_a_file_without_head_leaves_the_classifier_random(
    arrays, tmp_path, num_classes
):
    _write(tmp_path / "notop.h5", _notop(arrays))
    keras.utils.set_random_seed(0)
    fresh = _build(num_classes)
    keras.utils.set_random_seed(0)
    loaded = _build(num_classes, tmp_path / "notop.h5")
    np.testing.assert_array_equal(
        loaded.get_layer("fire5_expand1x1").get_weights()[0],
        arrays["fire5/expand1x1"][0],
    )
    if num_classes is not None:
        np.testing.assert_array_equal(
            loaded.get_layer("classifier").get_weights()[0],
            fresh.get_layer("classifier").get_weights()[0],
        )


@pytest.mark.parametrize("num_classes", [None, 3])
def test_a_head_that_does_not_fit_is_left_out(path, num_classes):
    model = _build(num_classes, path)
    assert model.get_layer("fire9_expand3x3").get_weights()[1].any()


def _without(name):
    return lambda arrays: {key: arrays[key] for key in arrays if key != name}


def _with(name, values):
    return lambda arrays: arrays | {name: values}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_without("fire7/expand3x3"), "layer fire7_expand3x3 has {}, not"),
        (_with("conv1", [np.zeros((3, 3, 3, 9)), np.zeros(9)]), "layer conv1 has"),
        (_with("fire2/squeeze1x1", [np.zeros((1, 1, 8, 2)), np.zeros(3)]), "fire2"),
        (_with("fire10/squeeze1x1", [np.zeros(1)] * 2), "other weights, such as fire1"),
        (_with("conv1/conv1_4", [np.zeros(1)] * 2), "other weights, such as conv1/"),
    ],
)
def test_a_file_of_another_model_is_refused(arrays, tmp_path, change, reason):
    _write(tmp_path / "other.h5", change(arrays))
    with pytest.raises(errors.ModelFileError, match=reason) as info:
        _build(5, tmp_path / "other.h5")
    assert str(tmp_path / "other.h5") in str(info.value)


def test_nothing_is_loaded_if_the_last_layer_does_not_fit(arrays, tmp_path):
    _write(tmp_path / "other.h5", _without("fire9/expand3x3")(arrays))
    model = _build()
    before = model.get_weights()
    with pytest.raises(errors.ModelFileError, match="fire9_expand3x3"):
        legacy_weights.load(model, tmp_path / "other.h5", squeezenet.LEGACY)
    for left, right in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(left, right)


def test_grey_pictures_are_refused(arrays, tmp_path):
    """The kernel could not be adapted: their normalisation is of colours."""
    kernel, bias = arrays["conv1"]
    path = tmp_path / "grey.h5"
    _write(path, arrays | {"conv1": [kernel[:, :, :1], bias]})
    with pytest.raises(errors.ModelFileError, match="pictures have 1 channels"):
        _build(5, path, image_shape=(35, 35, 1))


def test_a_truncated_file_is_refused(path):
    content = path.read_bytes()
    for length in (0, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(errors.ModelFileError, match="cannot be read") as info:
            _build(5, path)
        assert str(path) in str(info.value)


def test_a_file_with_damaged_bytes_loads_or_is_refused(path):
    """HDF5 has no checksum of numbers, but no damage gives another exception."""
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    model = _build(5)
    for start in generator.integers(0, len(content), 50):
        damaged = bytearray(content)
        damaged[start : start + 8] = generator.bytes(8)
        path.write_bytes(damaged)
        with contextlib.suppress(errors.ModelFileError):
            legacy_weights.load(model, path, squeezenet.LEGACY)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(errors.ModelFileError, match="missing.h5 does not exist"):
        _build(5, tmp_path / "missing.h5")


def test_a_model_without_such_files_refuses_them(path):
    inputs, x = ends.image_input(SHAPE, mean=(0.5,), std=(0.5,))
    with pytest.raises(errors.ModelFileError, match=r"must be a `.weights.h5` file"):
        ends.model("other", inputs, {"c1": x}, None, num_classes=None, weights=path)


def test_text_in_place_of_numbers_is_refused(path):
    with h5py.File(path, "r+") as file:
        group = file["fire3/expand1x1/fire3/expand1x1_3"]
        shape = group["bias:0"].shape
        del group["bias:0"]
        group["bias:0"] = np.full(shape, b"1")
    with pytest.raises(errors.ModelFileError, match="not numbers"):
        _build(5, path)


@pytest.mark.parametrize("kind", ["external", "virtual", "link", "soft"])
def test_values_in_another_file_are_refused(arrays, path, tmp_path, kind):
    """Else a weights file could read any file of the machine."""
    bias = arrays["fire3/expand1x1"][1]
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["bias"] = bias
    (tmp_path / "secret").write_bytes(bias.tobytes())
    with h5py.File(path, "r+") as file:
        group = file["fire3/expand1x1/fire3/expand1x1_3"]
        del group["bias:0"]
        if kind == "external":
            source = [(str(tmp_path / "secret"), 0, bias.nbytes)]
            group.create_dataset("bias:0", bias.shape, "float32", external=source)
        elif kind == "virtual":
            layout = h5py.VirtualLayout(bias.shape, "float32")
            layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "bias", bias.shape)
            group.create_virtual_dataset("bias:0", layout)
        elif kind == "link":
            group["bias:0"] = h5py.ExternalLink(tmp_path / "secret.h5", "bias")
        else:
            group["bias:0"] = h5py.SoftLink("/fire2/expand1x1/fire2/expand1x1_3/bias:0")
    with pytest.raises(errors.ModelFileError, match="not allowed|fire3_expand1x1 has"):
        _build(5, path)


def test_adapting_a_kernel_twice_is_the_identity():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype("float32")
    scale = np.array([2.0, 4.0, 8.0])
    there = imagenet.adapted(kernel, scale, is_bgr=True)
    # The second scale meets the channels in the order that the first left behind.
    back = imagenet.adapted(there, 1 / scale[::-1], is_bgr=True)
    np.testing.assert_allclose(back, kernel, rtol=1e-6)


@pytest.fixture
def real_file(real_data):
    path = real_data / REAL_FILE
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


@pytest.mark.parametrize("num_classes", [None, 10])
def test_the_real_file_loads_wholly(real_file, num_classes):
    model = squeezenet.squeezenet1_1((227, 227, 3), num_classes, real_file)
    stored = {}

    def visit(place, item):
        if isinstance(item, h5py.Dataset):
            stored[place] = item[()]

    with h5py.File(real_file) as file:
        file.visititems(visit)
    head = 0 if num_classes is None else 513 * num_classes
    num_weights = sum(values.size for values in stored.values())
    assert num_weights == model.count_params() - head == 722_496
    (bias,) = (
        stored[place]
        for place in stored
        if place.startswith("fire9/expand3x3/") and place.endswith("bias:0")
    )
    np.testing.assert_array_equal(
        model.get_layer("fire9_expand3x3").get_weights()[1], bias
    )


def test_the_real_file_does_not_fit_the_other_version(real_file):
    with pytest.raises(errors.ModelFileError, match="layer conv1 has"):
        squeezenet.squeezenet1_0((227, 227, 3), None, real_file)
