"""Which way up is a picture, by the EXIF block of its JPEG, PNG or WebP bytes?

TensorFlow's decoders ignore EXIF. Everything here is plain TensorFlow, so that
training, evaluation and the exported graph turn a picture the same way.
"""

import tensorflow as tf

_UPRIGHT = 1
_NUM_ORIENTATIONS = 8

# Limits that keep a hostile file cheap. Real files have EXIF among their first blocks,
# and the tags of a directory are sorted, the orientation's being one of the lowest.
_MAX_BLOCKS = 64
_MAX_TAGS = 64

_ORIENTATION_TAG = 0x0112
_SHORT_KIND = 3  # TIFF's code of an unsigned number of 16 bits
_WORDS_PER_TAG = 6  # tag, kind, count (2), value (2)

# The operations of an untaken branch still pass through the executor; a function that
# must not be inlined is one operation: 30 us for a plain picture become 3.
_out_of_line = tf.function(autograph=False, experimental_attributes={"_noinline": True})


def orientation(image_bytes: tf.Tensor) -> tf.Tensor:
    """Read the EXIF orientation of an encoded picture, never failing.

    The blocks of the file are walked without decoding the picture: the APPn and comment
    segments of a JPEG, the chunks of a PNG up to the first IDAT, all chunks of a WebP,
    which has its EXIF last.

    Args:
        image_bytes: string (), the contents of a file of any kind.

    Returns:
        int32 () from 1 to 8 as in EXIF 2.32, tag 0x0112; 1, upright, where the picture
        has no such tag, is of another format, or is malformed.
    """
    image_bytes = tf.convert_to_tensor(image_bytes, tf.string)
    head = tf.strings.substr(image_bytes, 0, 41)
    head = tf.io.decode_raw(head, tf.uint8, fixed_length=41)

    # A plain JPEG goes from its JFIF segment, if any, to a table or a frame, whose
    # markers are lower than those of metadata; a plain PNG goes from IHDR to IDAT.
    has_jfif = tf.reduce_all(head[3:6] == [0xE0, 0, 16])  # APP0 without a thumbnail
    marker = tf.where(has_jfif, head[21], head[3])
    is_plain_jpeg = marker < 0xE0
    is_plain_png = tf.reduce_all(head[37:] == list(b"IDAT"))
    return tf.cond(
        tf.where(head[0] == 0xFF, is_plain_jpeg, is_plain_png),
        lambda: tf.constant(_UPRIGHT),
        lambda: _stored_orientation(image_bytes),
    )


def oriented(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turn a stored picture the way it is to be seen.

    Args:
        image: any dtype (height, width, channels), as decoded.
        orientation: int32 (), see `orientation`; numbers outside 1 to 8 count as 1.

    Returns:
        The picture upright, in the same dtype; from 5 on, height and width change
        places.
    """
    height, width = 0, 1

    def transposed():
        # Where bytes are transposed, oneDNN complains on older processors.
        rows, columns, channels = tf.unstack(tf.shape(image))
        places = tf.range(columns)[:, None] + columns * tf.range(rows)
        return tf.gather(tf.reshape(image, [rows * columns, channels]), places)

    return tf.switch_case(
        tf.convert_to_tensor(orientation, tf.int32),
        {
            0: lambda: image,
            1: lambda: image,
            2: lambda: tf.reverse(image, [width]),
            3: lambda: tf.reverse(image, [height, width]),
            4: lambda: tf.reverse(image, [height]),
            5: transposed,
            6: lambda: tf.reverse(transposed(), [width]),
            7: lambda: tf.reverse(transposed(), [height, width]),
            8: lambda: tf.reverse(transposed(), [height]),
        },
        default=lambda: image,
    )


@_out_of_line
def _stored_orientation(image_bytes):
    first, _, _, _, fifth, _ = tf.unstack(_words(image_bytes, 0, 6))
    start = tf.case(
        [
            (first == 0xFFD8, lambda: _find_in_jpeg(image_bytes)),
            (first == 0x8950, lambda: _find_in_png(image_bytes)),  # "\x89P"
            (fifth == 0x5745, lambda: _find_in_webp(image_bytes)),  # "WE" of "WEBP"
        ],
        default=lambda: tf.constant(0, tf.int64),
    )
    return tf.cond(
        start > 0,
        lambda: _tagged_orientation(image_bytes, start),
        lambda: tf.constant(_UPRIGHT),
    )


@_out_of_line
def _find_in_jpeg(image_bytes):
    def inspect(marker, size, name_start, name_end):
        is_app1 = marker == 0xFFE1
        is_exif = is_app1 & (name_start == 0x4578) & (name_end == 0x6966)  # "Ex", "if"
        return is_exif, marker >= 0xFFE0, 2 + size  # APPn and comments

    return _find_payload(image_bytes, 2, inspect, header_size=4)


@_out_of_line
def _find_in_png(image_bytes):
    def inspect(size_high, size_low, name_start, name_end):
        is_exif = (name_start == 0x6558) & (name_end == 0x4966)  # "eX", "If"
        is_pixels = (name_start == 0x4944) & (name_end == 0x4154)  # "ID", "AT"
        return is_exif, ~is_pixels, 12 + _joined(size_high, size_low)

    return _find_payload(image_bytes, 8, inspect, header_size=8)


@_out_of_line
def _find_in_webp(image_bytes):
    def inspect(name_start, name_end, size_low, size_high):
        is_exif = (name_start == 0x4558) & (name_end == 0x4946)  # "EX", "IF"
        size = _joined(_swapped(size_high), _swapped(size_low))
        return is_exif, True, 8 + size + size % 2  # chunks start at even bytes

    return _find_payload(image_bytes, 12, inspect, header_size=8)


def _find_payload(image_bytes, start, inspect, *, header_size):
    """Walk the blocks of a file from byte `start` up to the one with EXIF.

    `inspect` turns the first four words of a block into (is_exif, is_skipped, size).
    Returns int64 (), the first byte of the block's payload, 0 where there is no EXIF.
    """
    length = tf.cast(tf.strings.length(image_bytes), tf.int64)

    def read(position):
        header = tf.unstack(_words(image_bytes, position, 4))
        is_exif, is_skipped, size = inspect(*header)
        goes_on = is_skipped & ~is_exif & (position < length)
        return position, size, is_exif, goes_on

    position, _, is_exif, _ = tf.while_loop(
        lambda position, size, is_exif, goes_on: goes_on,
        lambda position, size, is_exif, goes_on: read(position + size),
        read(tf.constant(start, tf.int64)),
        maximum_iterations=_MAX_BLOCKS,
    )
    return tf.where(is_exif, position + header_size, 0)


@_out_of_line
def _tagged_orientation(image_bytes, start):
    """Look the orientation up in the first directory of the TIFF data at `start`."""
    has_prefix = tf.reduce_all(_words(image_bytes, start, 3) == [0x4578, 0x6966, 0])
    start = tf.where(has_prefix, start + 6, start)  # "Exif\0\0", in every JPEG
    order = _words(image_bytes, start, 1)[0]
    is_big_endian = order == 0x4D4D  # "MM"; else "II"

    def read(position, num_words):
        words = _words(image_bytes, position, num_words)
        return tf.where(is_big_endian, words, _swapped(words))

    _, magic, first, second = tf.unstack(read(start, 4))
    high = tf.where(is_big_endian, first, second)
    low = tf.where(is_big_endian, second, first)
    directory = start + _joined(high, low)

    num_tags = read(directory, 1)[0]
    words = read(directory + 2, _WORDS_PER_TAG * _MAX_TAGS)
    words = tf.reshape(words, [_MAX_TAGS, _WORDS_PER_TAG])
    tags, kinds, *counts, values, _ = tf.unstack(words, axis=1)
    is_listed = tf.range(_MAX_TAGS, dtype=tf.int64) < num_tags
    is_one_number = (kinds == _SHORT_KIND) & (counts[0] + counts[1] == 1)
    is_orientation = is_listed & (tags == _ORIENTATION_TAG) & is_one_number
    value = tf.reduce_max(tf.where(is_orientation, values, 0))

    is_tiff = (is_big_endian | (order == 0x4949)) & (magic == 42)
    is_valid = is_tiff & (value >= _UPRIGHT) & (value <= _NUM_ORIENTATIONS)
    return tf.cast(tf.where(is_valid, value, _UPRIGHT), tf.int32)


def _words(image_bytes, position, num_words):
    """Return int64 (num_words,) big-endian numbers of 16 bits, 0 behind the end."""
    length = tf.cast(tf.strings.length(image_bytes), tf.int64)
    position = tf.minimum(tf.cast(position, tf.int64), length)
    num_bytes = 2 * num_words
    block = tf.strings.substr(image_bytes, position, num_bytes)
    words = tf.io.decode_raw(
        block, tf.uint16, little_endian=False, fixed_length=num_bytes
    )
    return tf.cast(words, tf.int64)


def _swapped(words):
    """Exchange the two bytes of each word."""
    return words % 0x100 * 0x100 + words // 0x100


def _joined(high, low):
    return high * 0x10000 + low
