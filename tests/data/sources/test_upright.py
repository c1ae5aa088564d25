import PIL.Image
import pytest

from tfdl.data import images
from tfdl.data.sources import upright


def exif(orientation):
    block = PIL.Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(10))
def test_sizes_are_those_of_the_decoded_picture(
    tmp_path, encode, pixels, file_format, orientation
):
    path = tmp_path / "picture"
    path.write_bytes(encode(pixels(16, 24), file_format, exif=exif(orientation)))
    decoded = images.decode(path.read_bytes())
    assert upright.sizes([path]) == [tuple(decoded.shape[:2])]


@pytest.mark.parametrize("file_format", ["GIF", "BMP"])
def test_other_formats_are_never_turned(tmp_path, encode, pixels, file_format):
    path = tmp_path / "picture"
    path.write_bytes(encode(pixels(16, 24), file_format))
    assert upright.sizes([path, path]) == [(16, 24), (16, 24)]


def test_a_damaged_exif_block_turns_nothing(tmp_path, encode, pixels):
    path = tmp_path / "picture"
    path.write_bytes(encode(pixels(16, 24), "JPEG", exif=b"Exif\0\0MM\0*broken"))
    assert upright.sizes([path]) == [(16, 24)]


def test_what_is_no_picture_has_no_size(tmp_path, encode, pixels):
    (tmp_path / "text").write_bytes(b"this is no picture")
    (tmp_path / "tiff").write_bytes(encode(pixels(), "TIFF"))
    names = ("text", "tiff", "missing", ".")
    assert upright.sizes([tmp_path / name for name in names]) == [None] * 4
    assert upright.sizes([]) == []
