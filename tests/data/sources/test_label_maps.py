import pathlib
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl.data.sources import label_maps

VALUES = np.arange(24, dtype=np.uint8).reshape(4, 6) % 7


@pytest.fixture
def scan(tmp_path):
    """Return a function that scans paths with one memory."""

    def look(*paths):
        return label_maps.scan(paths, memory=tmp_path / "memory" / "maps.json")

    return look


@pytest.fixture
def save(tmp_path):
    """Return a function that writes a picture, its palette mixed colours if it has one.

    Values are as they are; modes decide how they are written.
    """

    def write(values=VALUES, mode="L", name="map.png", **options):
        path = tmp_path / name
        picture = PIL.Image.fromarray(values)
        if mode == "P":
            picture = PIL.Image.fromarray(values).convert("L")
            picture = PIL.Image.frombytes("P", picture.size, picture.tobytes())
            picture.putpalette([(37 * n + 11) % 256 for n in range(768)])
        picture.save(path, **options)
        return path

    return write


def decoded(path: pathlib.Path) -> np.ndarray:
    return tf.io.decode_png(path.read_bytes(), channels=1)[..., 0].numpy()


@pytest.mark.parametrize("bits", [4, 8])
def test_a_palette_keeps_its_indices_where_tensorflow_makes_colours(
    save, scan, tmp_path, bits
):
    path = save(mode="P", bits=bits)
    assert not np.array_equal(decoded(path), VALUES)
    np.testing.assert_array_equal(label_maps.read(path), VALUES)
    [found] = scan(path)
    assert not found.is_plain
    [copy] = label_maps.plain_copies([found], folder=tmp_path / "copies")
    assert copy.parent == tmp_path / "copies"
    np.testing.assert_array_equal(decoded(copy), VALUES)


def test_a_grey_map_is_read_where_it_lies(save, scan, tmp_path):
    path = save()
    [found] = scan(path)
    assert found.size == (4, 6)
    assert found.pixels == {0: 4, 1: 4, 2: 4, 3: 3, 4: 3, 5: 3, 6: 3}
    assert found.is_plain
    assert not found.fault
    folder = tmp_path / "copies"
    assert label_maps.plain_copies([found], folder=folder) == [path]
    assert not folder.exists()


@pytest.mark.parametrize(
    "values",
    [
        VALUES.astype(np.uint16),
        np.repeat(VALUES[..., None], 3, axis=-1),
        np.stack([VALUES, VALUES, VALUES, 255 - VALUES], axis=-1),
        np.stack([VALUES, 255 - VALUES], axis=-1),
    ],
    ids=["16 bits", "three equal channels", "and transparency", "grey with it"],
)
def test_grey_is_read_however_it_is_written(save, scan, tmp_path, values):
    path = save(values)
    np.testing.assert_array_equal(label_maps.read(path), VALUES)
    copies = label_maps.plain_copies(scan(path), folder=tmp_path / "copies")
    np.testing.assert_array_equal(decoded(copies[0]), VALUES)


def raw_png(path, rows, *, width, bits, kind):
    """Write a PNG file by hand: Pillow has no grey of 2 or 4 bits."""

    def chunk(name, content):
        body = name + content
        return (
            struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
        )

    header = struct.pack(">IIBBBBB", width, len(rows), bits, kind, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = (b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks))
    return path


@pytest.mark.parametrize(
    ("bits", "row", "values"),
    [(2, b"\x1b", [0, 1, 2, 3]), (4, b"\x01\x2b", [0, 1, 2, 11])],
)
def test_levels_of_few_bits_are_the_indices(scan, tmp_path, bits, row, values):
    path = raw_png(tmp_path / "map.png", [row], width=4, bits=bits, kind=0)
    [found] = scan(path)
    assert list(found.pixels) == values
    [plain] = label_maps.plain_copies([found], folder=tmp_path / "copies")
    assert decoded(plain).tolist() == [values]


def test_colours_of_16_bits_would_lose_the_indices(scan, tmp_path):
    row = struct.pack(">6H", *[3] * 3, *[11] * 3)
    [found] = scan(raw_png(tmp_path / "map.png", [row], width=2, bits=16, kind=2))
    assert "16 bits" in found.fault


def test_black_and_white_of_one_bit_are_0_and_255(save, scan, tmp_path):
    path = save(VALUES > 3)
    expected = 255 * (VALUES > 3)
    np.testing.assert_array_equal(label_maps.read(path), expected)
    copies = label_maps.plain_copies(scan(path), folder=tmp_path / "copies")
    np.testing.assert_array_equal(decoded(copies[0]), expected)


def test_faulty_files_are_told_apart(save, scan, tmp_path, encode, pixels):
    colours = save(pixels(8, 8), name="a.png")
    deep = save(VALUES.astype(np.uint16) + 300, name="b.png")
    jpeg, empty, cut = (tmp_path / f"{name}.png" for name in "cde")
    jpeg.write_bytes(encode(pixels(8, 8), "JPEG"))
    empty.write_bytes(b"")
    content = encode(np.random.default_rng(0).integers(0, 9, (90, 90), np.uint8))
    cut.write_bytes(content[: len(content) // 2])
    paths = [colours, deep, jpeg, empty, cut, tmp_path / "f.png", save(name="g.png")]
    faults = [found.fault for found in scan(*paths)]
    words = ["in colours", "value 306 is over 255", "no PNG", "no PNG", "truncated"]
    for fault, expected in zip(faults, [*words, "does not exist", ""], strict=True):
        assert expected in fault
    assert faults[-1] == ""


def test_a_map_of_too_many_pixels_is_refused_by_its_header(save, scan, monkeypatch):
    monkeypatch.setattr(label_maps.images, "MAX_PIXELS", 23)
    assert "6 x 4 pixels are over" in scan(save())[0].fault


def test_sound_maps_are_looked_at_once(save, scan, monkeypatch, tmp_path):
    paths = [save(name="a.png"), save(mode="P", name="b.png"), tmp_path / "missing.png"]
    first = scan(*paths)
    looked = []
    look = label_maps._look
    monkeypatch.setattr(label_maps, "_look", lambda p: looked.append(p) or look(p))
    assert scan(*paths) == first
    assert looked == [paths[2]]
    save(VALUES // 2, name="a.png")
    assert scan(*paths)[0].pixels == {0: 8, 1: 7, 2: 6, 3: 3}
    assert looked == [paths[2], paths[0], paths[2]]


def test_a_damaged_memory_is_forgotten(save, scan, tmp_path):
    path = save()
    first = scan(path)
    for content in ("", "{}", '{"version": 1}', '{"version": -1, "maps": {}}'):
        (tmp_path / "memory" / "maps.json").write_text(content)
        assert scan(path) == first


def test_a_changed_palette_map_has_another_copy(save, scan, tmp_path):
    folder = tmp_path / "copies"
    path = save(mode="P")
    [first] = label_maps.plain_copies(scan(path), folder=folder)
    assert label_maps.plain_copies(scan(path), folder=folder) == [first]
    save(VALUES[:3], mode="P")
    [second] = label_maps.plain_copies(scan(path), folder=folder)
    np.testing.assert_array_equal(decoded(second), VALUES[:3])
    np.testing.assert_array_equal(decoded(first), VALUES)
