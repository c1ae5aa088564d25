"""How large would an encoded picture be, judged by its header alone?

48 kB of PNG can decode to 1.2 GB, and TensorFlow's decoders have no limit. Nothing here
decodes a pixel. The formats are those that the exports decode.
"""

import io
import itertools
import struct

import PIL.BmpImagePlugin
import PIL.JpegImagePlugin
import PIL.PngImagePlugin
import PIL.WebPImagePlugin

from tfdl import errors

# Opened lazily, and not by `PIL.Image.open`: that guesses the format by extensions
# which others have installed, and warns on standard error of what is refused here.
_READERS = {
    b"\xff\xd8\xff": PIL.JpegImagePlugin.JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PIL.PngImagePlugin.PngImageFile,
    b"BM": PIL.BmpImagePlugin.BmpImageFile,
    b"RIFF": PIL.WebPImagePlugin.WebPImageFile,
}
# 76 MB in blocks of the full 255 bytes; a file of blocks of one byte takes long to walk
# through.
_MAX_GIF_BLOCKS = 300_000
_REMEDY = "send a smaller JPEG, PNG, GIF, BMP or WebP picture"


def check(content: bytes, *, max_pixels: int) -> None:
    """Refuse a picture that is too large to decode, or none at all.

    Args:
        content: an encoded picture.
        max_pixels: most pixels of all its frames together.

    Raises:
        DataError: it has more, or is not a JPEG, PNG, GIF, BMP or WebP file.
    """
    count = count_pixels(content, enough=max_pixels)
    if count > max_pixels:
        raise errors.DataError(
            f"the picture has {count} pixels or more, at most {max_pixels} are allowed",
            _REMEDY,
        )


def count_pixels(content: bytes, *, enough: int) -> int:
    """Count the pixels that a decoder would make room for.

    Args:
        content: an encoded picture.
        enough: a number after which counting may stop.

    Returns:
        Pixels of all frames together, as far as the headers go.

    Raises:
        DataError: it is not a JPEG, PNG, GIF, BMP or WebP file.
    """
    if content.startswith((b"GIF87a", b"GIF89a")):
        return _count_of_gif(content, enough)
    readers = [r for magic, r in _READERS.items() if content.startswith(magic)]
    if not readers:
        raise _not_a_picture(f"it begins with {content[:8]!r}")
    try:
        with readers[0](io.BytesIO(content)) as picture:
            # Of the formats here TensorFlow reads the frames of GIF and WebP.
            is_webp = picture.format == "WEBP"
            return picture.width * picture.height * (picture.n_frames if is_webp else 1)
    except PIL.Image.DecompressionBombError:
        return max(enough, 2 * PIL.Image.MAX_IMAGE_PIXELS) + 1
    except Exception as error:  # Pillow has no common class for broken files
        raise _not_a_picture(str(error)) from None


def _count_of_gif(content: bytes, enough: int) -> int:
    """Walk through the blocks of a GIF file.

    TensorFlow's decoder reads all frames into memory, whichever of them it returns, and
    a frame may claim to be larger than the whole.
    """
    try:
        canvas = _area(content, 6)
        position, total, is_data = 13 + _table_size(content[10]), 0, False
        for number in itertools.count():
            if number > _MAX_GIF_BLOCKS:
                return max(enough, total) + 1
            block = content[position]
            if is_data:
                position, is_data = position + 1 + block, block > 0
            elif block == ord(","):
                total += max(canvas, _area(content, position + 5))
                position += 11 + _table_size(content[position + 9])
                is_data = True
            elif block == ord("!"):
                position, is_data = position + 2, True
            else:  # the trailer, or what decoders stop at
                break
            if total > enough:
                break
    except (IndexError, struct.error):
        if len(content) < 13:
            raise _not_a_picture("it is cut off") from None
        # Decoders return the frames before the cut.
    return max(total, canvas)


def _area(content: bytes, position: int) -> int:
    width, height = struct.unpack_from("<HH", content, position)
    return width * height


def _table_size(flags: int) -> int:
    """Return the bytes of the colour table that the flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _not_a_picture(reason: str) -> errors.DataError:
    return errors.DataError(
        f"not a JPEG, PNG, GIF, BMP or WebP picture: {reason}", _REMEDY
    )
