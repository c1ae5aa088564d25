import numpy as np
import pytest

from tfdl.data.sources import semantic
from tfdl.tasks.segmentation import lint

NAMES = ("sky", "road", "pole")


def made(class_pixels, *, sizes=(10, 20), digests=None, split="x"):
    """Make a source of which only the tables are looked at."""
    class_pixels = np.array(class_pixels, np.int64).reshape(-1, len(NAMES))
    count = len(class_pixels)
    return semantic.Source(
        class_names=NAMES,
        names=[f"{split}{number}.png" for number in range(count)],
        labels=semantic.labels(class_pixels),
        digests=np.array(range(count) if digests is None else digests, "S32"),
        pixels=np.full(count, 600),
        load=None,
        class_pixels=class_pixels,
        sizes=np.broadcast_to(np.array(sizes, np.int32), (count, 2)),
    )


GOOD = [[100, 80, 20]] * 6


def verdicts(train=GOOD, *, validation=GOOD, test=GOOD, image_size=10, **options):
    sources = {
        "train": made(train, **options),
        "validation": made(validation, split="v"),
        "test": made(test, split="t"),
    }
    rows = lint.lint(sources, image_size=image_size)
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.is_about_data for row in rows)
    return {row.name: row for row in rows}


def test_a_good_data_set_passes_with_its_figures():
    found = verdicts()
    assert {row.verdict for row in found.values()} == {"pass"}
    assert found["splits"].reason == (
        "6 train, 6 validation, 6 test pictures of 3 classes"
    )
    assert found["shares"].reason == (
        "from 10.00% of the pixels of train for pole to 50.00% for sky"
    )
    assert found["ignored pixels"].reason.startswith("0.0% of train, 0.0% of")
    assert found["sizes"].reason == "all are 20 x 10 pixels; --image-size 10 fits in"


def test_a_class_without_a_pixel_fails_in_train_and_warns_elsewhere():
    row = verdicts([[100, 100, 0]] * 6)["classes"]
    assert (row.verdict, row.reason) == ("fail", "train has no pixel of pole")
    row = verdicts(test=[[0, 0, 200]])["classes"]
    assert (row.verdict, row.reason) == ("warn", "test has no pixel of sky, road")


def test_a_class_that_few_pictures_show_is_a_warning():
    row = verdicts([[100, 100, 0]] * 8 + [[0, 0, 200]] * 4)["classes"]
    assert row.verdict == "warn"
    assert row.reason.startswith("pole is seen in 4 pictures of train, the fewest")


@pytest.mark.parametrize(("pixels", "verdict"), [(2, "pass"), (1, "warn")])
def test_very_uneven_classes_are_a_warning(pixels, verdict):
    """By hand: 196 of 2 is 98 times as many, 197 of 1 more than a hundred."""
    row = verdicts([[198 - pixels, pixels, 2]] * 6)["shares"]
    assert row.verdict == verdict


def test_maps_that_are_ignored_everywhere_are_named():
    row = verdicts([*GOOD, [0, 0, 0]], validation=[*GOOD, [0, 0, 0]])["ignored maps"]
    assert row.verdict == "warn"
    assert row.reason == (
        "2 maps are ignored everywhere, of x6.png, v6.png: remove them"
    )


def test_what_is_ignored_is_measured():
    found = verdicts([[20, 20, 20]] * 6, test=[[50, 50, 50]])
    assert found["ignored pixels"].verdict == "warn"
    assert found["ignored pixels"].reason == (
        "70.0% of train, 0.0% of validation, 25.0% of test is ignored: are all values "
        "known?"
    )


def test_nothing_but_ignored_pixels_fails():
    found = verdicts([[0, 0, 0]] * 6)
    assert found["classes"].verdict == found["shares"].verdict == "fail"


def test_pictures_are_compared_with_the_crop():
    row = verdicts(image_size=20)["sizes"]
    assert row.verdict == "warn"
    assert "6 of 6 are smaller than --image-size 20, such as x0.png" in row.reason
    sizes = [[40, 40]] * 5 + [[40, 10]]
    row = verdicts(image_size=20, sizes=sizes)["sizes"]
    assert row.verdict == "pass"
    assert row.reason == (
        "2 sizes, mostly 40 x 40 pixels; 1 of 6 are smaller than --image-size 20, such "
        "as x5.png, and padded"
    )


def test_repeated_pictures_are_named():
    row = verdicts(digests=[0, 1, 2, 1, 4, 5])["repeated pictures"]
    assert row.verdict == "warn"
    assert "1 pictures of train repeat others: x1.png and x3.png" in row.reason


def test_a_stream_is_looked_at_without_names():
    stream = semantic.Stream(
        class_names=NAMES,
        size=2,
        read=None,
        load=None,
        class_pixels=np.array([[100, 80, 20], [0, 0, 0]]),
        sizes=np.array([[10, 20]] * 2, np.int32),
    )
    sources = dict.fromkeys(("train", "validation", "test"), stream)
    found = {row.name: row for row in lint.lint(sources, image_size=10)}
    assert "repeated pictures" not in found
    assert "picture 2 of train" in found["ignored maps"].reason
