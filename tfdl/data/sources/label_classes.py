"""Which value of a label map is which class?"""

import dataclasses
import json
import pathlib
from collections.abc import Collection, Sequence

import numpy as np

from tfdl import errors
from tfdl.data.sources import annotated, semantic, voc_layout

_UNKNOWN = -1
_JSON = "data.json"
_IGNORED_NAMES = ("void", "ignore", "ignored", "unlabelled", "unlabeled")
_BLACK_AND_WHITE = {0, semantic.IGNORED}
_REMEDY = 'write {"classes": [the name of each value from 0], "ignore": [values]}'


@dataclasses.dataclass(frozen=True)
class Named:
    """What a file says about the values of label maps.

    Attributes:
        names: of the values from 0.
        ignored: values without class.
        place: what a message calls the file.

    Raises:
        DataError: there are more names than a label map has room for.
    """

    names: tuple[str, ...]
    ignored: frozenset[int]
    place: str

    def __post_init__(self):
        if len(self.names) > semantic.IGNORED:
            raise errors.DataError(
                f"{self.place} has {len(self.names)} classes",
                f"a label map has room for {semantic.IGNORED}: leave the rarest out",
            )


@dataclasses.dataclass(frozen=True)
class Numbering:
    """Which value is which class.

    Attributes:
        class_names: by class.
        classes: int16 (256,), the class of each value; 255 if it is ignored, -1 if it
            is unknown.
        place: what a message calls that which names the classes.
    """

    class_names: tuple[str, ...]
    classes: np.ndarray
    place: str

    @property
    def table(self) -> np.ndarray:
        """The class of each value, uint8 (256,); the unknown are ignored."""
        return np.where(
            self.classes == _UNKNOWN, semantic.IGNORED, self.classes
        ).astype(np.uint8)

    def fault(self, values: Collection[int]) -> str:
        """Say which of the values is unknown, empty for none."""
        unknown = [value for value in sorted(values) if self.classes[value] == _UNKNOWN]
        if not unknown:
            return ""
        count = len(self.class_names)
        return f"its value {unknown[0]} is none of the {count} classes of {self.place}"

    def class_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Count classes by values.

        Args:
            pixels: int64 (maps, 256), pixels of each value.

        Returns:
            int64 (maps, classes).
        """
        numbers = np.arange(len(self.class_names))
        return pixels @ (self.classes[:, None] == numbers).astype(np.int64)


def read_names(folders: Sequence[pathlib.Path]) -> Named | None:
    """Read what values are called.

    Names are in `classes.txt` or `labels.txt`, a line for each value from 0, or in
    `data.json`, {"classes": [...], "ignore": [...]}. Values called void, ignore,
    ignored, unlabelled or unlabeled have no class.

    Args:
        folders: where the files may be; the first counts.

    Returns:
        The names, or None where there is no such file.

    Raises:
        DataError: a file is not of this form, or names a class twice.
    """
    for folder in folders:
        for name in ("classes.txt", "labels.txt"):
            if (folder / name).is_file():
                return _named(_read_lines(folder / name), (), folder / name)
        if (folder / _JSON).is_file():
            return _named(*_read_json(folder / _JSON), folder / _JSON)
    return None


def _read_lines(path: pathlib.Path) -> tuple[str, ...]:
    lines = "\n".join(voc_layout.read_lines(path)).rstrip("\n").split("\n")
    if "" in lines[1:]:
        raise errors.DataError(
            f"{path}: line {lines.index('', 1) + 1} is empty",
            "name the class of every value from 0, a line for each",
        )
    return tuple(filter(None, lines))


def numbering(
    values: Collection[int], *, named: Named | None, ignore: Sequence[int], place: str
) -> Numbering:
    """Decide which value is which class.

    A data set of 0 and 255 alone has two classes, black and white. In all others 255 is
    ignored, and the other values are classes in their order, up to the last that is
    named, or that occurs where there are no names.

    Args:
        values: all that occur in the data set.
        named: what a file says of them, or None: "class_0", "class_1" and so on.
        ignore: further values without class.
        place: what a message calls the data set.

    Raises:
        UsageError: a value to ignore is none of a label map.
        DataError: there are fewer than two classes.
    """
    _check_ignored(ignore)
    ignored = {*ignore} | (named.ignored if named else set())
    occurring = {*values} - ignored - {semantic.IGNORED}
    last = len(named.names) if named else max(occurring, default=-1) + 1
    kept = [value for value in range(last) if value not in ignored]
    names = named.names if named else [f"class_{value}" for value in range(last)]
    class_names = tuple(names[value] for value in kept)
    is_two_tone = {*values} == _BLACK_AND_WHITE and not ignored & _BLACK_AND_WHITE
    if is_two_tone and (named is None or len(kept) == 2):
        kept = sorted(_BLACK_AND_WHITE)
        class_names = class_names if named else ("class_0", "class_1")
    if len(kept) < 2:
        raise errors.DataError(
            f"{place}: the label maps have {len(kept)} class where two or more are "
            "needed",
            "give the pixels of each class a value of their own, from 0",
        )
    classes = np.full(semantic.NUM_VALUES, _UNKNOWN, np.int16)
    classes[[*ignored, semantic.IGNORED]] = semantic.IGNORED
    classes[kept] = np.arange(len(kept))
    return Numbering(class_names, classes, named.place if named else place)


def _named(names: tuple[str, ...], ignored: Sequence[int], path: pathlib.Path) -> Named:
    kept = [name for name in names if name.lower() not in _IGNORED_NAMES]
    annotated.refuse_repeated(kept, place=path)
    void = [n for n, name in enumerate(names) if name.lower() in _IGNORED_NAMES]
    return Named(names, frozenset([*ignored, *void]), str(path))


def _read_json(path: pathlib.Path) -> tuple[tuple[str, ...], list[int]]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise errors.DataError(f"{path} is not JSON: {error}", _REMEDY) from error
    if not isinstance(content, dict):
        content = {"classes": content}
    names, ignored = content.get("classes"), content.get("ignore", [])
    if not _is_list(names, str) or not _is_list(ignored, int):
        raise errors.DataError(f"{path} names no classes", _REMEDY)
    if any(not 0 <= value < semantic.NUM_VALUES for value in ignored):
        raise errors.DataError(f"{path} ignores a value beyond 0 to 255", _REMEDY)
    return tuple(names), ignored


def _is_list(values, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)


def _check_ignored(ignore: Sequence[int]) -> None:
    for value in ignore:
        if not 0 <= value < semantic.NUM_VALUES:
            raise errors.UsageError(
                f"--ignore {value} is no value of a label map",
                "name values of 0 to 255",
            )
