import pytest

from tfdl.serving import catalog, failures


def available(name="loaded"):
    return catalog.Version("AVAILABLE", name)


@pytest.fixture
def two_versions():
    models = catalog.Catalog(["m"])
    models.set("m", 2, available("second"))
    models.set("m", 10, available("tenth"))
    return models


def test_the_newest_available_version_answers(two_versions):
    assert two_versions.find("m") == "tenth"
    two_versions.set("m", 11, catalog.Version("LOADING"))
    assert two_versions.find("m") == "tenth"
    two_versions.set("m", 10, catalog.Version("END"))
    assert two_versions.find("m") == "second"


def test_a_version_is_found_by_its_number(two_versions):
    assert two_versions.find("m", version=2) == "second"
    with pytest.raises(failures.Failure, match=r"Specific\(m, 3\)") as caught:
        two_versions.find("m", version=3)
    assert caught.value.status == 404


def test_a_model_without_a_version_is_not_found():
    with pytest.raises(failures.Failure, match=r"Latest\(m\)"):
        catalog.Catalog(["m"]).find("m")


def test_every_model_must_be_there_to_be_ready():
    models = catalog.Catalog(["m", "n"])
    assert not models.is_ready
    models.set("m", 1, available())
    assert not models.is_ready
    models.set("n", 1, available())
    assert models.is_ready
    models.set("n", 1, catalog.Version("UNLOADING"))
    assert not models.is_ready


def test_statuses_are_the_newest_first(two_versions):
    listed = two_versions.statuses("m")
    assert [status["version"] for status in listed] == ["10", "2"]
    assert two_versions.statuses("m", version=2) == listed[1:]
    fine = {"error_code": "OK", "error_message": ""}
    assert listed[0] == {"version": "10", "state": "AVAILABLE", "status": fine}


def test_no_label_is_known(two_versions):
    for ask in (two_versions.find, two_versions.statuses):
        with pytest.raises(failures.Failure, match="version label: stable"):
            ask("m", label="stable")


def test_a_change_does_not_touch_what_a_request_reads(two_versions):
    before = two_versions._models["m"]
    two_versions.set("m", 11, available())
    assert list(before) == [2, 10]
