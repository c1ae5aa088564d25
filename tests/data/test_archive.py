import os
import stat
import warnings
import zipfile

import numpy as np
import pytest

from tfdl import errors
from tfdl.data import archive

CONTENT = {"pictures/cat/1.txt": b"a cat", "pictures/dog/1.txt": b"a dog"}


def write_zip(path, entries, **options):
    """Write entries, (name or ZipInfo, bytes) one after another, also the forbidden."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", **options) as file:
        warnings.simplefilter("ignore")  # of duplicate names
        for name, content in entries:
            file.writestr(name, content)
    return path


def with_mode(name, mode):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    return entry


@pytest.fixture
def path(tmp_path):
    return tmp_path / "set.zip"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def good(path):
    return write_zip(path, CONTENT.items(), compression=zipfile.ZIP_DEFLATED)


def test_a_good_archive_is_unpacked(good, cache):
    folder = archive.unpack(good, cache=cache)
    assert folder.parent == cache
    assert {name: (folder / name).read_bytes() for name in CONTENT} == CONTENT


def test_an_archive_is_unpacked_once(good, cache, monkeypatch):
    folder = archive.unpack(good, cache=cache)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert archive.unpack(good, cache=cache) == folder
    assert list(cache.iterdir()) == [folder]


def test_another_archive_of_the_same_name_is_unpacked_anew(good, path, cache):
    first = archive.unpack(good, cache=cache)
    write_zip(path, [("new.txt", b"new")])
    second = archive.unpack(path, cache=cache)
    assert first != second
    assert (second / "new.txt").read_bytes() == b"new"


def test_an_empty_archive_is_an_empty_folder(path, cache):
    assert not list(archive.unpack(write_zip(path, []), cache=cache).iterdir())


@pytest.mark.parametrize(
    "entries",
    {
        "parent": ["../x.txt"],
        "parent within": ["a/../../x.txt"],
        "parent with backslashes": ["a\\..\\..\\x.txt"],
        "absolute": ["/etc/x.txt"],
        "drive": ["C:\\x.txt"],
        "share": ["\\\\host\\share\\x.txt"],
        "link": [with_mode("x.txt", stat.S_IFLNK | 0o777)],
        "device": [with_mode("x.txt", stat.S_IFCHR | 0o666)],
        "pipe": [with_mode("x.txt", stat.S_IFIFO | 0o666)],
        "twice": ["x.txt", "x.txt"],
        "twice, one with a detour": ["a/x.txt", "a/./x.txt"],
        "another case": ["x.txt", "X.txt"],
        "another case of a folder": ["cat/1.txt", "Cat/2.txt"],
        "another case beyond ASCII": ["stra\N{LATIN SMALL LETTER SHARP S}e", "STRASSE"],
        "a file as a folder": ["a", "a/x.txt"],
        "a folder as a file": ["a/x.txt", "a"],
        "a name of 300 letters": ["x" * 300],
    }.items(),
    ids=lambda entries: entries[0],
)
def test_a_hostile_entry_is_refused_before_anything_is_written(path, cache, entries):
    contents = [("good.txt", b"good"), *((entry, b"bad") for entry in entries[1])]
    with pytest.raises(errors.DataError, match=r"set\.zip is refused") as caught:
        archive.unpack(write_zip(path, contents), cache=cache)
    assert caught.value.exit_code == 3
    assert not cache.exists()
    assert sorted(os.listdir(path.parent)) == ["set.zip"]


def test_folders_may_have_entries_of_their_own(path, cache):
    entries = [("cat/", b""), ("cat/1.txt", b"a"), ("12:30.txt", b"half past")]
    folder = archive.unpack(write_zip(path, entries), cache=cache)
    assert (folder / "cat/1.txt").read_bytes() == b"a"
    assert (folder / "12:30.txt").exists()


def test_a_bomb_is_refused_before_anything_is_written(path, cache):
    bomb = write_zip(
        path, [("x", bytes(110_000_000))], compression=zipfile.ZIP_DEFLATED
    )
    assert bomb.stat().st_size < 200_000
    with pytest.raises(errors.DataError, match="110000000 bytes"):
        archive.unpack(bomb, cache=cache)
    assert not cache.exists()


def test_an_entry_that_is_larger_than_it_says_is_refused(path, cache):
    write_zip(path, [("x", bytes(1_000_000))], compression=zipfile.ZIP_DEFLATED)
    size = np.array(1_000_000, "<u4").tobytes()
    path.write_bytes(path.read_bytes().replace(size, np.array(10, "<u4").tobytes()))
    with pytest.raises(errors.DataError, match="no whole zip"):
        archive.unpack(path, cache=cache)
    assert not list(cache.iterdir())


def test_too_many_entries_are_refused(path, cache, monkeypatch):
    monkeypatch.setattr(archive, "_MAX_ENTRIES", 3)
    entries = [(str(number), b"") for number in range(4)]
    with pytest.raises(errors.DataError, match="4 entries"):
        archive.unpack(write_zip(path, entries), cache=cache)


DAMAGES = {
    "cut short": lambda content: content[:-10],
    "half": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "text": lambda content: b"this is no zip file",
    "packed bytes": lambda content: content[:60] + b"\xff" * 8 + content[68:],
    "encrypted": lambda content: content.replace(
        b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\x01\0"
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_archive_leaves_nothing_behind(path, cache, damage):
    content = np.random.default_rng(0).integers(0, 9, 5000, np.uint8).tobytes()
    write_zip(path, [("a.txt", content)], compression=zipfile.ZIP_DEFLATED)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert path.read_bytes() != whole
    with pytest.raises(errors.DataError, match=r"set\.zip is no whole zip"):
        archive.unpack(path, cache=cache)
    assert not cache.exists() or not list(cache.iterdir())


def test_whatever_byte_is_wrong_the_error_names_the_file(good, cache):
    content, rng = good.read_bytes(), np.random.default_rng(0)
    for number in range(300):
        broken = bytearray(content)
        for place in rng.integers(len(broken), size=rng.integers(1, 4)):
            broken[place] = rng.integers(256)
        path = good.with_name(f"{number}.zip")
        path.write_bytes(broken)
        try:
            archive.unpack(path, cache=cache)
        except errors.DataError as error:
            assert f"{number}.zip" in str(error)  # noqa: PT017


def test_two_processes_may_unpack_at_once(good, cache, monkeypatch):
    rename = os.rename

    def late(old, new):
        monkeypatch.setattr(os, "rename", rename)
        archive.unpack(good, cache=cache)  # the other process
        rename(old, new)

    monkeypatch.setattr(os, "rename", late)
    folder = archive.unpack(good, cache=cache)
    assert list(cache.iterdir()) == [folder]
    assert (folder / "pictures/cat/1.txt").read_bytes() == b"a cat"


def test_a_full_disk_is_not_the_archives_fault(good, cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extractall", full)
    with pytest.raises(OSError, match="No space left"):
        archive.unpack(good, cache=cache)
    assert not list(cache.iterdir())
