import io
import json
import os
import struct
import time
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import images, scan


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "cache" / "scans" / "memory.json"


def png_header(width, height):
    """Write a whole and sound PNG, but for its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body))
        + name
        + body
        + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def colour_table(picture):
    """Turn pixels into a BMP whose colours are those of a palette."""
    content = io.BytesIO()
    PIL.Image.fromarray(picture).convert("P").save(content, "BMP")
    return content.getvalue()


@pytest.fixture
def broken(encode, pixels):
    """Return the broken files by name, each with words that its fault must have."""
    jpeg, png = encode(pixels(), "JPEG"), encode(pixels())
    second = PIL.Image.fromarray(255 - pixels())
    moving = {"save_all": True, "append_images": [second], "lossless": True}
    return {
        "truncated.jpg": (jpeg[:-50], "truncated"),
        "half.png": (png[: len(png) // 2], "truncated"),
        "without_end.png": (png[:-8], "TensorFlow: Invalid PNG"),
        "text.jpg": (b"this is no picture", "no JPEG, PNG, GIF, BMP or WEBP"),
        "empty.jpg": (b"", "empty"),
        "page.gif": (b"<html>404</html>", "no JPEG"),
        "start.jpg": (jpeg[:30], "cannot be read"),
        "huge.png": (png_header(20_000, 20_000), "20000|400000000"),
        "large.png": (png_header(10_000, 6_000), "10000 x 6000 pixels are over 50 Mpx"),
        "moving.webp": (
            encode(pixels(), "WEBP", **moving),
            "TensorFlow: WebP Animation",
        ),
        "bits.bmp": (encode(PIL.Image.new("1", (9, 9)), "BMP"), "TensorFlow"),
        "palette.bmp": (colour_table(pixels()), "save it as PNG"),
        "photoshop.tif": (encode(pixels(), "TIFF"), "no JPEG"),
    }


def test_every_kind_of_broken_picture_is_named(broken, write, memory):
    paths = [write(name, content) for name, (content, _) in broken.items()]
    paths.append(memory.with_name("deleted.jpg"))
    words = [*(words for _, words in broken.values()), "No such file"]
    for picture, expected in zip(scan.scan(paths, memory=memory), words, strict=True):
        assert not picture.pixels
        with pytest.raises(errors.DataError, match=expected) as caught:
            scan.usable([picture], on_bad_data="error")
        assert str(picture.path) in str(caught.value)
        assert caught.value.exit_code == 3


def test_what_the_scan_accepts_training_can_decode(
    broken, encode, pixels, write, memory
):
    """Cut files off anywhere: the scan and the decoder have to agree."""
    second = PIL.Image.new("RGB", (24, 16))
    kinds = {
        "JPEG": {},
        "PNG": {},
        "BMP": {},
        "WEBP": {},
        "GIF": {"save_all": True, "append_images": [second]},
    }
    paths = [write(name, content) for name, (content, _) in broken.items()]
    for kind, options in kinds.items():
        content = encode(pixels(), kind, **options)
        for number, end in enumerate(np.linspace(1, len(content), 12).astype(int)):
            paths.append(write(f"{number}.{kind}.jpg", content[:end]))
    accepted = 0
    for picture in scan.scan(paths, memory=memory):
        if not picture.fault:
            assert (
                images.decode(picture.path.read_bytes()).numpy().size == picture.pixels
            )
            accepted += 1
    assert accepted >= len(kinds)


def test_a_header_is_refused_without_decoding(write, memory, monkeypatch):
    monkeypatch.setattr(images, "decode", None)
    path = write("bomb.png", png_header(20_000, 20_000))
    start = time.perf_counter()
    [picture] = scan.scan([path], memory=memory)
    assert picture.fault
    assert time.perf_counter() - start < 1


def test_an_animation_of_too_many_frames_is_refused(encode, write, memory):
    frames = [PIL.Image.new("P", (2000, 2000), number % 2) for number in range(40)]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    [picture] = scan.scan([write("bomb.gif", content)], memory=memory)
    assert picture.fault == "its 40 frames of 2000 x 2000 pixels are too many"


def test_sound_pictures_of_every_kind_pass(encode, pixels, write, memory):
    tags = PIL.Image.Exif()
    tags[0x0112] = 6
    picture = PIL.Image.fromarray(pixels())
    frames = {"save_all": True, "append_images": [PIL.Image.new("RGB", (24, 16))]}
    sound = {
        "cmyk.jpg": encode(picture.convert("CMYK"), "JPEG"),
        "progressive.jpeg": encode(picture, "JPEG", progressive=True),
        "turned.jpg": encode(picture, "JPEG", exif=tags),
        "deep.png": encode(PIL.Image.fromarray(np.zeros((16, 24), np.uint16))),
        "palette.png": encode(picture.convert("P")),
        "clear.png": encode(picture.convert("RGBA")),
        "grey.png": encode(picture.convert("L")),
        "moving.gif": encode(picture, "GIF", **frames),
        "bitmap.bmp": encode(picture, "BMP"),
        "grey.bmp": encode(picture.convert("L"), "BMP"),
        "clear.bmp": encode(picture.convert("RGBA"), "BMP"),
        "photo.webp": encode(picture, "WEBP"),
        "png_inside.jpg": encode(picture),
    }
    paths = [write(name, content) for name, content in sound.items()]
    found = scan.scan(paths, memory=memory)
    assert {p.path.name: p.fault for p in found if p.fault} == {}
    assert {picture.pixels for picture in found} == {16 * 24 * 3}
    np.testing.assert_array_equal(
        scan.usable(found, on_bad_data="error"), range(len(sound))
    )


def test_digests_are_of_upright_pixels_whatever_the_file(encode, pixels, write, memory):
    files = {
        "a.png": encode(pixels()),
        "b.png": encode(pixels(), compress_level=1),
        "c.bmp": encode(pixels(), "BMP"),
        "other.png": encode(pixels(seed=1)),
        "tall.png": encode(np.zeros((6, 4, 3), np.uint8)),
        "wide.png": encode(np.zeros((4, 6, 3), np.uint8)),
    }
    paths = [write(name, content) for name, content in files.items()]
    digests = [picture.digest for picture in scan.scan(paths, memory=memory)]
    assert digests[0] == digests[1] == digests[2]
    assert len(set(digests)) == 4


def test_skipping_leaves_broken_pictures_out_with_a_line_for_each(
    encode, pixels, write, memory
):
    paths = [write(f"{n}.png", encode(pixels(seed=n))) for n in range(40)]
    paths[7].write_bytes(b"broken")
    paths[20].write_bytes(b"")
    lines = []
    kept = scan.usable(
        scan.scan(paths, memory=memory), on_bad_data="skip", warn=lines.append
    )
    assert kept.tolist() == [n for n in range(40) if n not in (7, 20)]
    assert [str(paths[7]) in lines[0], str(paths[20]) in lines[1]] == [True, True]
    assert len(lines) == 2


def test_over_five_percent_are_not_skipped(memory):
    good = [scan.Picture(memory / str(n), "00", 3) for n in range(18)]
    bad = scan.Picture(memory / "bad.jpg", "", 0, "broken")
    assert len(scan.usable([*good, good[0], bad], on_bad_data="skip", warn=str)) == 19
    with pytest.raises(
        errors.DataError, match=r"1 of 19 .* bad\.jpg|1 of 19.*bad\.jpg"
    ):
        scan.usable([*good, bad], on_bad_data="skip", warn=str)


def test_the_error_counts_the_others(memory):
    bad = [scan.Picture(memory / f"{n}.jpg", "", 0, "broken") for n in range(3)]
    with pytest.raises(errors.DataError, match=r"0\.jpg: broken \(and 2 more\)"):
        scan.usable(bad, on_bad_data="error")


def test_a_scan_is_remembered(encode, pixels, write, memory, monkeypatch):
    paths = [write(f"{n}.png", encode(pixels(seed=n))) for n in range(3)]
    first = scan.scan(paths, memory=memory)
    monkeypatch.setattr(images, "decode", None)
    assert scan.scan(paths, memory=memory) == first
    assert scan.scan(paths[::-1], memory=memory) == first[::-1]


def test_a_changed_file_is_scanned_anew(encode, pixels, write, memory):
    paths = [write(f"{n}.bmp", encode(pixels(seed=n), "BMP")) for n in range(3)]
    first = scan.scan(paths, memory=memory)
    paths[1].write_bytes(encode(pixels(seed=9), "BMP"))  # of the same size
    os.utime(paths[1], ns=(0, 10**18))
    second = scan.scan(paths, memory=memory)
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, False, True]
    paths[2].write_bytes(b"broken")
    assert [bool(picture.fault) for picture in scan.scan(paths, memory=memory)] == [
        0,
        0,
        1,
    ]


def test_the_memory_forgets_what_is_gone(encode, pixels, write, memory):
    paths = [write(f"{n}.png", encode(pixels(seed=n))) for n in range(3)]
    scan.scan(paths, memory=memory)
    scan.scan(paths[:1], memory=memory)
    assert len(json.loads(memory.read_text())["pictures"]) == 1


def test_a_fault_is_not_remembered(encode, pixels, write, memory):
    """A file may become readable without a new size or time, as by chmod."""
    path = write("a.bmp", b"x" * len(encode(pixels(), "BMP")))
    os.utime(path, ns=(0, 10**18))
    for _ in range(2):
        assert scan.scan([path], memory=memory)[0].fault
    path.write_bytes(encode(pixels(), "BMP"))
    os.utime(path, ns=(0, 10**18))
    [picture] = scan.scan([path], memory=memory)
    assert (picture.fault, picture.pixels) == ("", pixels().size)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"version": 1, "pictures": {}}', '{"version": 2}'],
)
def test_a_damaged_memory_is_no_memory(encode, pixels, write, memory, content):
    path = write("a.png", encode(pixels()))
    first = scan.scan([path], memory=memory)
    memory.write_text(content)
    assert scan.scan([path], memory=memory) == first


def test_the_memory_of_another_version_is_no_memory(encode, pixels, write, memory):
    path = write("a.png", encode(pixels()))
    first = scan.scan([path], memory=memory)
    content = json.loads(memory.read_text())
    content["pictures"] = {key: ["00", 3] for key in content["pictures"]}
    memory.write_text(json.dumps(content))
    assert scan.scan([path], memory=memory)[0].digest == "00"
    memory.write_text(json.dumps(content | {"version": 1}))
    assert scan.scan([path], memory=memory) == first


def test_no_picture_is_no_work(memory):
    assert scan.scan([], memory=memory) == []


def test_picture_files_are_found_by_their_ending_in_a_fixed_order(tmp_path):
    for name in ("b.PNG", "a.jpg", "sub/c.jpeg", ".hidden.jpg", "notes.txt", "d.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    found = [str(p.relative_to(tmp_path)) for p in scan.picture_files(tmp_path)]
    assert found == ["a.jpg", "b.PNG", "sub/c.jpeg"]


def test_files_to_predict_are_whole_pictures(encode, pixels, write, tmp_path):
    write("b.png", encode(pixels()))
    odd = write("no_ending", encode(pixels()))
    found = scan.usable_files([odd, tmp_path], on_bad_data="error")
    assert [path.name for path in found] == ["no_ending", "b.png"]


@pytest.mark.parametrize("case", ["missing", "nothing", "broken"])
def test_files_to_predict_that_cannot_be_used_are_an_error(write, tmp_path, case):
    if case == "broken":
        write("broken.jpg", b"no picture")
    path = tmp_path / "missing.jpg" if case == "missing" else tmp_path
    with pytest.raises(errors.DataError, match="missing.jpg|no picture|broken.jpg"):
        scan.usable_files([path], on_bad_data="error")


def test_names_need_not_be_unicode(encode, pixels, tmp_path, memory):
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    path.write_bytes(encode(pixels()))
    assert not scan.scan([path], memory=memory)[0].fault


def test_scans_run_under_a_strategy(encode, pixels, write, memory, mirrored_strategy):
    path = write("a.png", encode(pixels()))
    with mirrored_strategy.scope(), tf.device("CPU:1"):
        assert scan.scan([path], memory=memory)[0].pixels == 16 * 24 * 3
