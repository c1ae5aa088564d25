"""Writes drawn pictures as PNG."""

import io
import pathlib
from collections.abc import Mapping

import numpy as np
import PIL.Image


def encode(picture: np.ndarray) -> bytes:
    """Turn a picture, uint8 (height, width, 3) or grey, into the bytes of a PNG."""
    content = io.BytesIO()
    PIL.Image.fromarray(picture).save(content, "png")
    return content.getvalue()


def save(folder: pathlib.Path, drawn: Mapping[str, np.ndarray]) -> None:
    """Write pictures, as `encode` takes them, as `<folder>/<name>.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in drawn.items():
        (folder / f"{name}.png").write_bytes(encode(picture))
