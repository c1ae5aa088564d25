import os
import time

import pytest

from tfdl.export import versions


def names(base):
    return sorted(path.name for path in base.iterdir())


def test_the_latest_version_is_the_largest_number(tmp_path):
    assert versions.latest(tmp_path) == 0
    assert versions.latest(tmp_path / "not there") == 0
    for name in ("2", "10", "latest", "11b", ".tmp-20-1"):
        (tmp_path / name).mkdir()
    assert versions.latest(tmp_path) == 10


def test_what_is_unfinished_counts_and_is_removed(tmp_path):
    (tmp_path / "3").mkdir()
    (tmp_path / ".tmp-7-1").mkdir()
    with versions.unfinished(tmp_path) as folder:
        assert folder.name == f".tmp-8-{os.getpid()}"
        (folder / "file").write_text("half")
    assert names(tmp_path) == [".tmp-7-1", "3"]


def test_a_number_that_another_process_takes_meanwhile_is_passed_over(tmp_path):
    with versions.unfinished(tmp_path) as folder:
        (folder / "file").write_text("ours")
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "file").write_text("theirs")
        assert versions.publish(folder) == tmp_path / "2"
    assert (tmp_path / "1" / "file").read_text() == "theirs"
    assert (tmp_path / "2" / "file").read_text() == "ours"


def test_a_number_taken_between_looking_and_renaming_is_passed_over(
    tmp_path, monkeypatch
):
    rename = os.rename

    def too_late(source, target):
        monkeypatch.setattr(os, "rename", rename)
        target.mkdir()
        (target / "file").write_text("theirs")
        rename(source, target)

    monkeypatch.setattr(os, "rename", too_late)
    with versions.unfinished(tmp_path) as folder:
        assert versions.publish(folder) == tmp_path / "2"
    assert (tmp_path / "1" / "file").read_text() == "theirs"


def test_a_rename_that_fails_for_another_reason_is_an_error(tmp_path, monkeypatch):
    def fail(source, target):
        raise OSError(28, "No space left on device")

    with versions.unfinished(tmp_path) as folder:
        monkeypatch.setattr(os, "rename", fail)
        with pytest.raises(OSError, match="No space left"):
            versions.publish(folder)


def test_leftovers_of_the_dead_go_after_a_day(tmp_path):
    for name, hours in ((".tmp-1-1", 25), (".tmp-2-1", 23)):
        (tmp_path / name).mkdir()
        then = time.time() - hours * 3600
        os.utime(tmp_path / name, (then, then))
    with versions.unfinished(tmp_path) as folder:
        assert names(tmp_path) == [".tmp-2-1", folder.name]
