import numpy as np
from skimage import color

from tfdl.drawing import colours


def test_first_label_colour_is_the_blue_of_okabe_and_ito():
    assert colours.label_colours(1).tolist() == [[0, 114, 178]]


def test_label_colours_are_distinct_to_the_eye():
    chosen = colours.label_colours(40)
    assert chosen.dtype == np.uint8
    # CIEDE2000 differences: 1 is just noticeable.
    lab = color.rgb2lab(chosen[None] / 255)[0]
    pairs = np.triu_indices(40, k=1)
    assert color.deltaE_ciede2000(lab[pairs[0]], lab[pairs[1]]).min() > 6
    assert len(np.unique(colours.label_colours(256), axis=0)) == 256


def test_label_colours_do_not_depend_on_the_number_of_classes():
    few, many = colours.label_colours(3), colours.label_colours(1000)
    np.testing.assert_array_equal(few, many[:3])
    np.testing.assert_array_equal(many[:744], many[256:])
    assert colours.label_colours(0).shape == (0, 3)
