import csv
import dataclasses
import pathlib

import keras
import numpy as np
import PIL.Image
import pytest

from tfdl import errors
from tfdl.training import description


@dataclasses.dataclass(frozen=True)
class Cost:
    layer: str
    output_shape: tuple
    trainable: int
    parameters: int
    multiply_adds: int
    activation_bytes: int


@dataclasses.dataclass(frozen=True)
class Field:
    layer: str
    size: tuple
    stride: tuple
    padding: tuple
    has_global_path: bool = False


COSTS = [
    Cost("conv", (4, 4, 5), 1_500, 1_600, 24_000, 320),
    Cost("boxes", (7,), 0, 0, 0, 28),
    Cost("conv", (2, 2, 5), 0, 0, 6_000, 80),
]
FIELDS = [
    Field("conv", (3, 3), (2.0, 2.0), (1, 1)),
    Field("conv", (7.0, 11), (4, 4), (None, 3)),
]


def build(image_shape, num_classes, *, weights, width, output_stride):
    """Build a model of two levels, the arguments of which show in its shapes."""
    inputs = keras.Input(image_shape)
    x = keras.layers.Conv2D(int(6 * width), 3, 2, padding="same", name="conv")(inputs)
    features = {"c1": x, "c2": keras.layers.MaxPooling2D(output_stride // 2)(x)}
    if weights is not None:
        raise errors.ModelFileError(f"{weights} is missing.", "give another")
    if num_classes is None:
        return keras.Model(inputs, features)
    return keras.Model(inputs, keras.layers.Dense(num_classes)(x))


def describe(options, levels=FIELDS[0]):
    return description.describe(
        options,
        build,
        costs=lambda model: COSTS,
        fields=lambda model: FIELDS,
        levels=lambda model: {"c1": levels, "c2": FIELDS[1]},
    )


@pytest.fixture
def options(tmp_path):
    return description.Info(
        "tiny", image_size=32, num_classes=10, output_stride=4, out=tmp_path / "out"
    )


def test_the_totals_are_the_sums(options):
    lines = describe(options)
    assert lines[:4] == [
        "tiny for pictures of 32 x 32 x 3, 10 classes",
        "parameters     1,500, and 100 that are not trained",
        "multiply-adds  30,000 for a picture",
        "activations    0 kB for a picture in training",
    ]


def test_levels_are_a_table_of_maps_and_fields(options):
    lines = describe(dataclasses.replace(options, width=2.0))
    assert lines[5:8] == [
        "level           map  stride  receptive field      padding",
        "c1     16 x 16 x 12       2                3            1",
        "c2       8 x 8 x 12       4           7 x 11  unknown x 3",
    ]


def test_a_path_that_pools_the_picture_is_told(options):
    assert not any("pool" in line for line in describe(options)[:-1])
    gated = dataclasses.replace(FIELDS[0], has_global_path=True)
    assert any("pool the whole picture" in line for line in describe(options, gated))


def test_layers_csv_has_a_row_for_each_call(options):
    describe(options)
    with open(options.folder / "layers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == ["conv", "boxes", "conv"]
    assert [row["output_shape"] for row in rows] == ["4x4x5", "7", "2x2x5"]
    assert [row["field_columns"] for row in rows] == ["3", "", "11"]
    assert [row["padding_rows"] for row in rows] == ["1", "", ""]
    assert [row["stride_rows"] for row in rows] == ["2", "", "4"]
    assert rows[0]["multiply_adds"] == "24000"


@pytest.mark.parametrize("channels", [1, 3])
def test_filters_and_maps_of_a_picture_are_drawn(options, tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "noise.png")
    options = dataclasses.replace(
        options, picture=tmp_path / "noise.png", channels=channels
    )
    lines = describe(options)
    names = ["layers.csv", "filters.png", "activations_c1.png", "activations_c2.png"]
    assert lines[-1] == f"{', '.join(names)} in {options.folder.resolve()}"
    assert {path.name for path in options.folder.iterdir()} == set(names)
    with PIL.Image.open(options.folder / "activations_c1.png") as drawn:
        assert drawn.size[1] > 100


def test_without_a_picture_no_maps_are_drawn(options):
    describe(options)
    found = {path.name for path in options.folder.iterdir()}
    assert found == {"layers.csv", "filters.png"}


def test_the_central_square_is_read_upright(tmp_path):
    """Orientation 3 is upside down; a wide picture loses its sides."""
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:5, 10:20], pixels[:, :10] = (255, 0, 0), (0, 255, 0)
    exif = PIL.Image.Exif()
    exif[0x0112] = 3
    PIL.Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    options = description.Info("x", image_size=10, picture=tmp_path / "turned.png")
    image = description._read(options)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image[5:], np.broadcast_to((1, 0, 0), (5, 10, 3)))
    assert image[:5].max() == 0


@pytest.mark.parametrize("content", [b"no picture", None])
def test_a_picture_that_cannot_be_read_is_an_error_of_data(options, tmp_path, content):
    path = tmp_path / "broken.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.DataError, match=r"--picture .*broken\.jpg"):
        describe(dataclasses.replace(options, picture=path))


def test_weights_that_are_named_are_asked_for(options):
    with pytest.raises(errors.ModelFileError, match="some.weights.h5 is missing"):
        describe(dataclasses.replace(options, weights="some.weights.h5"))


@pytest.mark.parametrize("values", [{"image_size": 0}, {"num_classes": 0}])
def test_flags_that_cannot_be_are_refused(values):
    with pytest.raises(errors.UsageError, match="must be at least 1"):
        description.Info("lenet5", **values)


def test_the_folder_is_named_after_the_model():
    assert description.Info("lenet5").folder == pathlib.Path("runs/info/lenet5")
