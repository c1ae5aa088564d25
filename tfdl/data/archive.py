"""Unpacks a zip once into the cache, after looking at every entry."""

import os
import pathlib
import shutil
import stat
import zipfile

from tfdl import errors

_MAX_ENTRIES = 2_000_000
_MAX_RATIO = 200  # of unpacked to packed bytes; a bomb has 1000, a text 20
_MIN_BOMB_BYTES = 100_000_000  # below, the ratio of a small file says nothing
_MAX_BYTES = 1 << 40


def unpack(path: pathlib.Path, *, cache: pathlib.Path) -> pathlib.Path:
    """Unpack a zip into the cache, or find it there.

    Nothing is written before every entry has been checked, and the folder appears
    whole or not at all.

    Args:
        path: a zip file.
        cache: folder under which unpacked archives are kept, by name, size and time.

    Returns:
        The folder with the archive's content.

    Raises:
        DataError: no zip, damaged, or an entry points outside, is a link, stands
            twice, or unpacks to far more than it packs.
    """
    status = path.stat()
    folder = cache / f"{path.stem}-{status.st_size}-{status.st_mtime_ns}"
    if folder.exists():
        return folder
    unfinished = cache / f".tmp-{os.getpid()}-{folder.name}"
    try:
        with zipfile.ZipFile(path) as archive:
            _check(path, archive.infolist())
            unfinished.mkdir(parents=True)
            archive.extractall(unfinished)
        os.rename(unfinished, folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise errors.DataError(
            f"{path} is no whole zip file: {error}", "fetch the file again"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _check(path: pathlib.Path, entries: list[zipfile.ZipInfo]) -> None:
    seen = set()
    for entry in entries:
        fault = _fault(entry)
        if entry.filename.lower() in seen:
            fault = "it stands in the archive twice"
        seen.add(entry.filename.lower())
        if fault:
            raise errors.DataError(
                f"{path} is refused for its entry {entry.filename[:200]!r}: {fault}",
                "make the archive anew from the plain files",
            )
    unpacked = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    is_bomb = unpacked > max(_MIN_BOMB_BYTES, _MAX_RATIO * packed)
    if is_bomb or len(entries) > _MAX_ENTRIES or unpacked > _MAX_BYTES:
        raise errors.DataError(
            f"{path} is refused: {len(entries)} entries of {unpacked} bytes, packed "
            f"into {packed}",
            "unpack it yourself if you trust it, and name the folder",
        )


def _fault(entry: zipfile.ZipInfo) -> str:
    """Say what is wrong with an entry, empty for nothing."""
    name = pathlib.PurePosixPath(entry.filename.replace("\\", "/"))
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if name.is_absolute() or ".." in name.parts or ":" in entry.filename:
        return "its path leaves the folder"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "it is a link or a device"
    return ""
