"""Looks at every picture file once before training, and names those that are broken."""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import PIL.Image
import tensorflow as tf

from tfdl import errors
from tfdl.data import images

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
_CHANNELS = 3  # every file is decoded to RGB
_NUM_THREADS = 4  # for headers; reading waits for the disk, outside Python's lock
_MAX_SKIPPED_SHARE = 0.05
_VERSION = 2  # of what is remembered: one more where decoding or digests change


@dataclasses.dataclass(frozen=True)
class Picture:
    """What the scan found out about a file.

    Attributes:
        path: the file.
        digest: hexadecimal digest of its decoded pixels, empty if broken.
        pixels: height x width x channels once decoded, 0 if broken.
        fault: why it cannot be used, empty if it can.
    """

    path: pathlib.Path
    digest: str
    pixels: int
    fault: str = ""


def scan(paths: Sequence[pathlib.Path], *, memory: pathlib.Path) -> list[Picture]:
    """Decode every file once, or take what an earlier scan remembered.

    Files are decoded as in training: what passes here cannot stop it.

    Args:
        paths: picture files.
        memory: JSON file with the whole pictures of the last scan, keyed by path, size
            and time of change; written anew where the files are not the same.

    Returns:
        One Picture for each path, in the same order.
    """
    remembered = _recall(memory)
    keys = [_key(path) for path in paths]
    known = {
        path: Picture(path, *remembered[key])
        for path, key in zip(paths, keys, strict=True)
        if key in remembered
    }
    found = _inspect([path for path in paths if path not in known])
    known |= {picture.path: picture for picture in found}
    pictures = [known[path] for path in paths]
    results = {
        key: [picture.digest, picture.pixels]
        for key, picture in zip(keys, pictures, strict=True)
        if not picture.fault
    }
    if results != remembered:
        _remember(memory, results)
    return pictures


def memory_of(
    paths: Sequence[pathlib.Path], *, split: str, cache: pathlib.Path
) -> pathlib.Path:
    """Name what a scan remembers after the split and the folder of its files.

    Args:
        paths: of the split, at least one.
        split: its name.
        cache: the folder of all memories.
    """
    folder = os.path.commonpath([path.absolute().parent for path in paths])
    content = os.fsencode(f"{split}:{folder}")
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    return cache / "scans" / f"{digest}.json"


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
    kept = usable(_inspect(files), on_bad_data=on_bad_data)
    return [files[index] for index in kept]


def picture_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """List the picture files below a folder by their endings, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if _is_picture(path))


def _is_picture(path: pathlib.Path) -> bool:
    hidden = path.name.startswith(".")
    return path.suffix.lower() in images.EXTENSIONS and not hidden and path.is_file()


def _inspect(paths: Sequence[pathlib.Path]) -> list[Picture]:
    """Look at every header, then decode what it promises to be bearable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own of bombs; the limit is below
        with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
            faults = list(pool.map(_header_fault, paths))
        decoded = _decode(
            [path for path, fault in zip(paths, faults, strict=True) if not fault]
        )
        return [
            Picture(path, "", 0, fault) if fault else next(decoded)
            for path, fault in zip(paths, faults, strict=True)
        ]


def _header_fault(path: pathlib.Path) -> str:
    """Say what the first bytes tell against a file, empty for nothing."""
    try:
        if not path.stat().st_size:
            return "the file is empty"
        with PIL.Image.open(path, formats=_FORMATS) as picture:
            return _size_fault(picture) or _bitmap_fault(path, picture)
    except PIL.UnidentifiedImageError:
        return f"it is no {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]} file"
    except Exception as error:  # Pillow raises a dozen kinds for hostile files
        return f"it cannot be read ({getattr(error, 'strerror', None) or error})"


def _size_fault(picture: PIL.Image.Image) -> str:
    width, height = picture.size
    if width * height > images.MAX_PIXELS:
        limit = f"{images.MAX_PIXELS / 1e6:.0f} Mpx"
        return f"its {width} x {height} pixels are over {limit}"
    # Only the first frame is used, but all are unpacked, to a byte for each pixel.
    num_frames = getattr(picture, "n_frames", 1)
    if width * height * num_frames > images.MAX_PIXELS * _CHANNELS:
        return f"its {num_frames} frames of {width} x {height} pixels are too many"
    return ""


def _bitmap_fault(path: pathlib.Path, picture: PIL.Image.Image) -> str:
    """Compare a BMP with Pillow's: TensorFlow ignores palette, masks and packing."""
    if picture.format != "BMP":
        return ""
    try:
        decoded = images.decode(path.read_bytes())
    except tf.errors.InvalidArgumentError:
        return ""  # decoding the whole file will say so
    if np.array_equal(decoded, picture.convert("RGB")):
        return ""
    return "TensorFlow cannot decode this kind of BMP: save it as PNG"


def _decode(paths: Sequence[pathlib.Path]) -> Iterator[Picture]:
    """Decode files as training does -> their Pictures, in the same order."""
    names = tf.constant([os.fsencode(path) for path in paths], tf.string)
    decoded = iter(
        tf.data.Dataset.from_tensor_slices(names).map(
            lambda name: images.decode(tf.io.read_file(name)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    )
    for path in paths:
        try:
            image = next(decoded).numpy()
        except tf.errors.OpError as error:  # of this file alone: the next one follows
            yield Picture(path, "", 0, f"it cannot be decoded ({_reason(path, error)})")
        else:
            content = str(image.shape).encode() + image.tobytes()
            digest = hashlib.blake2b(content, digest_size=16).hexdigest()
            yield Picture(path, digest, image.size)


def _reason(path: pathlib.Path, error: tf.errors.OpError) -> str:
    """Quote Pillow, which is plainer, or TensorFlow where Pillow could decode."""
    try:
        with PIL.Image.open(path, formats=_FORMATS) as picture:
            picture.convert("RGB")
    except Exception as plainer:
        return str(plainer)
    return "TensorFlow: " + error.message.splitlines()[0].rpartition(": ")[2]


def _key(path: pathlib.Path) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return f"{path}|missing"
    return f"{path}|{status.st_size}|{status.st_mtime_ns}"


def _recall(memory: pathlib.Path) -> dict[str, list]:
    try:
        content = json.loads(memory.read_text())
        return content["pictures"] if content["version"] == _VERSION else {}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _remember(memory: pathlib.Path, results: dict[str, list]) -> None:
    memory.parent.mkdir(parents=True, exist_ok=True)
    unfinished = memory.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_text(json.dumps({"version": _VERSION, "pictures": results}))
    os.replace(unfinished, memory)
