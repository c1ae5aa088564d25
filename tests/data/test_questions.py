import io

import numpy as np
import PIL.Image
import tensorflow as tf

from tfdl.data import questions
from tfdl.data.sources import source


def split(count):
    images = np.random.default_rng(0).integers(0, 256, (count, 9, 7, 3), np.uint8)
    return source.Source(
        class_names=("a", "b"),
        names=[str(number) for number in range(count)],
        labels=np.zeros(count, np.int32),
        digests=np.array([str(number) for number in range(count)], "S"),
        pixels=np.full(count, 9 * 7 * 3, np.int64),
        load=lambda index: {"image": tf.gather(images, index)},
    )


def test_pictures_come_from_the_whole_of_a_split():
    examples = split(23)
    found = questions.some_pictures(examples, count=4)
    for picture, index in zip(found, (0, 5, 10, 15), strict=True):
        np.testing.assert_array_equal(picture, examples.load(index)["image"])
    assert len(questions.some_pictures(examples, count=100)) == 23


def test_files_hold_the_pictures_in_two_formats():
    pictures = questions.noise()
    files = questions.files(pictures).numpy()
    opened = [PIL.Image.open(io.BytesIO(content)) for content in files]
    assert [picture.format for picture in opened] == ["PNG", "JPEG", "PNG", "JPEG"]
    np.testing.assert_array_equal(np.asarray(opened[0]), pictures[0])


def test_noise_is_always_the_same_and_of_several_sizes():
    first, second = questions.noise(), questions.noise()
    assert len({picture.shape for picture in first}) == len(first)
    for picture, again in zip(first, second, strict=True):
        np.testing.assert_array_equal(picture, again)
