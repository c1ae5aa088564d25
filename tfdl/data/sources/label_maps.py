"""What is in a PNG of class indices, and how does TensorFlow read it unchanged?

Maps are grey or have a palette. TensorFlow turns a palette into colours and 16 bits
into 8, either of which would destroy the indices; Pillow keeps these. So Pillow looks
at every map once, and those that TensorFlow would change are copied as plain grey. Grey
of 2 and 4 bits both stretch to 255, which is undone here.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import PIL.Image
import tensorflow as tf

from tfdl.data import images

_NUM_THREADS = 4  # reading waits for the disk; unpacking is outside Python's lock
_VERSION = 2  # of what is remembered: one more where reading changes
_COLOURS = ("RGB", "RGBA")
_DEPTH = 24  # place in a PNG file of the bits of a channel, and of the kind of these
_GREY = 0  # the kind of one channel without palette
_STRETCHED = {2: 85, 4: 17}  # by bits: what one level becomes


class _FaultError(ValueError):
    """A file is no label map."""


@dataclasses.dataclass(frozen=True)
class LabelMap:
    """What is known of a label map.

    Attributes:
        path: the file.
        size: (height, width) in pixels; (0, 0) if it is broken.
        pixels: value -> how many pixels have it; empty if it is broken.
        is_plain: TensorFlow decodes it to these very values.
        fault: why it cannot be used, empty if it can.
    """

    path: pathlib.Path
    size: tuple[int, int]
    pixels: Mapping[int, int]
    is_plain: bool
    fault: str = ""


def scan(paths: Sequence[pathlib.Path], *, memory: pathlib.Path) -> list[LabelMap]:
    """Look at every map once, or take what an earlier scan remembered.

    Args:
        paths: PNG files.
        memory: JSON file with the sound maps of the last scan, keyed by path, size and
            time of change; written anew where the files are not the same.

    Returns:
        One LabelMap for each path, in the same order.
    """
    remembered = _recall(memory)
    keys = [_key(path) for path in paths]

    def look(path: pathlib.Path, key: str) -> LabelMap:
        return _recalled(path, *remembered[key]) if key in remembered else _look(path)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own of bombs; the limit is below
        with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
            found = list(pool.map(look, paths, keys))
    results = {
        key: [*label_map.size, label_map.is_plain, label_map.pixels]
        for key, label_map in zip(keys, found, strict=True)
        if not label_map.fault
    }
    if results.keys() != remembered.keys():
        _write(memory, json.dumps({"version": _VERSION, "maps": results}).encode())
    return found


def read(path: pathlib.Path) -> np.ndarray:
    """Read the values of a map as they are, uint8 (height, width).

    Raises:
        OSError: it cannot be read, or is no PNG.
        ValueError: it is too large, in colours, or has a value above 255.
    """
    with open(path, "rb") as file, PIL.Image.open(file, formats=("PNG",)) as picture:
        width, height = picture.size
        if width * height > images.MAX_PIXELS:
            limit = f"{images.MAX_PIXELS / 1e6:.0f} Mpx"
            raise _FaultError(f"its {width} x {height} pixels are over {limit}")
        file.seek(_DEPTH)
        bits, kind = file.read(2)
        file.seek(0)
        if bits == 16 and kind != _GREY:
            raise _FaultError("it has 16 bits in several channels, not one of indices")
        values = _values(picture)
    return values // _STRETCHED.get(bits, 1) if kind == _GREY else values


def plain_copies(
    label_maps: Sequence[LabelMap], *, folder: pathlib.Path
) -> list[pathlib.Path]:
    """Find files that TensorFlow decodes to the values of the maps.

    Args:
        label_maps: sound ones.
        folder: where copies of those are kept that are not plain; a copy is made where
            there is none of the file as it is now.

    Returns:
        A PNG for each map: itself or its copy.
    """
    return [
        label_map.path if label_map.is_plain else _copy(label_map.path, folder)
        for label_map in label_maps
    ]


def write(path: pathlib.Path, values: np.ndarray) -> None:
    """Write values, uint8 (height, width), as a plain map, whole or not at all."""
    encoded = tf.io.encode_png(values[..., None], compression=1)
    _write(path, encoded.numpy())


def _look(path: pathlib.Path) -> LabelMap:
    try:
        values = read(path)
    except FileNotFoundError:
        fault = "it does not exist"
    except PIL.UnidentifiedImageError:
        fault = "it is no PNG file: other formats change the indices"
    except _FaultError as error:
        fault = str(error)
    except Exception as error:  # Pillow raises a dozen kinds for hostile files
        fault = f"it cannot be read ({getattr(error, 'strerror', None) or error})"
    else:
        counts = np.bincount(values.ravel())
        pixels = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
        return LabelMap(path, values.shape, pixels, _is_plain(path, values))
    return LabelMap(path, (0, 0), {}, is_plain=False, fault=fault)


def _values(picture: PIL.Image.Image) -> np.ndarray:
    """Take indices of a palette, or levels of grey: black is 0, white 255."""
    if picture.mode in _COLOURS:
        return _grey(np.asarray(picture)[..., :3])
    if picture.mode in ("LA", "PA"):
        return np.asarray(picture)[..., 0]
    if picture.mode == "1":
        picture = picture.convert("L")
    values = np.asarray(picture)
    if values.max(initial=0) > 255:  # of 16 bits
        raise _FaultError(f"its value {values.max()} is over 255")
    return values.astype(np.uint8)


def _grey(colours: np.ndarray) -> np.ndarray:
    """Take one of three equal channels, as some programs write grey."""
    if (colours != colours[..., :1]).any():
        raise _FaultError(
            "it is in colours: class indices are grey levels or those of a palette"
        )
    return colours[..., 0]


def _is_plain(path: pathlib.Path, values: np.ndarray) -> bool:
    try:
        decoded = tf.io.decode_png(path.read_bytes(), channels=1)
    except tf.errors.InvalidArgumentError:
        return False
    return np.array_equal(decoded[..., 0], values)


def _copy(path: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    digest = hashlib.blake2b(os.fsencode(_key(path)), digest_size=16).hexdigest()
    target = folder / f"{digest}.png"
    if not target.exists():
        write(target, read(path))
    return target


def _key(path: pathlib.Path) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return f"{path}|missing"
    return f"{path.absolute()}|{status.st_size}|{status.st_mtime_ns}"


def _recalled(path, height, width, is_plain, pixels) -> LabelMap:
    counts = {int(value): count for value, count in pixels.items()}
    return LabelMap(path, (height, width), counts, is_plain)


def _recall(memory: pathlib.Path) -> dict[str, list]:
    try:
        content = json.loads(memory.read_text())
        return content["maps"] if content["version"] == _VERSION else {}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _write(path: pathlib.Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)
