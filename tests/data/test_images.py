import io
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from tfdl.data import images


def both_ways(content):
    """Decode eagerly and inside tf.data, which must agree."""
    eager = images.decode(tf.constant(content)).numpy()
    [mapped] = tf.data.Dataset.from_tensors(content).map(images.decode)
    np.testing.assert_array_equal(eager, mapped)
    assert eager.dtype == np.uint8
    return eager


def png_of_16_bits(values):
    """Write uint16 (height, width, 3) as a PNG, which Pillow cannot."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body))
        + name
        + body
        + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


LOSSLESS = {
    "PNG": {},
    "PNG, animated": {
        "save_all": True,
        "append_images": [PIL.Image.new("RGB", (24, 16))],
    },
    "BMP": {},
    "WEBP": {"lossless": True},
}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_files_give_their_pixels(pixels, encode, kind):
    content = encode(pixels(), kind.partition(",")[0], **LOSSLESS[kind])
    np.testing.assert_array_equal(both_ways(content), pixels())


def test_of_an_animated_gif_the_first_frame_counts(encode):
    frames = [PIL.Image.new("P", (5, 3), number) for number in range(3)]
    for frame in frames:
        frame.putpalette([10, 20, 30, 200, 0, 0, 0, 200, 0])
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert PIL.Image.open(io.BytesIO(content)).n_frames == 3
    assert (both_ways(content) == [10, 20, 30]).all()


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA"])
def test_grey_palettes_and_transparency_become_rgb(pixels, encode, mode):
    picture = PIL.Image.fromarray(pixels()).convert(mode)
    np.testing.assert_array_equal(
        both_ways(encode(picture)), np.asarray(picture.convert("RGB"))
    )


def test_transparency_is_dropped_and_not_blended(encode):
    picture = PIL.Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    assert (both_ways(encode(picture)) == [10, 20, 30]).all()


def test_of_16_bits_the_upper_8_count():
    values = np.random.default_rng(0).integers(0, 1 << 16, (4, 5, 3), np.uint16)
    np.testing.assert_array_equal(both_ways(png_of_16_bits(values)), values >> 8)


def test_grey_of_16_bits_is_not_cut_off(encode):
    grey = np.array([[0, 255, 256, 65535]], np.uint16)
    decoded = both_ways(encode(PIL.Image.fromarray(grey)))
    np.testing.assert_array_equal(decoded[0, :, 0], [0, 0, 1, 255])


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}], ids=["baseline", "progressive"]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpegs_differ_from_pillows_by_rounding_only(pixels, encode, mode, options):
    picture = PIL.Image.fromarray(pixels()).convert(mode)
    content = encode(picture, "JPEG", quality=95, **options)
    wanted = np.asarray(PIL.Image.open(io.BytesIO(content)).convert("RGB"), int)
    assert np.abs(both_ways(content) - wanted).max() <= 4


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_pictures_are_turned_upright(pixels, encode, file_format, orientation):
    tags = PIL.Image.Exif()
    tags[0x0112] = orientation
    content = encode(pixels(), file_format, exif=tags, quality=95)
    upright = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(content)))
    wanted = np.asarray(upright.convert("RGB"), int)
    decoded = both_ways(content)
    assert decoded.shape == wanted.shape
    assert np.abs(decoded - wanted).max() <= 4


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_one_pixel_is_a_picture(encode, file_format):
    picture = np.full((1, 1, 3), 255, np.uint8)
    np.testing.assert_array_equal(both_ways(encode(picture, file_format)), picture)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0"])
def test_other_bytes_are_an_error(content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        images.decode(tf.constant(content))


def test_channels_are_known_in_the_graph():
    traced = tf.function(images.decode).get_concrete_function(
        tf.TensorSpec([], tf.string)
    )
    assert traced.output_shapes.as_list()[-1] == 3
