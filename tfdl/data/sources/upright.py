"""How large is a picture once it is upright, by its first bytes alone?"""

import concurrent.futures
import pathlib
import warnings
from collections.abc import Sequence

import PIL.Image

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
_NUM_THREADS = 4  # reading waits for the disk, outside Python's lock
_ORIENTATION_TAG = 0x0112
_TURNED = (5, 6, 7, 8)  # orientations that exchange height and width


def sizes(paths: Sequence[pathlib.Path]) -> list[tuple[int, int] | None]:
    """Read the size of every picture, without decoding any.

    Args:
        paths: picture files.

    Returns:
        For each path (height, width) in pixels, as `tfdl.data.images.decode` gives
        them, or None where there is no picture that can be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own of bombs: a scan refuses them
        with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
            return list(pool.map(_size, paths))


def _size(path: pathlib.Path) -> tuple[int, int] | None:
    try:
        with PIL.Image.open(path, formats=_FORMATS) as picture:
            width, height = picture.size
            # Not `getexif`, which also believes XMP: decoding does not.
            orientation = _orientation(picture.info.get("exif", b""))
    except Exception:  # Pillow raises a dozen kinds for hostile files
        return None
    return (width, height) if orientation in _TURNED else (height, width)


def _orientation(block: bytes) -> int:
    try:
        exif = PIL.Image.Exif()
        exif.load(block)
        return exif.get(_ORIENTATION_TAG, 1)
    except Exception:  # a damaged block does not turn a picture
        return 1
