import io

import numpy as np
import PIL.Image

from tfdl.drawing import files

PICTURE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def test_saved_pictures_are_what_was_drawn(tmp_path):
    files.save(tmp_path / "new" / "folder", {"name": PICTURE, "other": PICTURE // 2})
    for name, drawn in (("name", PICTURE), ("other", PICTURE // 2)):
        with PIL.Image.open(tmp_path / "new" / "folder" / f"{name}.png") as opened:
            np.testing.assert_array_equal(np.asarray(opened), drawn)


def test_encoded_pictures_are_png():
    with PIL.Image.open(io.BytesIO(files.encode(PICTURE))) as opened:
        assert opened.format == "PNG"
        np.testing.assert_array_equal(np.asarray(opened), PICTURE)


def test_saving_nothing_makes_the_folder(tmp_path):
    files.save(tmp_path / "empty", {})
    assert list((tmp_path / "empty").iterdir()) == []
