import pytest

from tfdl import errors
from tfdl.tasks.detection import formats


def test_only_a_new_folder_is_written(tmp_path):
    (tmp_path / "there.txt").write_text("mine")
    with pytest.raises(errors.UsageError, match="is no empty folder"):
        formats.convert("voc:nowhere", f"coco:{tmp_path}")
    with pytest.raises(errors.UsageError, match="is no empty folder"):
        formats.convert("voc:nowhere", f"coco:{tmp_path / 'there.txt'}")
    assert (tmp_path / "there.txt").read_text() == "mine"


def test_an_unknown_format_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(errors.UsageError, match="Did you mean yolo"):
        formats.convert("yolov:nowhere", f"coco:{tmp_path / 'new'}")
    with pytest.raises(errors.UsageError, match="synthetic"):
        formats.convert("synthetic", f"coco:{tmp_path / 'new'}")


def test_every_format_reads_and_writes():
    for module in formats.FORMATS.values():
        assert callable(module.read)
        assert callable(module.write)
