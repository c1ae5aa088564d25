import numpy as np
import tensorflow as tf

from tfdl.data import groups

KEYS = [tf.constant([0, index]) for index in range(groups.SIZE)]
GROUP = {"number": tf.range(groups.SIZE), "label": tf.range(8) * 10}


def four(*examples, seed):
    numbers = tf.stack([example["number"] for example in examples])
    return examples[0] | {"number": numbers, "mosaic seed": seed}


def pair(example, partner, *, seed):
    number = tf.concat([example["number"], partner["number"]], axis=0)
    return example | {"number": number, "mix seed": seed}


def test_without_a_mixture_a_group_stays_as_it_is():
    same = groups.mixed(GROUP, KEYS, mosaic=None, mix=None)
    np.testing.assert_array_equal(same["number"], range(8))


def test_a_mosaic_is_of_the_four_of_a_half_with_each_first_once():
    made = groups.mixed(GROUP, KEYS, mosaic=four, mix=None)
    np.testing.assert_array_equal(made["number"][1], [1, 2, 3, 0])
    np.testing.assert_array_equal(made["number"][6], [6, 7, 4, 5])
    np.testing.assert_array_equal(made["label"], GROUP["label"])


def test_partners_show_none_of_an_examples_own_pictures():
    made = groups.mixed(GROUP, KEYS, mosaic=four, mix=pair)["number"].numpy()
    for row in made:
        assert sorted(row) == list(range(8))


def test_every_draw_has_a_seed_of_its_own():
    made = groups.mixed(GROUP, KEYS, mosaic=four, mix=pair)
    seeds = np.concatenate([made["mosaic seed"], made["mix seed"], np.stack(KEYS)])
    assert len(np.unique(seeds, axis=0)) == 24
