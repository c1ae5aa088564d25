import pytest

from tfdl import errors

CODES = {
    errors.UserError: 1,
    errors.UsageError: 2,
    errors.DataError: 3,
    errors.ModelFileError: 4,
    errors.DivergedError: 5,
    errors.ResourceError: 6,
    errors.NetworkError: 7,
    errors.InterruptedRun: 75,
}


@pytest.mark.parametrize("kind", CODES)
def test_every_error_has_a_message_a_remedy_and_its_documented_code(kind):
    error = kind("--flag is wrong", "set it right")
    assert isinstance(error, errors.UserError)
    assert (str(error), error.remedy) == ("--flag is wrong", "set it right")
    assert error.exit_code == CODES[kind]


def test_every_kind_of_error_is_listed_above():
    assert {errors.UserError, *errors.UserError.__subclasses__()} == set(CODES)


def test_ctrl_c_has_a_code_of_its_own():
    assert errors.InterruptedRun("stopped", "resume", exit_code=130).exit_code == 130
    assert errors.InterruptedRun("stopped", "resume").exit_code == 75


def test_library_users_may_catch_usage_errors_as_value_errors():
    with pytest.raises(ValueError, match="`size` must be even"):
        raise errors.UsageError("`size` must be even. Received size=3.", "round it")
