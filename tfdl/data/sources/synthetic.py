"""Reads the seeded drawings of `tfdl.data.synthetic`, drawn once into the cache."""

import dataclasses
import hashlib
import json
import pathlib

import numpy as np
import tensorflow as tf

from tfdl.data import synthetic
from tfdl.data.sources import instances, semantic, source, tabulated

_BACKGROUND = "background"
_PADDING_LABEL = -1


def read(
    *,
    cache: pathlib.Path,
    num_examples: int,
    image_size: int,
    max_objects: int,
    multi_label: bool,
    seed: int,
) -> dict[str, source.Source]:
    """Draw the pictures, or find them drawn.

    Args:
        cache: folder under which the drawings are kept.
        num_examples: pictures to draw.
        image_size: their height and width in pixels.
        max_objects: most objects in one picture.
        multi_label: labels are multi-hot, all the classes in a picture.
        seed: of the drawings.

    Returns:
        {"train": Source}, which knows its objects; samples have every key: image,
        label, boxes, labels, masks and semantic.
    """
    name = f"{num_examples}x{image_size}px-{max_objects}objects-seed{seed}"
    folder = cache / "synthetic" / name
    synthetic.write(
        folder,
        num_examples=num_examples,
        image_size=image_size,
        max_objects=max_objects,
        seed=seed,
    )
    content = json.loads((folder / "annotations.json").read_text())
    examples = content["examples"]
    class_names = tuple(content["class_names"])
    labels = _labels(examples, len(class_names), multi_label=multi_label)
    paths = [str(folder / example["image"]) for example in examples]
    return {
        "train": source.Source(
            class_names=class_names,
            names=paths,
            labels=labels,
            digests=np.array([_digest(path) for path in paths], "S32"),
            pixels=np.full(len(paths), image_size * image_size * 3, np.int64),
            load=_loader(folder, examples, labels),
            objects=[
                _objects(example, path, image_size=image_size)
                for example, path in zip(examples, paths, strict=True)
            ],
        )
    }


def read_semantic(
    *,
    cache: pathlib.Path,
    num_examples: int,
    image_size: int,
    max_objects: int,
    seed: int,
) -> dict[str, semantic.Source]:
    """Draw the pictures, or find them drawn, with label maps alone.

    Args:
        cache: folder under which the drawings are kept, and the counts of their pixels.
        num_examples: pictures to draw.
        image_size: their height and width in pixels.
        max_objects: most objects in one picture.
        seed: of the drawings.

    Returns:
        {"train": Source}; class 0 is the background, class k + 1 is that of label k.
    """
    examples = read(
        cache=cache,
        num_examples=num_examples,
        image_size=image_size,
        max_objects=max_objects,
        multi_label=True,
        seed=seed,
    )["train"]
    class_names = (_BACKGROUND, *examples.class_names)

    def load(index: tf.Tensor) -> source.Sample:
        sample = examples.load(index)
        return {name: sample[name] for name in ("image", "semantic")}

    class_pixels = _class_pixels(examples, len(class_names), cache)
    return {
        "train": semantic.Source(
            class_names=class_names,
            names=examples.names,
            labels=semantic.labels(class_pixels),
            digests=examples.digests,
            pixels=examples.pixels,
            load=load,
            class_pixels=class_pixels,
            sizes=np.full((num_examples, 2), image_size, np.int32),
        )
    }


def read_instances(
    *,
    cache: pathlib.Path,
    num_examples: int,
    image_size: int,
    max_objects: int,
    seed: int,
) -> dict[str, instances.Source]:
    """Draw the pictures, or find them drawn, with the masks of their objects.

    Args:
        cache: folder under which the drawings are kept.
        num_examples: pictures to draw.
        image_size: their height and width in pixels.
        max_objects: most objects in one picture.
        seed: of the drawings.

    Returns:
        {"train": Source}.
    """
    examples = read(
        cache=cache,
        num_examples=num_examples,
        image_size=image_size,
        max_objects=max_objects,
        multi_label=True,
        seed=seed,
    )["train"]

    def load(index: tf.Tensor) -> source.Sample:
        sample = examples.load(index)
        return {name: sample[name] for name in ("image", "boxes", "labels", "masks")}

    def masks_of(number: int) -> np.ndarray:
        return load(tf.constant(number, tf.int64))["masks"].numpy() > 0

    fields = {f.name: getattr(examples, f.name) for f in dataclasses.fields(examples)}
    known = instances.Source(**fields | {"load": load}, masks_of=masks_of)
    return {"train": known}


def _class_pixels(
    examples: source.Source, num_classes: int, cache: pathlib.Path
) -> np.ndarray:
    """Count the pixels of each class in each map, once -> int64 (examples, classes)."""

    def row(index: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"pixels": semantic.pixels_of_values(examples.load(index)["semantic"])}

    def rows() -> tf.data.Dataset:
        return examples.records().map(row, num_parallel_calls=tf.data.AUTOTUNE)

    key = hashlib.blake2b(examples.digests.tobytes(), digest_size=16).hexdigest()
    memory = cache / "scans" / f"{key}.npz"
    return tabulated.table(rows, memory=memory, key=key)["pixels"][:, :num_classes]


def _objects(example: dict, path: str, *, image_size: int) -> source.Objects:
    boxes = np.array(example["boxes"], np.float32).reshape(-1, 4)
    sizes = boxes[:, 2:] - boxes[:, :2]
    never = np.zeros(len(boxes), bool)
    return source.Objects(
        size=(image_size, image_size),
        boxes=boxes,
        labels=np.array(example["labels"], np.int32),
        areas=sizes.prod(axis=1),
        is_crowd=never,
        is_difficult=never,
        places=[f"{path}, object {number + 1}" for number in range(len(boxes))],
    )


def _loader(folder: pathlib.Path, examples: list[dict], class_labels: np.ndarray):
    """Build the function index -> sample with everything that a drawing knows."""
    image_paths = tf.constant([str(folder / e["image"]) for e in examples])
    mask_paths = tf.constant([str(folder / e["instances"]) for e in examples])
    label = tf.constant(class_labels)
    labels = tf.ragged.constant([e["labels"] for e in examples], dtype=tf.int32)
    labels = labels.to_tensor(_PADDING_LABEL)  # (examples, objects)
    boxes = tf.ragged.constant(
        [e["boxes"] for e in examples], ragged_rank=1, inner_shape=(4,)
    ).to_tensor()  # (examples, objects, 4)

    def load(index: tf.Tensor) -> source.Sample:
        image = tf.io.decode_png(tf.io.read_file(tf.gather(image_paths, index)), 3)
        ids = tf.io.decode_png(tf.io.read_file(tf.gather(mask_paths, index)), 1)[..., 0]
        own = tf.gather(labels, index)
        own = own[own != _PADDING_LABEL]  # (objects,)
        numbers = tf.range(1, tf.size(own) + 1)
        masks = tf.cast(ids, tf.int32) == numbers[:, tf.newaxis, tf.newaxis]
        classes = tf.concat([[0], own + 1], axis=0)
        return {
            "image": image,
            "label": tf.gather(label, index),
            "boxes": tf.gather(boxes, index)[: tf.size(own)],
            "labels": own,
            "masks": tf.cast(masks, tf.uint8),
            "semantic": tf.cast(tf.gather(classes, tf.cast(ids, tf.int32)), tf.uint8),
        }

    return load


def _labels(examples: list[dict], num_classes: int, *, multi_label: bool) -> np.ndarray:
    if not multi_label:
        return np.array([example["label"] for example in examples], np.int32)
    multi_hot = np.zeros((len(examples), num_classes), np.int32)
    for row, example in zip(multi_hot, examples, strict=True):
        row[example["labels"]] = 1
    return multi_hot


def _digest(path: str) -> str:
    """Digest a drawing; the same pixels are always written as the same bytes."""
    content = pathlib.Path(path).read_bytes()
    return hashlib.blake2b(content, digest_size=16).hexdigest()
