import io
import resource
import struct
import time
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.serving import pictures

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")
LIMIT = 50_000_000
SIDE = 60_000


def encode(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width, height):
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return PIL.Image.fromarray(values)


def png_header(width, height):
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(chunk) - 4) + chunk + crc


def real_bomb(kind):
    """Change the size in the header of a real file."""
    content = bytearray(encode(PIL.Image.new("RGB", (16, 16)), kind))
    if kind == "PNG":
        return png_header(SIDE, SIDE) + bytes(content[33:])
    if kind == "JPEG":
        start = content.index(b"\xff\xc0") + 5
        content[start : start + 4] = struct.pack(">HH", SIDE, SIDE)
    elif kind == "GIF":
        content[6:10] = struct.pack("<HH", SIDE, SIDE)
    elif kind == "BMP":
        content[18:26] = struct.pack("<ii", SIDE, SIDE)
    else:  # WebP knows no larger one
        start = content.index(b"VP8 ") + 14
        content[start : start + 4] = struct.pack("<HH", 16383, 16383)
    return bytes(content)


@pytest.mark.parametrize("kind", FORMATS)
def test_pixels_are_width_times_height(kind):
    content = encode(noise(31, 17), kind)
    assert pictures.count_pixels(content, enough=LIMIT) == 31 * 17
    pictures.check(content, max_pixels=31 * 17)
    with pytest.raises(errors.DataError, match="527 pixels or more, at most 526"):
        pictures.check(content, max_pixels=526)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_bomb_is_refused_at_once_and_nothing_is_decoded(kind):
    content = real_bomb(kind)
    pictures.check(encode(noise(9, 9), kind), max_pixels=LIMIT)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with pytest.raises(errors.DataError, match="pixels or more"):
        pictures.check(content, max_pixels=LIMIT)
    assert time.perf_counter() - start < 0.05
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 << 10


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_frames_count(kind):
    frames = [noise(20, 10).rotate(angle) for angle in (0, 90, 180)]
    content = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    assert pictures.count_pixels(content, enough=LIMIT) == 3 * 200


def test_tensorflow_reads_as_many_pixels_of_a_gif_as_are_counted():
    frames = [noise(20, 10).rotate(angle) for angle in (0, 90, 180)]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    decoded = tf.io.decode_image(content)
    assert np.prod(decoded.shape[:3]) == pictures.count_pixels(content, enough=LIMIT)


def test_a_gif_of_many_small_frames_is_refused_soon():
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x00"
    header = b"GIF89a" + struct.pack("<HHBBB", 5000, 5000, 0, 0, 0)
    content = header + frame * 100_000
    start = time.perf_counter()
    with pytest.raises(errors.DataError, match="pixels or more"):
        pictures.check(content, max_pixels=LIMIT)
    assert time.perf_counter() - start < 0.05


def test_a_frame_of_a_gif_may_not_be_larger_than_it_says():
    frame = b"," + struct.pack("<HHHHB", 0, 0, SIDE, SIDE, 0) + b"\x02\x00"
    content = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + frame
    with pytest.raises(errors.DataError, match="pixels or more"):
        pictures.check(content, max_pixels=LIMIT)


def test_a_gif_of_endless_small_blocks_is_refused():
    header = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02"
    start = time.perf_counter()
    with pytest.raises(errors.DataError, match="pixels or more"):
        pictures.check(header + frame + b"\x01a" * 1_000_000, max_pixels=LIMIT)
    assert time.perf_counter() - start < 0.5


def test_a_gif_that_is_cut_has_the_frames_before_the_cut():
    content = encode(noise(20, 10), "GIF")
    for length in (13, 20, len(content) - 5):
        assert pictures.count_pixels(content[:length], enough=LIMIT) == 200
    with pytest.raises(errors.DataError, match="cut off"):
        pictures.count_pixels(content[:9], enough=LIMIT)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"text", b"\x00" * 100, b"%PDF-1.7", b"<svg/>"),
        *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF", b"GIF89a"),
        *(b"RIFF\x00\x00\x00\x00WAVE" + b"\x00" * 100, b"BM" + b"\xff" * 100),
        encode(PIL.Image.new("RGB", (8, 8)), "TIFF"),
        encode(PIL.Image.new("RGB", (8, 8)), "PPM"),
    ],
)
def test_what_is_not_a_picture_is_a_data_error(content):
    with pytest.raises(errors.DataError, match="not a JPEG, PNG, GIF, BMP or WebP"):
        pictures.check(content, max_pixels=LIMIT)


def test_no_mutated_picture_raises_anything_else():
    random = np.random.default_rng(1)
    originals = [encode(noise(12, 9), kind) for kind in FORMATS]
    for _ in range(1500):
        content = bytearray(originals[random.integers(len(originals))])
        for position in random.integers(0, min(len(content), 60), 4):
            content[position] = random.integers(256)
        try:
            pictures.check(
                bytes(content[: random.integers(len(content))]), max_pixels=9
            )
        except errors.DataError:
            continue
