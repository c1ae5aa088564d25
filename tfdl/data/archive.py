"""Unpacks a zip once into the cache, after looking at every entry."""

import errno
import lzma
import os
import pathlib
import stat
import tempfile
import zipfile
import zlib

from tfdl import errors

_MAX_ENTRIES = 2_000_000
_MAX_RATIO = 200  # of unpacked to packed bytes; a bomb has 1000, a text 20
_MIN_BOMB_BYTES = 100_000_000  # below, the ratio of a small file says nothing
_MAX_BYTES = 1 << 40
_MAX_NAME_BYTES = 255

_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,  # a name or a date that is none
    RuntimeError,  # encrypted, or packed in a way that Python does not know
)


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
        DataError: no zip, damaged, encrypted, or an entry points outside, is a link,
            clashes with another, or unpacks to far more than it packs.
    """
    status = path.stat()
    folder = cache / f"{path.stem}-{status.st_size}-{status.st_mtime_ns}"
    if folder.exists():
        return folder
    try:
        with zipfile.ZipFile(path) as archive:
            _check(path, archive.infolist())
            _extract(archive, folder)
    except (*_DAMAGES, OSError) as error:
        # A damaged offset is an invalid argument; all else is the disk's or the user's.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise errors.DataError(
            f"{path} is no whole zip file: {error}",
            "fetch the file again, or unpack it yourself and name the folder",
        ) from error
    return folder


def _extract(archive: zipfile.ZipFile, folder: pathlib.Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder.parent) as unfinished:
        content = pathlib.Path(unfinished, "content")
        content.mkdir()
        archive.extractall(content)
        try:
            os.rename(content, folder)
        except OSError:
            if not folder.exists():  # else another process has unpacked it meanwhile
                raise


def _check(path: pathlib.Path, entries: list[zipfile.ZipInfo]) -> None:
    seen = {}
    for entry in entries:
        fault = _fault(entry) or _clash(entry, seen)
        if fault:
            raise errors.DataError(
                f"{path} is refused for its entry {entry.filename[:200]!r}: {fault}",
                "make the archive anew from the plain files",
            )
    unpacked = sum(entry.file_size for entry in entries)
    packed = path.stat().st_size  # what entries say of themselves may count bytes twice
    is_bomb = unpacked > max(_MIN_BOMB_BYTES, _MAX_RATIO * packed)
    if is_bomb or len(entries) > _MAX_ENTRIES or unpacked > _MAX_BYTES:
        raise errors.DataError(
            f"{path} is refused: {len(entries)} entries of {unpacked} bytes, packed "
            f"into {packed}",
            "unpack it yourself if you trust it, and name the folder",
        )


def _fault(entry: zipfile.ZipInfo) -> str:
    """Say what is wrong with an entry, empty for nothing."""
    name = pathlib.PureWindowsPath(entry.filename)  # knows both slashes, and drives
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if name.anchor or ".." in name.parts:
        return "its path leaves the folder"
    if any(len(os.fsencode(part)) > _MAX_NAME_BYTES for part in name.parts):
        return "its name is too long"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "it is a link or a device"
    return ""


def _clash(entry: zipfile.ZipInfo, seen: dict[str, tuple[str, bool]]) -> str:
    """Say whether an earlier entry is in the way of this one, empty if not.

    Args:
        entry: a file or a folder.
        seen: path without case -> (path, is a file); this entry is added to it.
    """
    path = pathlib.PurePosixPath(entry.filename)
    places = [(path, not entry.is_dir()), *((parent, False) for parent in path.parents)]
    for place, is_file in places:
        found = (str(place), is_file)
        is_new = found[0].casefold() not in seen
        earlier = seen.setdefault(found[0].casefold(), found)
        if earlier != found or (is_file and not is_new):
            return "it stands in the archive twice, perhaps in another case"
    return ""
