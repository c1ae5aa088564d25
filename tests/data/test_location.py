import pathlib

import pytest

from tfdl import errors
from tfdl.data import location

FORMATS = ("synthetic", "mnist", "folder", "tfds")


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("synthetic", ("synthetic", "")),
        ("mnist:mnist_idx", ("mnist", "mnist_idx")),
        ("folder:/data/my pictures", ("folder", "/data/my pictures")),
        ("tfds:my_set/config:1.0.0", ("tfds", "my_set/config:1.0.0")),
    ],
)
def test_a_spec_is_a_format_and_a_place(spec, parts):
    assert location.parse(spec, formats=FORMATS) == parts


def test_an_unknown_format_names_the_nearest_one():
    with pytest.raises(errors.UsageError, match="Did you mean mnist") as caught:
        location.parse("minst:here", formats=FORMATS)
    assert "minst:here" in str(caught.value)
    assert "synthetic, mnist, folder, tfds" in caught.value.remedy


def test_an_outlandish_format_suggests_nothing():
    with pytest.raises(errors.UsageError) as caught:
        location.parse("qqqq", formats=FORMATS)
    assert "Did you mean" not in str(caught.value)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Return (current folder, folder of data sets), both entered, both empty."""
    here, data = tmp_path / "here", tmp_path / "data"
    here.mkdir()
    data.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("TFDL_DATA", str(data))
    return here, data


def test_a_place_is_looked_for_here_before_the_folder_of_data_sets(places):
    here, data = places
    (data / "pictures").mkdir()
    assert location.find("pictures") == data / "pictures"
    (here / "pictures").mkdir()
    assert location.find("pictures").resolve() == here / "pictures"


def test_an_absolute_place_is_itself(places):
    assert location.find(str(places[1])) == places[1]


def test_the_tilde_is_the_home(places, monkeypatch):
    monkeypatch.setenv("HOME", str(places[1]))
    (places[1] / "pictures").mkdir()
    assert location.find("~/pictures") == places[1] / "pictures"


@pytest.mark.parametrize("place", ["nowhere", "/no/where", "~nobody_of_this_name/x"])
def test_a_missing_place_is_a_data_error_that_names_it(places, place):
    with pytest.raises(errors.DataError, match=place) as caught:
        location.find(place)
    assert caught.value.exit_code == 3


def test_no_place_at_all_is_a_data_error(places):
    with pytest.raises(errors.DataError, match="no path"):
        location.find("")


def test_data_sets_are_in_the_folder_data_by_default(monkeypatch):
    monkeypatch.delenv("TFDL_DATA", raising=False)
    assert location.root() == pathlib.Path("data")
