import numpy as np
import pytest

from tfdl.backbones import BACKBONES
from tfdl.data.sources import source
from tfdl.tasks.classification import lint


def made(labels, *, digests=None, pixels=3072, names=("cat", "dog")):
    """Make a source of which only the tables are looked at."""
    size = len(labels)
    digests = np.arange(size) if digests is None else np.asarray(digests)
    return source.Source(
        class_names=names,
        names=[f"{number}.png" for number in range(size)],
        labels=np.asarray(labels, np.int32),
        digests=digests.astype("S8"),
        pixels=np.full(size, pixels),
        load=None,
    )


def verdicts(train, *, validation=None, image_size=32):
    sources = {"train": train, "validation": validation or made([0, 1]), "test": train}
    return {row.name: row for row in lint.lint(sources, image_size=image_size)}


def test_a_good_data_set_passes_with_its_counts():
    found = verdicts(made([0, 1] * 30))
    assert {row.verdict for row in found.values()} == {"pass"}
    assert "60 train, 2 validation, 60 test pictures of 2 classes" in (
        found["splits"].reason
    )
    assert "from 30 of cat to 30 of cat" in found["classes"].reason


@pytest.mark.parametrize(
    ("labels", "verdict", "reason"),
    [
        ([0] * 60, "fail", "train has no picture of dog"),
        ([0] * 300 + [1] * 25, "warn", "--sampling balanced"),
        ([0, 1] * 5, "warn", "few to learn"),
    ],
)
def test_classes_that_are_missing_uneven_or_small_are_told(labels, verdict, reason):
    row = verdicts(made(labels))["classes"]
    assert row.verdict == verdict
    assert reason in row.reason


def test_a_class_that_validation_lacks_is_a_warning():
    row = verdicts(made([0, 1] * 30), validation=made([0, 0]))["classes"]
    assert (row.verdict, "validation has no picture of dog" in row.reason) == (
        "warn",
        True,
    )


def test_repeated_pictures_are_counted():
    digests = [*range(58), 0, 0]
    labels = [0, 1] * 29 + [0, 0]
    row = verdicts(made(labels, digests=digests))["labels"]
    assert row.verdict == "warn"
    assert "2 pictures of train repeat others: 0.png, 58.png, 59.png" in row.reason


def test_one_picture_with_two_labels_is_named():
    row = verdicts(made([0, 1] * 30, digests=[0, 0, *range(2, 60)]))["labels"]
    assert "1 pictures have two labels: 0.png, 1.png" in row.reason


def test_small_pictures_are_counted():
    row = verdicts(made([0, 1] * 30, pixels=100))["sizes"]
    assert row.verdict == "warn"
    assert "60 pictures have fewer pixels than --image-size 32" in row.reason


def test_multi_hot_labels_are_counted_by_label():
    labels = np.asarray([[1, 1], [0, 1]] * 30)
    assert "from 30 of cat to 60 of dog" in verdicts(made(labels))["classes"].reason


def test_a_stream_is_taken_as_it_comes():
    stream = source.Stream(("cat", "dog"), size=9, read=None, load=None)
    (row,) = lint.lint({"train": stream, "test": stream}, image_size=32)
    assert row.verdict == "warn"


@pytest.mark.parametrize(
    ("name", "size", "verdict"),
    [("cifar_resnet20", 32, "pass"), ("cifar_resnet20", 200, "warn")],
)
def test_the_receptive_field_is_held_against_objects(name, size, verdict):
    model = BACKBONES[name]((size, size, 3), 2, width=0.1)
    assert lint.sight(model, object_size=size).verdict == verdict


def test_dense_layers_join_what_convolutions_see():
    model = BACKBONES["lenet5"]((64, 64, 1), 2)
    row = lint.sight(model, object_size=64)
    assert row.verdict == "pass"
    assert "dense layers join" in row.reason
