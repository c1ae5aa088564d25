"""Looks at every picture file once before training, and names those that are broken."""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import PIL.Image

from tfdl import errors
from tfdl.data import images

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
_CHANNELS = 3  # every file is decoded to RGB
_NUM_THREADS = 4  # Pillow decodes outside Python's lock
_MAX_SKIPPED_SHARE = 0.05


@dataclasses.dataclass(frozen=True)
class Picture:
    """What the scan found out about a file.

    Attributes:
        path: the file.
        digest: hexadecimal digest of its decoded pixels; of its bytes if broken.
        pixels: height x width x channels once decoded.
        fault: why it cannot be used, empty if it can.
    """

    path: pathlib.Path
    digest: str
    pixels: int
    fault: str


def scan(paths: Sequence[pathlib.Path], *, memory: pathlib.Path) -> list[Picture]:
    """Decode every file once, or take what an earlier scan remembered.

    Args:
        paths: picture files.
        memory: JSON file with earlier results, keyed by path, size and time of change;
            written anew where it lacks one of `paths`.

    Returns:
        One Picture for each path, in the same order.
    """
    remembered = _recall(memory)
    keys = [_key(path) for path in paths]
    unknown = [
        path for path, key in zip(paths, keys, strict=True) if key not in remembered
    ]
    with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
        found = dict(zip(map(str, unknown), pool.map(_inspect, unknown), strict=True))
    for path, key in zip(paths, keys, strict=True):
        if str(path) in found:
            remembered[key] = found[str(path)]
    if unknown:
        _remember(memory, remembered)
    return [
        Picture(path, *remembered[key]) for path, key in zip(paths, keys, strict=True)
    ]


def usable(
    pictures: Sequence[Picture],
    *,
    on_bad_data: str,
    warn: Callable[[str], None] = warnings.warn,
) -> np.ndarray:
    """Decide what to do about broken pictures.

    Args:
        pictures: the results of a scan.
        on_bad_data: "error" refuses them, "skip" leaves up to 5 % of them out.
        warn: takes one line for every picture that is left out.

    Returns:
        int64 (usable,), the positions of the pictures to use.

    Raises:
        DataError: a picture is broken and `on_bad_data` is "error", or too many are.
    """
    broken = [picture for picture in pictures if picture.fault]
    if broken and on_bad_data == "error":
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise errors.DataError(
            f"{broken[0].path}: {broken[0].fault}{more}",
            "mend or remove it, or leave broken pictures out: --on-bad-data skip",
        )
    if len(broken) > _MAX_SKIPPED_SHARE * len(pictures):
        raise errors.DataError(
            f"{len(broken)} of {len(pictures)} pictures are broken, the first is "
            f"{broken[0].path}: {broken[0].fault}",
            f"at most {_MAX_SKIPPED_SHARE:.0%} are skipped: mend or remove them",
        )
    for picture in broken:
        warn(f"left out {picture.path}: {picture.fault}")
    return np.array([n for n, p in enumerate(pictures) if not p.fault], np.int64)


def usable_files(
    paths: Sequence[pathlib.Path], *, on_bad_data: str
) -> list[pathlib.Path]:
    """List the whole pictures among files and below folders.

    Args:
        paths: picture files, and folders that are searched for them.
        on_bad_data: as in `usable`.

    Raises:
        DataError: a path is missing, there is no picture, or one is broken.
    """
    for path in paths:
        if not path.exists():
            raise errors.DataError(f"{path} does not exist", "name a picture or folder")
    files = [
        file
        for path in paths
        for file in (picture_files(path) if path.is_dir() else [path])
    ]
    if not files:
        raise errors.DataError(
            "there is no picture to answer for",
            f"name files that end in {', '.join(images.EXTENSIONS)}",
        )
    pictures = [Picture(file, *_inspect(file)) for file in files]
    return [files[index] for index in usable(pictures, on_bad_data=on_bad_data)]


def picture_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """List the picture files below a folder by their endings, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if _is_picture(path))


def _is_picture(path: pathlib.Path) -> bool:
    hidden = path.name.startswith(".")
    return path.suffix.lower() in images.EXTENSIONS and not hidden and path.is_file()


def _inspect(path: pathlib.Path) -> tuple[str, int, str]:
    """Read one file -> (digest, pixels, fault)."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return "", 0, f"it cannot be read ({error.strerror})"
    if not content:
        return "", 0, "the file is empty"
    try:
        return _decode(path)
    except Exception as error:  # Pillow raises a dozen kinds for hostile files
        reason = f"it cannot be decoded ({type(error).__name__}: {error})"
        return hashlib.blake2b(content, digest_size=16).hexdigest(), 0, reason


def _decode(path: pathlib.Path) -> tuple[str, int, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own warning of bombs, see below
        with PIL.Image.open(path, formats=_FORMATS) as picture:
            width, height = picture.size
            if width * height > images.MAX_PIXELS:
                limit = f"{images.MAX_PIXELS / 1e6:.0f} Mpx"
                return "", 0, f"its {width} x {height} pixels are over {limit}"
            pixels = picture.convert("RGB").tobytes()
    size = f"{width}x{height}".encode()
    digest = hashlib.blake2b(size + pixels, digest_size=16).hexdigest()
    return digest, width * height * _CHANNELS, ""


def _key(path: pathlib.Path) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return f"{path}|missing"
    return f"{path}|{status.st_size}|{status.st_mtime_ns}"


def _recall(memory: pathlib.Path) -> dict[str, Iterable]:
    try:
        return json.loads(memory.read_text())
    except (OSError, ValueError):
        return {}


def _remember(memory: pathlib.Path, results: dict[str, Iterable]) -> None:
    memory.parent.mkdir(parents=True, exist_ok=True)
    unfinished = memory.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_text(json.dumps(results))
    os.replace(unfinished, memory)
