import base64
import io
import json

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.serving import failures, predict

LIMIT = 10_000


@pytest.fixture
def ask(loaded):
    """Ask a model -> what the JSON of its answer holds."""

    def ask(name, **document):
        return json.loads(predict.answer(loaded[name], document, max_pixels=LIMIT))

    return ask


def picture(width=6, height=4, kind="PNG"):
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(values).save(file, kind)
    return file.getvalue()


def encode(content):
    return {"b64": base64.b64encode(content).decode()}


def test_rows_and_columns_say_the_same(ask):
    assert ask("half_plus_two", instances=[1, 2]) == {"predictions": [2.5, 3.0]}
    assert ask("half_plus_two", inputs=[1, 2]) == {"outputs": [2.5, 3.0]}


def test_pictures_are_answered_as_by_the_signature_in_memory(ask, loaded):
    files = [picture(), picture(30, 20, "JPEG"), picture(5, 5, "WEBP")]
    signature = loaded["pictures"].loaded.signatures["serving_default"]
    expected = signature(image_bytes=tf.constant(files))["brightness"].numpy()
    rows = ask("pictures", instances=[encode(file) for file in files])
    np.testing.assert_allclose(rows["predictions"], expected, atol=1e-6)
    named = [{"image_bytes": encode(file)} for file in files]
    assert ask("pictures", instances=named) == rows
    columns = ask("pictures", inputs={"image_bytes": [encode(file) for file in files]})
    assert columns["outputs"] == rows["predictions"]


def test_any_input_survives_to_1e_6(ask):
    x = np.random.default_rng(1).normal(size=(4, 7)).astype(np.float32)
    answered = ask("half_plus_two", instances=x.tolist())["predictions"]
    np.testing.assert_allclose(answered, 0.5 * x + 2, atol=1e-6)


def test_a_large_picture_is_refused_before_the_graph_runs(ask):
    with pytest.raises(errors.DataError, match="10100 pixels or more"):
        ask("pictures", instances=[encode(picture()), encode(picture(101, 100))])


def test_a_picture_that_breaks_while_decoded_is_refused_by_the_graph(ask):
    broken = picture()[:60]
    with pytest.raises(tf.errors.InvalidArgumentError):
        ask("pictures", instances=[encode(broken)])


def test_an_output_needs_a_row_for_every_row(ask):
    with pytest.raises(failures.Failure, match="total has no shape information"):
        ask("kinds", signature_name="shapeless", instances=[1.0])
    message = "total has inconsistent batch size: 2 expecting: 1"
    with pytest.raises(failures.Failure, match=message):
        ask("kinds", signature_name="uneven", instances=[1.0, 2.0])
    columns = ask("kinds", signature_name="uneven", inputs=[1.0, 2.0])
    assert columns == {"outputs": {"some": [1.0], "total": [1.0, 2.0]}}
    assert ask("kinds", signature_name="shapeless", inputs=[1.0]) == {"outputs": 1.0}


def test_an_output_that_json_has_no_type_for_is_a_failure(ask):
    message = "Failed to write JSON value for tensor type: half"
    with pytest.raises(failures.Failure, match=message):
        ask("kinds", signature_name="halves", instances=[1.0])


def test_a_half_input_is_unimplemented_by_rows_too(ask):
    with pytest.raises(failures.Failure, match="element: 0 .* type: half") as caught:
        ask("kinds", signature_name="float16", instances=[1.0])
    assert caught.value.status == 501


def test_the_first_wrong_row_is_named_with_its_key(ask):
    rows = [{"a": [1, 2], "b": 1}, {"a": [1, "x"], "b": 1}, {"a": "y", "b": 1}]
    with pytest.raises(failures.Failure, match=r"element: 1 key: a of 'instances'"):
        ask("two_inputs", instances=rows)


def test_no_rows_at_all_are_refused(ask):
    with pytest.raises(failures.Failure, match="No values in 'instances' array"):
        ask("half_plus_two", instances=[])
    assert ask("words", inputs=[]) == {"outputs": []}
