import pytest

from tfdl import errors
from tfdl.training import limits


def test_a_name_that_is_near_none_is_not_guessed():
    with pytest.raises(errors.UsageError) as caught:
        limits.choose("--model", "zzz", ["lenet5", "resnet18"])
    assert str(caught.value) == "--model zzz is unknown."
    assert caught.value.remedy == "choose one of lenet5, resnet18"
    assert limits.choose("--model", "lenet5", {"lenet5": 1}) == "lenet5"


def test_a_name_that_is_nearly_right_is_guessed():
    with pytest.raises(errors.UsageError, match="Did you mean lenet5"):
        limits.choose("--model", "lenett5", ["lenet5", "resnet18"])


@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
def test_a_number_below_its_least_is_refused_with_its_flag(value):
    with pytest.raises(errors.UsageError, match="--epochs must be at least 1"):
        limits.at_least(limits.name_of("epochs"), value, 1)
    limits.at_least("--epochs", 1, 1)


@pytest.mark.parametrize("value", [1, 1.5, -0.1, float("nan")])
def test_a_share_of_one_or_more_is_refused(value):
    with pytest.raises(errors.UsageError, match=r"--clip-norm must be in \[0, 1\)"):
        limits.below_one(limits.name_of("clip_norm"), value)
    limits.below_one("--clip-norm", 0)
