"""What is wrong with a data set of objects, before anything is trained on it?"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tfdl.data.sources import source
from tfdl.findings import Finding

_FEW = 20  # objects of a class
_UNEVEN = 100.0  # most of a class / fewest; 11 in blood cells, over 1000 in COCO
_EMPTY_SHARE = 0.5  # of pictures in train
_SMALL_SHARE = 0.01  # of objects in train
_SIZE_STEP = 32  # sides of models are multiples of it
_SMALL, _LARGE = 32, 96  # pixels, sides of COCO's small and large objects
_SHOWN = 3
_SPECIAL = {
    "is_crowd": "crowds, which are not trained on, nor does it count what is in them",
    "is_difficult": "difficult objects, which do not count as missed",
}


def lint(
    sources: Mapping[str, source.Source | source.Stream],
    *,
    image_size: int,
    smallest_stride: int,
) -> list[Finding]:
    """Look at the numbers, sizes and repetitions of pictures and objects.

    That splits share no picture, and that boxes are within their pictures, has been
    seen to when they were read.

    Args:
        sources: {"train", "validation", "test"}, perhaps "train_dev".
        image_size: side of the square that pictures are laid into, in pixels.
        smallest_stride: of the model's feature maps, in pixels of that square.
    """
    if not all(found.objects for found in sources.values()):
        reason = "their objects are not known before they are read"
        return [_data("splits", "warn", f"{_sizes(sources)}; {reason}")]
    tables = {split: _table(found.objects) for split, found in sources.items()}
    train, table = sources["train"], tables["train"]
    found = [
        _splits(sources, tables),
        _classes(tables, train.class_names),
        _empty(tables),
        _crowds(sources),
        _repeated_boxes(tables),
    ]
    if isinstance(train, source.Source):
        found.append(_repeated_pictures(train))
    if len(table):
        found += [
            _box_sizes(table, image_size=image_size),
            _small_boxes(table, image_size=image_size, stride=smallest_stride),
            _most_objects(train, table),
        ]
    return found


@dataclasses.dataclass(frozen=True)
class _Table:
    """The objects of a split that are trained on, without crowds.

    Attributes:
        counts: int64 (pictures,), objects of each picture.
        pictures: int64 (objects,), the number of each object's picture.
        longest: int64 (objects,), the longer side of its picture, in pixels.
        boxes: float32 (objects, 4), in pixels.
        labels: int32 (objects,).
        places: what a message calls each object.
    """

    counts: np.ndarray
    pictures: np.ndarray
    longest: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    places: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)


def _table(objects: Sequence[source.Objects]) -> _Table:
    singles = [np.flatnonzero(~known.is_crowd) for known in objects]
    pairs = list(zip(objects, singles, strict=True))
    counts = np.array([len(single) for single in singles])
    longest = np.array([max(known.size) for known in objects])
    return _Table(
        counts=counts,
        pictures=np.repeat(np.arange(len(objects)), counts),
        longest=np.repeat(longest, counts),
        boxes=np.concatenate([known.boxes[single] for known, single in pairs]),
        labels=np.concatenate([known.labels[single] for known, single in pairs]),
        places=[known.places[index] for known, single in pairs for index in single],
    )


def _sizes(sources) -> str:
    sizes = ", ".join(f"{len(found)} {split}" for split, found in sources.items())
    return f"{sizes} pictures"


def _splits(sources, tables: Mapping[str, _Table]) -> Finding:
    objects = ", ".join(f"{len(table)} {split}" for split, table in tables.items())
    reason = (
        f"{_sizes(sources)} with {objects} objects of "
        f"{len(sources['train'].class_names)} classes"
    )
    bare = [split for split, table in tables.items() if not len(table)]
    if bare:
        verdict = "fail" if "train" in bare else "warn"
        return _data("splits", verdict, f"{reason}: none in {', '.join(bare)}")
    return _data("splits", "pass", reason)


def _classes(tables: Mapping[str, _Table], names: Sequence[str]) -> Finding:
    """Count the objects of each class, in each split."""
    counts = {
        split: np.bincount(table.labels, minlength=len(names))
        for split, table in tables.items()
    }
    gaps = {
        split: [names[number] for number in np.flatnonzero(numbers == 0)]
        for split, numbers in counts.items()
    }
    if any(gaps.values()):
        reasons = [
            f"{split} has no object of {_listed(gap)}"
            for split, gap in gaps.items()
            if gap
        ]
        is_nothing = len(gaps["train"]) == len(names)
        return _data("classes", "fail" if is_nothing else "warn", "; ".join(reasons))
    train = counts["train"]
    fewest, most = int(train.argmin()), int(train.argmax())
    reason = (
        f"from {train[fewest]} of {names[fewest]} to {train[most]} of {names[most]} in "
        "train"
    )
    if train[fewest] < _FEW:
        return _data("classes", "warn", f"{reason}: few to learn a class from")
    if train[most] > _UNEVEN * train[fewest]:
        return _data("classes", "warn", f"{reason}: very uneven, look at AP by class")
    return _data("classes", "pass", reason)


def _empty(tables: Mapping[str, _Table]) -> Finding:
    """Count pictures without objects: they teach what is none, if they are not most."""
    numbers = {split: int((table.counts == 0).sum()) for split, table in tables.items()}
    reason = ", ".join(f"{number} {split}" for split, number in numbers.items())
    reason += " pictures without objects"
    if numbers["train"] > _EMPTY_SHARE * len(tables["train"].counts):
        return _data("empty pictures", "warn", f"{reason}: are annotations missing?")
    return _data("empty pictures", "pass", reason)


def _crowds(sources) -> Finding:
    """Count what is neither trained on nor missed, and what need not be found."""
    texts = []
    for name in ("is_crowd", "is_difficult"):
        numbers = {
            split: sum(int(getattr(known, name).sum()) for known in found.objects)
            for split, found in sources.items()
        }
        if any(numbers.values()):
            counts = ", ".join(f"{number} {split}" for split, number in numbers.items())
            texts.append(f"{counts} {_SPECIAL[name]}")
    reason = "; ".join(texts) or "no crowds and no difficult objects"
    return _data("crowds", "pass", reason)


def _repeated_boxes(tables: Mapping[str, _Table]) -> Finding:
    """Count objects that are annotated twice, and boxes that have two classes."""
    repeated, torn = [], []
    for table in tables.values():
        rows = np.column_stack([table.pictures, table.boxes, table.labels])
        of_object = _repetitions(rows)
        of_box = np.setdiff1d(_repetitions(rows[:, :-1]), of_object)
        repeated += [table.places[row] for row in of_object]
        torn += [table.places[row] for row in of_box]
    reasons = []
    if repeated:
        reasons.append(
            f"{len(repeated)} objects repeat another, such as {repeated[0]}: remove "
            "one of each"
        )
    if torn:
        reasons.append(f"{len(torn)} boxes have a second class, such as {torn[0]}")
    if reasons:
        return _data("repeated boxes", "warn", "; ".join(reasons))
    return _data("repeated boxes", "pass", "no box occurs twice in a picture")


def _repetitions(rows: np.ndarray) -> np.ndarray:
    """Number the rows that repeat an earlier one."""
    _, firsts = np.unique(rows, axis=0, return_index=True)
    return np.setdiff1d(np.arange(len(rows)), firsts)


def _repeated_pictures(train: source.Source) -> Finding:
    _, firsts, owners = np.unique(train.digests, return_index=True, return_inverse=True)
    repeated = np.setdiff1d(np.arange(len(train)), firsts)
    if not len(repeated):
        return _data("repeated pictures", "pass", "no picture occurs twice in train")
    first = int(repeated[0])
    same = train.names[int(firsts[owners[first]])]
    return _data(
        "repeated pictures",
        "warn",
        f"{len(repeated)} pictures of train repeat others: {same} and "
        f"{train.names[first]} are the same",
    )


def _box_sizes(train: _Table, *, image_size: int) -> Finding:
    """Describe how large objects are once pictures are laid into the square."""
    areas = _sides(train, image_size).prod(axis=1)
    low, middle, high = np.sqrt(np.percentile(areas, (5, 50, 95)))
    small, large = np.mean(areas < _SMALL**2), np.mean(areas > _LARGE**2)
    return _data(
        "box sizes",
        "pass",
        f"square roots of areas at --image-size {image_size}: half are over "
        f"{middle:.0f} pixels, nine of ten from {low:.0f} to {high:.0f}; {small:.0%} "
        f"under {_SMALL}, {large:.0%} over {_LARGE}",
    )


def _small_boxes(train: _Table, *, image_size: int, stride: int) -> Finding:
    """Count boxes that are narrower than a cell of the finest feature map."""
    sides = _sides(train, image_size).min(axis=1)
    is_small = sides < stride
    share = is_small.mean()
    if not is_small.any():
        reason = f"every object is {stride} pixels wide and high, or more"
        return _data("small boxes", "pass", f"{reason}, at --image-size {image_size}")
    smallest = int(sides.argmin())
    reason = (
        f"{is_small.sum()} objects of train ({share:.1%}) are under the smallest "
        f"stride, {stride} pixels, at --image-size {image_size}, such as "
        f"{train.places[smallest]} with {sides[smallest]:.1f}"
    )
    if share <= _SMALL_SHARE:
        return _data("small boxes", "pass", reason)
    return _data(
        "small boxes",
        "warn",
        f"{reason}; --image-size {_sufficient(sides, image_size, stride)} would do for "
        f"{1 - _SMALL_SHARE:.0%}",
    )


def _sufficient(sides: np.ndarray, image_size: int, stride: int) -> int:
    """Find the size at which no more than a hundredth of the objects is too small."""
    side = np.sort(sides)[int(_SMALL_SHARE * len(sides))]
    return int(np.ceil(image_size * stride / side / _SIZE_STEP)) * _SIZE_STEP


def _most_objects(train, table: _Table) -> Finding:
    counts = table.counts
    most = int(counts.argmax())
    return _data(
        "objects",
        "pass",
        f"{counts.mean():.1f} in a picture of train, at most {counts[most]}, in "
        f"{_name(train, most)}",
    )


def _sides(table: _Table, image_size: int) -> np.ndarray:
    """Measure objects to train on in the square -> float64 (objects, 2)."""
    scale = image_size / table.longest
    return (table.boxes[:, 2:] - table.boxes[:, :2]) * scale[:, None]


def _name(examples, number: int) -> str:
    if isinstance(examples, source.Source):
        return examples.names[number]
    return f"its picture {number + 1}"


def _data(name: str, verdict: str, reason: str) -> Finding:
    return Finding(name, verdict, reason, is_about_data=True)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
