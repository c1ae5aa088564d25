"""Which classes can not be learned, for want of an object in train?"""

import collections
import itertools
from collections.abc import Mapping, Sequence

from tfdl.data.sources import source

_MAX_NAMES = 10  # in one line


def lines(found: Mapping[str, source.Source]) -> list[str]:
    """Describe the classes without an object in train; crowds do not count.

    Args:
        found: {"train": Source, ...}, which know their objects.

    Returns:
        One line with these classes if there are any, and one for every other split that
        has objects of them.
    """
    class_names = found["train"].class_names
    counts = {split: _counts(examples) for split, examples in found.items()}
    unseen = [n for n in range(len(class_names)) if not counts["train"][n]]
    if not unseen:
        return []
    listed = _listed([class_names[number] for number in unseen])
    first = f"train has no object of {len(unseen)} of {len(class_names)} classes: "
    described = [first + listed]
    for split, numbers in counts.items():
        shown = [f"{class_names[n]} ({numbers[n]})" for n in unseen if numbers[n]]
        if shown:
            line = f"{split} has objects of classes that train lacks: {_listed(shown)}"
            described.append(line)
    return described


def _counts(examples: source.Source) -> collections.Counter:
    labels = [known.labels[~known.is_crowd].tolist() for known in examples.objects]
    return collections.Counter(itertools.chain.from_iterable(labels))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
