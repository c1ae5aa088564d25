"""What is wrong with a data set of label maps, before anything is trained on it?"""

from collections.abc import Mapping, Sequence

import numpy as np

from tfdl.data.sources import semantic
from tfdl.findings import Finding
from tfdl.tasks.segmentation import data

_FEW = 5  # pictures that show a class
_UNEVEN = 100.0  # most pixels of a class / fewest; 55 in CamVid, over 1000 in COCO
_IGNORED_SHARE = 0.5  # of a split's pixels
_SMALL_SHARE = 0.5  # of pictures that do not fill a crop
_SHOWN = 3

Sources = Mapping[str, semantic.Source | semantic.Stream]


def lint(sources: Sources, *, image_size: int) -> list[Finding]:
    """Look at the classes, at what is ignored, at sizes and repetitions.

    That maps have the size of their picture and no unknown value, and that splits share
    no picture, has been seen to when they were read.

    Args:
        sources: {"train", "validation", "test"}, perhaps "train_dev".
        image_size: side of the squares that are trained on, in pixels.
    """
    found = [
        _splits(sources),
        _classes(sources),
        _balance(sources["train"]),
        _ignored(sources),
        _all_ignored(sources),
        _picture_sizes(sources["train"], image_size=image_size),
    ]
    if isinstance(sources["train"], semantic.Source):
        found.append(_repeated_pictures(sources["train"]))
    return found


def _splits(sources: Sources) -> Finding:
    sizes = ", ".join(f"{len(found)} {split}" for split, found in sources.items())
    names = sources["train"].class_names
    return _data("splits", "pass", f"{sizes} pictures of {len(names)} classes")


def _classes(sources: Sources) -> Finding:
    """Look for classes without a pixel, and for those that few pictures show."""
    names = sources["train"].class_names
    for split, examples in sources.items():
        missing = np.flatnonzero(examples.class_pixels.sum(axis=0) == 0)
        if len(missing):
            listed = _listed([names[number] for number in missing])
            reason = f"{split} has no pixel of {listed}"
            return _data("classes", "fail" if split == "train" else "warn", reason)
    shown = (sources["train"].class_pixels > 0).sum(axis=0)
    rarest = int(shown.argmin())
    reason = f"{names[rarest]} is seen in {shown[rarest]} pictures of train, the fewest"
    if shown[rarest] < _FEW:
        return _data("classes", "warn", f"{reason}: few to learn a class from")
    return _data("classes", "pass", reason)


def _balance(train: semantic.Source | semantic.Stream) -> Finding:
    """Compare the shares of pixels of the classes that occur."""
    pixels = train.class_pixels.sum(axis=0)
    if not pixels.any():
        return _data("shares", "fail", "every pixel of train is ignored")
    shares = data.class_frequencies(train)
    fewest = int(np.where(shares > 0, shares, np.inf).argmin())
    most = int(shares.argmax())
    reason = (
        f"from {shares[fewest]:.2%} of the pixels of train for "
        f"{train.class_names[fewest]} to {shares[most]:.2%} for "
        f"{train.class_names[most]}"
    )
    if shares[most] > _UNEVEN * shares[fewest]:
        reason += ": very uneven, weigh the classes or crop around the rare ones"
        return _data("shares", "warn", reason)
    return _data("shares", "pass", reason)


def _ignored(sources: Sources) -> Finding:
    shares = {
        split: 1 - examples.class_pixels.sum() / _num_pixels(examples).sum()
        for split, examples in sources.items()
    }
    listed = ", ".join(f"{share:.1%} of {split}" for split, share in shares.items())
    reason = f"{listed} is ignored"
    if max(shares.values()) > _IGNORED_SHARE:
        return _data("ignored pixels", "warn", f"{reason}: are all values known?")
    return _data("ignored pixels", "pass", reason)


def _all_ignored(sources: Sources) -> Finding:
    """Name the pictures that teach nothing and are counted nowhere."""
    names = [
        _name(examples, int(number), split)
        for split, examples in sources.items()
        for number in np.flatnonzero(examples.class_pixels.sum(axis=1) == 0)
    ]
    if names:
        reason = f"{len(names)} maps are ignored everywhere, of {_listed(names)}"
        return _data("ignored maps", "warn", f"{reason}: remove them")
    return _data("ignored maps", "pass", "every map has a pixel that counts")


def _picture_sizes(
    train: semantic.Source | semantic.Stream, *, image_size: int
) -> Finding:
    """Compare pictures with the squares that are cut out of them."""
    kinds, counts = np.unique(train.sizes, axis=0, return_counts=True)
    height, width = kinds[counts.argmax()]
    reason = f"all are {width} x {height} pixels"
    if len(kinds) > 1:
        reason = f"{len(kinds)} sizes, mostly {width} x {height} pixels"
    is_small = (train.sizes < image_size).any(axis=1)
    if not is_small.any():
        return _data("sizes", "pass", f"{reason}; --image-size {image_size} fits in")
    first = _name(train, int(is_small.argmax()), "train")
    reason += (
        f"; {is_small.sum()} of {len(train)} are smaller than --image-size "
        f"{image_size}, such as {first}, and padded"
    )
    is_most = is_small.mean() > _SMALL_SHARE
    return _data("sizes", "warn" if is_most else "pass", reason)


def _repeated_pictures(train: semantic.Source) -> Finding:
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


def _num_pixels(examples: semantic.Source | semantic.Stream) -> np.ndarray:
    return examples.sizes.astype(np.int64).prod(axis=1)


def _name(examples, number: int, split: str) -> str:
    if isinstance(examples, semantic.Source):
        return examples.names[number]
    return f"picture {number + 1} of {split}"


def _data(name: str, verdict: str, reason: str) -> Finding:
    return Finding(name, verdict, reason, is_about_data=True)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
