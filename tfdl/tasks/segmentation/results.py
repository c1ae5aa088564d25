"""Gathers what a network says of a split, and measures and draws it."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfdl.data import images as reading, scan
from tfdl.data.sources import semantic
from tfdl.tasks.segmentation import boundaries, cell_scores, metrics, pictures

_COMPARED = 6  # pictures of a kind, drawn beside their truth
_ANSWERED = 32  # of the user's pictures, drawn
_TWO_CLASSES = 2  # membranes and cells: their regions are compared as well


@dataclasses.dataclass(frozen=True)
class Collected:
    """A network's answers for a split.

    Attributes:
        examples: the split; the few pictures that are drawn are read from it again.
        label_maps: of each picture, string, a grey PNG whose values are classes.
        matrices: int64 (pictures, classes, classes), see `metrics.confusion_matrix`.
    """

    examples: semantic.Source | semantic.Stream
    label_maps: Sequence[bytes]
    matrices: np.ndarray


def collect(
    outputs: Iterable[tuple[np.ndarray, Mapping]],
    examples: semantic.Source | semantic.Stream,
) -> Collected:
    """Gather batches; label maps are kept as PNG files, pictures are not.

    Args:
        outputs: pairs of uint8 (batch, height, width), the classes that were found, and
            the batch, of which "semantic" is the truth and "number", int64 (batch,),
            counts the pictures from the first of the split.
        examples: the split.
    """
    num_classes = len(examples.class_names)
    found = {}
    for answered, batch in outputs:
        rows = zip(batch["number"].tolist(), answered, batch["semantic"], strict=True)
        for number, label_map, truth in rows:
            matrix = metrics.confusion_matrix(truth, label_map, num_classes=num_classes)
            found[number] = (_packed(label_map), matrix)
    maps, matrices = zip(*(found[n] for n in range(len(examples))), strict=True)
    return Collected(examples, maps, np.stack(matrices))


def brief(collected: Collected) -> dict[str, float]:
    """Measure mean IoU and pixel accuracy alone, for the end of an epoch."""
    return metrics.brief(collected.matrices)


def error(collected: Collected) -> tuple[float, int]:
    """Measure the share of wrong pixels -> (share, of how many pictures)."""
    return 1 - brief(collected)["pixel_accuracy"], len(collected.matrices)


def glance(collected: Collected, class_names: Sequence[str]) -> dict[str, dict]:
    """Draw what shows soonest how a model does.

    Args:
        collected: the answers.
        class_names: one for each class.

    Returns:
        "samples", see `report`, and "plots", the confusion matrix; name -> uint8
        (height, width, 3) in each.
    """
    return {
        "samples": _samples(collected, class_names),
        "plots": pictures.confusion_matrices(collected.matrices, class_names),
    }


def report(collected: Collected, class_names: Sequence[str]) -> dict:
    """Measure everything and draw it.

    Args:
        collected: the answers.
        class_names: one for each class.

    Returns:
        "metrics", of `metrics.evaluate`, `boundaries.evaluate` and, of two classes,
        `cell_scores.evaluate`; "per_class", the rows of a table; "samples",
        "predictions" from the whole of the split and the "best" and "worst" pictures,
        each beside its truth, and "plots", see `pictures.charts`, name -> uint8
        (height, width, 3); "confusions", none; and "embedding", which has no features.
    """
    matrices = collected.matrices
    return {
        "metrics": metrics.evaluate(matrices, class_names=class_names)
        | _of_maps(collected, len(class_names)),
        "per_class": metrics.per_class(matrices, class_names=class_names),
        "samples": _samples(collected, class_names),
        "plots": pictures.charts(matrices, class_names),
        "confusions": {},
        "embedding": {
            "features": np.zeros((0, 1), np.float32),
            "thumbnails": np.zeros((0, 1, 1, 3), np.uint8),
            "rows": [],
        },
    }


def predictions(
    paths: Sequence[pathlib.Path],
    answer: Callable[[tf.Tensor], Mapping[str, tf.Tensor]],
    class_names: Sequence[str],
    *,
    on_bad_data: str,
) -> Iterator[dict]:
    """Segment picture files, one file at a time.

    Args:
        paths: pictures, and folders of them.
        answer: the function behind `serving_default`: image_bytes, string (1,) ->
            {"label_map_bytes": string (1,)}.
        class_names: one for each class.
        on_bad_data: "error" or "skip", for broken pictures.

    Returns:
        Of each picture "row", {"image", the file, "label_map", the name of its map, and
        each class's share of the pixels}; "label_maps", its one, name -> uint8 (height,
        width), classes; and "samples", the map in colours, and of the first 32 pictures
        also over the picture, name -> uint8 (height, width, 3).

    Raises:
        DataError: a path is missing, there is no picture, or one is broken; before the
            first is answered.
    """
    files = scan.usable_files(paths, on_bad_data=on_bad_data)
    return (
        _prediction(number, file, answer, class_names)
        for number, file in enumerate(files, start=1)
    )


def unpacked(label_map: bytes) -> np.ndarray:
    """Decode a grey PNG -> uint8 (height, width)."""
    return tf.io.decode_png(label_map, channels=1)[..., 0].numpy()


def _packed(label_map: np.ndarray) -> bytes:
    return tf.io.encode_png(label_map[..., None]).numpy()


def _prediction(number: int, file: pathlib.Path, answer, class_names) -> dict:
    content = file.read_bytes()
    packed = answer(tf.constant([content]))["label_map_bytes"][0]
    label_map = unpacked(packed.numpy())
    name = f"{number:02d}_{file.stem}"
    samples = {f"colours_{name}": pictures.coloured(label_map)}
    if number <= _ANSWERED:
        image = reading.decode(tf.constant(content)).numpy()
        samples[f"answer_{name}"] = pictures.answer(image, label_map, class_names)
    return {
        "row": _row(file, f"classes_{name}.png", label_map, class_names),
        "label_maps": {f"classes_{name}": label_map},
        "samples": samples,
    }


def _row(file: pathlib.Path, name: str, label_map, class_names) -> dict:
    pixels = np.bincount(label_map.ravel(), minlength=len(class_names))
    shares = (pixels / label_map.size).round(6).tolist()
    return {
        "image": str(file),
        "label_map": name,
        **dict(zip(class_names, shares, strict=True)),
    }


def _of_maps(collected: Collected, num_classes: int) -> dict:
    """Measure what the confusion of pixels does not tell: outlines and regions."""
    scores, regions = [], []
    examples = collected.examples
    for record, packed in zip(examples.records(), collected.label_maps, strict=True):
        truth, found = examples.load(record)["semantic"].numpy(), unpacked(packed)
        scores.append(boundaries.f_scores(truth, found, num_classes=num_classes))
        if num_classes == _TWO_CLASSES:
            regions.append(cell_scores.rand_scores(truth, found))
    return boundaries.evaluate(np.stack(scores)) | cell_scores.evaluate(regions)


def _samples(collected: Collected, class_names) -> dict[str, np.ndarray]:
    """Draw pictures from the whole of the split, the best and the worst."""
    ious = metrics.picture_ious(collected.matrices)
    count = min(_COMPARED, len(ious))
    order = np.argsort(np.nan_to_num(ious, nan=-1.0), kind="stable")
    measured = order[np.isnan(ious).sum() :]  # those that are ignored come first
    chosen = {
        "predictions": np.linspace(0, len(ious) - 1, count).astype(int),
        "best": measured[::-1][:count],
        "worst": measured[:count],
    }
    chosen = {name: numbers for name, numbers in chosen.items() if len(numbers)}
    originals = _originals(collected.examples, np.concatenate([*chosen.values()]))
    return {
        name: pictures.comparisons(
            [originals[number]["image"].numpy() for number in numbers],
            [originals[number]["semantic"].numpy() for number in numbers],
            [unpacked(collected.label_maps[number]) for number in numbers],
            class_names,
        )
        for name, numbers in chosen.items()
    }


def _originals(examples, numbers) -> dict[int, Mapping]:
    """Read pictures of these numbers again, as they were given."""
    wanted = set(numbers.tolist())
    records = enumerate(examples.records().take(max(wanted) + 1))
    return {n: examples.load(record) for n, record in records if n in wanted}
