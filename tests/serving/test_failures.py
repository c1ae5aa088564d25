import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.serving import failures


def test_codes_have_the_statuses_of_tensorflow_serving():
    expected = {"INVALID_ARGUMENT": 400, "NOT_FOUND": 404, "RESOURCE_EXHAUSTED": 429}
    expected |= {"DEADLINE_EXCEEDED": 504, "UNAVAILABLE": 503, "INTERNAL": 500}
    expected |= {"CANCELLED": 499, "UNIMPLEMENTED": 501, "ABORTED": 409}
    for code, status in expected.items():
        assert failures.Failure(code, "").status == status


def test_what_a_graph_says_is_kept_and_where_is_not():
    @tf.function
    def decode(content):
        return tf.io.decode_image(content)

    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decode(tf.constant(b"no picture"))
    failure = failures.explain(caught.value)
    assert failure.status == 400
    assert "image file format" in str(failure)
    assert "\n" not in str(failure)
    assert "node" not in str(failure)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("/home/me/x.txt; No such file", "<path>; No such file"),
        ("cannot open '/var/lib/model/1/variables'", "cannot open '<path>'"),
        ("[1,2] / [3,4] and model/dense/add", "[1,2] / [3,4] and model/dense/add"),
        ("image/png, see https://a.b/c/d", "image/png, see https://a.b/c/d"),
        ("", ""),
    ],
)
def test_absolute_paths_are_left_out(message, shown):
    error = tf.errors.NotFoundError(None, None, message)
    assert str(failures.explain(error)) == shown
    assert failures.explain(error).status == 404


def test_a_user_error_is_of_the_request():
    failure = failures.explain(errors.DataError("no picture", "send one"))
    assert (failure.status, str(failure)) == (400, "no picture")


def test_depth_is_of_the_request():
    assert failures.explain(RecursionError()).status == 400


def test_a_bug_shows_its_class_alone():
    failure = failures.explain(ZeroDivisionError("/secret/file.py, line 3"))
    assert failure.status == 500
    assert str(failure) == "Internal error: ZeroDivisionError"


def test_a_failure_is_itself():
    failure = failures.invalid("wrong")
    assert failures.explain(failure) is failure


def test_a_long_name_is_cut():
    assert failures.short("a" * 100) == "a" * 100
    assert failures.short("a" * 101) == "a" * 100 + "..."
