import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tfdl.data import exif

ORIENTATIONS = range(1, 9)


def encode(orientation=None, file_format="JPEG", height=6, width=10):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    options = {}
    if orientation is not None:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


def tiff(orientation, order="<", *, tag=0x0112, kind=3, count=1, num_tags=2, offset=8):
    """Two entries, width and orientation, behind `offset` bytes."""
    header = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, offset)
    width = struct.pack(order + "HHII", 0x0100, 4, 1, 10)
    turn = struct.pack(order + "HHIHH", tag, kind, count, orientation, 0)
    entries = struct.pack(order + "H", num_tags) + width + turn
    no_next_directory = bytes(4)
    return header.ljust(offset, b"?") + entries + no_next_directory


def segment(marker, payload):
    return struct.pack(">HH", marker, len(payload) + 2) + payload


def jpeg(*segments):
    """A JPEG whose metadata is exactly `segments`."""
    plain = encode()
    after_jfif = plain.index(b"\xff\xdb")
    return plain[:2] + b"".join(segments) + plain[after_jfif:]


def exif_segment(*arguments, **options):
    return segment(0xFFE1, b"Exif\0\0" + tiff(*arguments, **options))


JFIF = segment(0xFFE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
# Its size ends in the byte of a size without thumbnail.
JFIF_WITH_THUMBNAIL = segment(
    0xFFE0, b"JFIF\0\1\1\0\0\1\0\1\x10\x10" + bytes(16 * 16 * 3)
)
XMP = segment(0xFFE1, b"http://ns.adobe.com/xap/1.0/\0" + b"Exif" * 16000)
SEGMENTS_BEFORE_EXIF = {
    "JFIF": [JFIF],
    "JFIF with a thumbnail": [JFIF_WITH_THUMBNAIL],
    "XMP": [XMP],
    "JFIF and XMP": [JFIF, XMP],
    "comment and ICC": [segment(0xFFFE, b"a comment"), segment(0xFFE2, b"ICC_PROFILE")],
    "forty": [segment(0xFFED, b"Photoshop 3.0\0")] * 40,
}
MALFORMED = {
    "empty": b"",
    "one byte": b"\xff",
    "start of JPEG": b"\xff\xd8",
    "half a segment": b"\xff\xd8\xff\xe1",
    "empty TIFF": b"\xff\xd8\xff\xe1\xff\xffExif\0\0",
    "start of PNG": b"\x89PNG\r\n\x1a\n",
    "huge chunk of PNG": b"\x89PNG\r\n\x1a\n" + b"\xff" * 100,
    "start of WebP": b"RIFF\0\0\0\0WEBP",
    "huge chunk of WebP": b"RIFF\0\0\0\0WEBPEXIF\xff\xff\xff\xff",
    "no container": b"Exif\0\0" + tiff(6),
    "garbage": np.random.default_rng(0).bytes(1000),
    "no TIFF": jpeg(segment(0xFFE1, b"Exif\0\0")),
    "no byte order": jpeg(segment(0xFFE1, b"Exif\0\0XX" + tiff(6)[2:])),
    "no magic number": jpeg(segment(0xFFE1, b"Exif\0\0II\x2b" + tiff(6)[3:])),
    "far directory": jpeg(segment(0xFFE1, b"Exif\0\0II*\0\xff\xff\xff\xff")),
    "no entries": jpeg(exif_segment(6, num_tags=0)),
    "an entry too few": jpeg(exif_segment(6, num_tags=1)),
    "another tag": jpeg(exif_segment(6, tag=0x0113)),
    "text for a number": jpeg(exif_segment(6, kind=2)),
    "two numbers for one": jpeg(exif_segment(6, count=2)),
    "0": jpeg(exif_segment(0)),
    "9": jpeg(exif_segment(9)),
}


def read_all(files):
    """Reads the orientations inside tf.data."""
    dataset = tf.data.Dataset.from_tensor_slices(list(files)).map(exif.orientation)
    return [int(number) for number in dataset]


def pillow_orientation(image_bytes):
    return Image.open(io.BytesIO(image_bytes)).getexif().get(0x0112, 1)


class TestOrientation:
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_equals_the_number_written_by_hand_in_both_byte_orders(self, order):
        files = [jpeg(exif_segment(number, order)) for number in ORIENTATIONS]
        assert [int(exif.orientation(file)) for file in files] == list(ORIENTATIONS)
        assert read_all(files) == list(ORIENTATIONS)
        assert [pillow_orientation(file) for file in files] == list(ORIENTATIONS)

    @pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
    def test_equals_what_pillow_wrote(self, file_format):
        files = [encode(number, file_format) for number in ORIENTATIONS]
        assert [int(exif.orientation(file)) for file in files] == list(ORIENTATIONS)
        assert read_all(files) == list(ORIENTATIONS)

    def test_is_found_behind_other_segments(self):
        files = [
            jpeg(*before, exif_segment(6)) for before in SEGMENTS_BEFORE_EXIF.values()
        ]
        assert [pillow_orientation(file) for file in files] == [6] * len(files)
        numbers = dict(zip(SEGMENTS_BEFORE_EXIF, read_all(files), strict=True))
        assert numbers == dict.fromkeys(SEGMENTS_BEFORE_EXIF, 6)

    def test_is_found_in_a_directory_that_does_not_follow_the_header(self):
        assert read_all([jpeg(exif_segment(8, offset=300))]) == [8]

    def test_is_found_in_webp_with_the_prefix_of_jpeg(self):
        payload = b"Exif\0\0" + tiff(3)
        chunk = b"EXIF" + struct.pack("<I", len(payload)) + payload
        odd = b"ICCP" + struct.pack("<I", 3) + b"abc\0"
        body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(10) + odd + chunk
        assert read_all([b"RIFF" + struct.pack("<I", len(body)) + body]) == [3]

    def test_of_a_picture_without_exif_is_one(self):
        file_formats = ["JPEG", "PNG", "WEBP", "GIF", "BMP"]
        files = [encode(file_format=file_format) for file_format in file_formats]
        assert read_all(files) == [1] * len(files)

    def test_of_malformed_bytes_is_one(self):
        eager = {name: int(exif.orientation(file)) for name, file in MALFORMED.items()}
        in_graph = dict(zip(MALFORMED, read_all(MALFORMED.values()), strict=True))
        assert eager == in_graph == dict.fromkeys(MALFORMED, 1)

    def test_of_a_file_cut_anywhere_is_the_number_or_one(self):
        file = jpeg(segment(0xFFE0, b"JFIF\0\1"), exif_segment(6))
        value_end = file.index(struct.pack("<HHIH", 0x0112, 3, 1, 6)) + 10
        numbers = read_all(file[:size] for size in range(value_end + 20))
        assert numbers[value_end:] == [6] * 20
        # The high byte of the value is 0, as what lies behind the end.
        assert numbers[: value_end - 1] == [1] * (value_end - 1)

    def test_of_mutated_headers_stays_between_one_and_eight(self):
        rng = np.random.default_rng(1)
        files = []
        for index in range(300):
            file_format = ("JPEG", "PNG", "WEBP")[index % 3]
            mutated = bytearray(encode(1 + index % 8, file_format))
            for position in rng.integers(0, min(120, len(mutated)), 1 + index % 6):
                mutated[position] = rng.choice([0, 1, 0xFF, rng.integers(256)])
            files.append(bytes(mutated[: rng.integers(1, len(mutated) + 1)]))
        assert set(read_all(files)) <= set(ORIENTATIONS)

    def test_of_a_million_empty_segments_ends(self):
        assert read_all([b"\xff\xd8" + segment(0xFFE2, b"") * 1_000_000]) == [1]

    def test_maps_over_a_batch_in_an_exported_graph(self, tmp_path):
        class Reader(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
            def __call__(self, image_bytes):
                return tf.map_fn(
                    exif.orientation, image_bytes, fn_output_signature=tf.int32
                )

        reader = Reader()
        tf.saved_model.save(reader, tmp_path)
        batch = [encode(6), encode(), b"", encode(3, "PNG"), encode(8, "WEBP")]
        for read in (reader, tf.saved_model.load(tmp_path)):
            np.testing.assert_array_equal(read(tf.constant(batch)), [6, 1, 1, 3, 8])

    def test_is_a_scalar_of_int32(self):
        spec = tf.data.Dataset.from_tensors(b"").map(exif.orientation).element_spec
        assert spec == tf.TensorSpec([], tf.int32)


class TestOriented:
    def test_moves_the_corner_by_hand(self):
        # Stored 1 x 2; 6 says: turn a quarter clockwise to see it.
        stored = tf.constant([[[1], [2]]])
        np.testing.assert_array_equal(exif.oriented(stored, 6), [[[1]], [[2]]])
        np.testing.assert_array_equal(exif.oriented(stored, 8), [[[2]], [[1]]])

    @pytest.mark.parametrize("number", ORIENTATIONS)
    def test_equals_pillow_on_the_same_pixels(self, number):
        image_bytes = encode(number, "PNG")
        upright = np.asarray(
            ImageOps.exif_transpose(Image.open(io.BytesIO(image_bytes)))
        )

        def load(image_bytes):
            image = tf.io.decode_png(image_bytes, channels=3)
            return exif.oriented(image, exif.orientation(image_bytes))

        dataset = tf.data.Dataset.from_tensors(image_bytes).map(load)
        for image in (load(tf.constant(image_bytes)), *dataset):
            assert image.dtype == tf.uint8
            np.testing.assert_array_equal(image, upright)

    @pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
    def test_equals_pillow_on_lossy_files(self, file_format):
        image_bytes = encode(7, file_format)
        with Image.open(io.BytesIO(image_bytes)) as picture:
            upright = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        image = tf.io.decode_image(image_bytes, channels=3)
        # Animations are the reason for WebP's extra axis.
        image = tf.reshape(image, tf.shape(image)[-3:])
        image = exif.oriented(image, exif.orientation(image_bytes))
        error = np.abs(image.numpy().astype(int) - upright)
        assert image.shape == upright.shape
        assert np.mean(error) < 3  # the decoders differ by rounding and chroma filters

    @pytest.mark.parametrize("number", [-1, 0, 1, 9])
    def test_leaves_the_picture_where_nothing_is_to_be_done(self, number):
        image = tf.random.stateless_uniform([3, 4, 1], [0, 0])
        np.testing.assert_array_equal(exif.oriented(image, tf.constant(number)), image)

    def test_is_undone_by_the_inverse_turn(self):
        image = tf.random.stateless_uniform([3, 4, 2], [0, 0])
        for number, inverse in zip(ORIENTATIONS, (1, 2, 3, 4, 5, 8, 7, 6), strict=True):
            restored = exif.oriented(exif.oriented(image, number), inverse)
            np.testing.assert_array_equal(restored, image)

    def test_keeps_the_number_of_channels_in_the_graph(self):
        @tf.function(
            input_signature=[tf.TensorSpec([5, 7, 3]), tf.TensorSpec([], tf.int32)]
        )
        def turn(image, number):
            image = exif.oriented(image, number)
            assert image.shape.as_list() == [None, None, 3]
            return image

        assert turn(tf.zeros([5, 7, 3]), 6).shape == (7, 5, 3)
