import pytest

from tfdl import errors
from tfdl.tasks.segmentation import network


def test_flags_become_a_network_for_pictures_of_any_size():
    made = network.Network(width=0.0625, normalization="batch").make("unet", 3)
    assert made.input_shape == (None, None, None, 3)
    assert made.output["logits"].shape == (None, None, None, 3)
    assert "c1_1_norm" in {layer.name for layer in made.layers}


def test_published_means_what_the_paper_has():
    made = network.Network(width=0.0625).make("unet", 3)
    assert not [layer for layer in made.layers if layer.name.endswith("_norm")]


def test_a_network_without_such_an_option_says_so():
    with pytest.raises(errors.UsageError, match="segnet has no `normalization`"):
        network.Network(normalization="group").make("segnet", 3)


@pytest.mark.parametrize(
    ("name", "flags", "layers"),
    [
        ("unet", {"padding": "valid"}, {"crop1"}),
        ("unet", {"auxiliary": True}, {"auxiliary1"}),
        ("deeplabv3plus", {"separable": True}, {"decoder1_depth_depthwise"}),
        ("deeplabv3plus", {"output_stride": 8}, {"aspp_rate36_conv"}),
    ],
)
def test_what_one_network_has_is_reached_by_a_flag(name, flags, layers):
    made = network.Network(width=0.0625, **flags).make(name, 3)
    known = {layer.name for layer in made.layers} | set(made.output)
    assert layers <= known
