"""TensorFlow Serving's REST protocol, asked over HTTP."""

import base64
import concurrent.futures
import math

import pytest

HALF = "/v1/models/half_plus_two"
ROW = {"instances": [1.0, 2.0]}


def encode(content: bytes) -> dict:
    return {"b64": base64.b64encode(content).decode()}


def test_rows_are_answered_by_predictions(predict):
    answer = predict("half_plus_two", {"instances": [[1.0, 2.0], [3.0, 4.0]]})
    assert (answer.status, answer.kind) == (200, "application/json")
    assert answer.json == {"predictions": [[2.5, 3.0], [3.5, 4.0]]}


def test_columns_are_answered_by_outputs(predict):
    assert predict("half_plus_two", {"inputs": [3.0, 4.0]}).json == {
        "outputs": [3.5, 4.0]
    }


def test_a_version_may_be_named(send):
    assert send("POST", f"{HALF}/versions/123:predict", ROW).status == 200
    assert send("POST", f"{HALF}/versions/00123:predict", ROW).status == 200


def test_several_outputs_are_objects_by_rows_and_one_object_by_columns(predict):
    columns = {"a": [[1.0, 2.0], [3.0, 4.0]], "b": [10.0, 20.0]}
    rows = [{"a": [1.0, 2.0], "b": 10.0}, {"b": 20.0, "a": [3.0, 4.0]}]
    assert predict("two_inputs", {"instances": rows}).json["predictions"] == [
        {"sum": 11.0, "pair": [2.0, 4.0]},
        {"sum": 23.0, "pair": [6.0, 8.0]},
    ]
    assert predict("two_inputs", {"inputs": columns}).json["outputs"] == {
        "sum": [11.0, 23.0],
        "pair": [[2.0, 4.0], [6.0, 8.0]],
    }


def test_a_row_must_have_the_inputs_as_keys_exactly(predict):
    answer = predict("two_inputs", {"instances": [{"a": [1.0, 2.0]}]})
    assert answer.status == 400
    assert answer.error == (
        "Failed to process element: 0 of 'instances' list. JSON object: "
        '{"a": [1.0, 2.0]} keys must be equal to: a,b'
    )
    rows = [{"a": [1, 2], "b": 1}, {"a": [1, 2], "b": 1, "c": 1}]
    error = predict("two_inputs", {"instances": rows}).error
    assert "Failed to process element: 1 key: c of 'instances' list" in error
    assert "JSON object: does not have named input: c" in error


def test_several_inputs_cannot_be_a_plain_list(predict):
    answer = predict("two_inputs", {"instances": [1.0]})
    assert answer.status == 400
    assert answer.error == (
        "instances is a plain list, but expecting list of objects as multiple input "
        "tensors required as per tensorinfo_map"
    )
    assert predict("two_inputs", {"inputs": [1.0]}).error == (
        "inputs is a plain value/list, but expecting an object as multiple input "
        "tensors required as per tensorinfo_map"
    )


def test_an_only_input_may_be_named_or_not(predict):
    named = {"instances": [{"x": 1.0}, {"x": 2.0}]}
    assert predict("half_plus_two", named).json == {"predictions": [2.5, 3.0]}
    named = {"inputs": {"x": 1.0, "unknown": 2}}
    assert predict("half_plus_two", named).json == {"outputs": 2.5}


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"x": 1.0}, 1.0, "Expecting object but got list at item 1 of input list"),
        (1.0, {"x": 1.0}, "Expecting value/list but got object at item 1 of input"),
    ],
)
def test_rows_are_all_named_or_none(predict, first, second, message):
    assert message in predict("half_plus_two", {"instances": [first, second]}).error


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [encode("größe".encode())]},
        {"instances": [{"text": encode("größe".encode())}]},
        {"instances": ["größe"]},
    ],
)
def test_bytes_are_base64_and_texts_are_themselves(predict, body):
    answer = predict("words", body)
    assert answer.json == {"predictions": ["größe"]}
    assert "größe" in answer.text


def test_a_scalar_string_may_be_base64(predict):
    body = {"signature_name": "scalar", "inputs": encode(b"one")}
    assert predict("words", body).json == {"outputs": "one"}


def test_an_object_of_base64_has_no_other_key(predict):
    answer = predict("words", {"inputs": [{"b64": "YQ==", "more": 1}]})
    assert answer.status == 400
    assert "not formatted correctly for base64 data" in answer.error


@pytest.mark.parametrize("bad", ["*", "YQ==YQ==", "YWJjZ", "ü", "-_-_"])
def test_wrong_base64_is_refused(predict, bad):
    answer = predict("words", {"instances": [{"b64": bad}]})
    assert answer.status == 400
    assert "Unable to base64 decode" in answer.error


def test_base64_may_be_broken_into_lines_and_without_padding(predict):
    assert predict("words", {"inputs": [{"b64": "YW\nJj\nZA"}]}).json["outputs"] == [
        "abcd"
    ]


def test_outputs_named_bytes_are_base64(predict):
    content = bytes(range(256))
    body = {"signature_name": "encoded", "instances": [encode(content)]}
    assert predict("words", body).json == {"predictions": [encode(content)]}
    body = {"signature_name": "both", "instances": [encode(b"abc")]}
    both = {"echo": "abc", "echo_bytes": encode(b"abc")}
    assert predict("words", body).json == {"predictions": [both]}


def test_other_strings_that_are_no_utf_8_leave_the_answer_readable(predict):
    answer = predict("words", {"instances": [encode(b"a\xff")]})
    assert answer.json == {"predictions": ["a\N{REPLACEMENT CHARACTER}"]}


def test_floats_have_a_point_or_an_exponent_and_the_fewest_digits(predict):
    values = [0.2, 3, 9e6, 3e-5, 1e20, 0.1 + 0.2]
    answer = predict("kinds", {"signature_name": "float32", "instances": values})
    assert answer.text == ('{"predictions": [0.2, 3.0, 9000000.0, 3e-05, 1e+20, 0.3]}')


def test_numbers_that_are_none_go_both_ways(predict):
    body = b'{"instances": [NaN, Infinity, -Infinity]}'
    answer = predict("half_plus_two", body)
    assert answer.text == '{"predictions": [NaN, Infinity, -Infinity]}'
    assert math.isnan(answer.json["predictions"][0])


def test_bytes_after_the_object_are_ignored(predict):
    assert (
        predict("half_plus_two", b'\n {"inputs": 1}} trailing').json["outputs"] == 2.5
    )


def test_an_empty_body_is_said_to_be_empty(predict):
    for body in (b"", b" \n"):
        answer = predict("half_plus_two", body)
        assert answer.status == 400
        assert answer.error == "JSON Parse error: The document is empty"


@pytest.mark.parametrize(("body", "offset"), [(b"this is no json", 0), (b'{"a": }', 6)])
def test_what_is_not_json_is_an_error_with_its_place(predict, body, offset):
    answer = predict("half_plus_two", body)
    assert answer.status == 400
    assert answer.error == f"JSON Parse error: Invalid value. at offset: {offset}"


def test_only_an_object_is_a_request(predict):
    answer = predict("half_plus_two", [1, 2])
    assert answer.status == 400
    assert answer.error == "JSON Value: [1, 2] Is not object"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"x": [1.0]}, "Missing 'inputs' or 'instances' key"),
        (
            {"instances": [1.0], "inputs": [1.0]},
            "Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist",
        ),
        ({"instances": 1.0}, "Expecting 'instances' to be an list/array"),
        ({"instances": {"x": [1.0]}}, "Expecting 'instances' to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
    ],
)
def test_a_request_has_instances_or_inputs(predict, body, message):
    answer = predict("half_plus_two", body)
    assert answer.status == 400
    assert message in answer.error


def test_a_wrong_type_is_named(predict):
    message = 'JSON Value: "x" Type: String is not of expected type: float'
    answer = predict("half_plus_two", {"inputs": ["x"]})
    assert (answer.status, answer.error) == (400, message)
    assert predict("half_plus_two", {"instances": [1.0, "x"]}).error == (
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
        + message
    )


def test_a_wrong_value_is_cut(predict):
    error = predict("half_plus_two", {"inputs": ["x" * 100_000]}).error
    assert len(error) < 400
    error = predict("half_plus_two", {"instances": {"x" * 100_000: 1}}).error
    assert len(error) < 400


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("int32", [1, -2147483648], [1.5, 1.0, True, 2147483648, "1", None]),
        ("int64", [9223372036854775807], [9223372036854775808, 1e3]),
        ("uint8", [0, 255], [256, -1]),
        ("uint64", [18446744073709551615], [-1]),
        ("bool", [True, False], [1, 0, "true"]),
        ("float64", [0.1, 3.0], ["1", 2**53, 10**400]),
    ],
)
def test_types_take_their_own_tokens_only(predict, name, right, wrong):
    body = {"signature_name": name, "instances": right}
    answer = predict("kinds", body)
    assert answer.json == {"predictions": right}
    assert [type(v) for v in answer.json["predictions"]] == [type(v) for v in right]
    for value in wrong:
        answer = predict("kinds", {"signature_name": name, "instances": [value]})
        assert answer.status == 400
        kind = {"float64": "double"}.get(name, name)
        assert kind in answer.error


def test_floats_take_integers_that_they_can_hold(predict):
    assert predict("half_plus_two", {"inputs": [1, 2]}).json["outputs"] == [2.5, 3.0]
    for value in (2**24, 1e39, -1e39):
        answer = predict("half_plus_two", {"inputs": [0, value]})
        assert answer.status == 400
        assert answer.error.endswith("to float without loss of precision.")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"inputs": [[1.0, 2.0], [3.0]]},
            "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
        ),
        ({"inputs": [1.0, [2.0]]}, "Encountered list at unexpected level: 1 expected"),
        ({"inputs": [[1.0], 2.0]}, "found at incorrect level: 2 in the JSON DOM"),
        ({"instances": [[1.0, 2.0], [3.0]]}, "Expecting tensor size: 2 but got: 1"),
        (
            {"instances": [[[1.0, 2.0]], [[1.0], [2.0]]]},
            "Expecting shape [1,2] but got: [2,1]",
        ),
    ],
)
def test_ragged_lists_are_refused(predict, body, message):
    answer = predict("half_plus_two", body)
    assert answer.status == 400
    assert message in answer.error


def test_a_missing_column_is_named(predict):
    answer = predict("two_inputs", {"inputs": {"a": [[1.0, 2.0]]}})
    assert answer.status == 400
    assert answer.error == "Missing named input: b in 'inputs' object."
    extra = {"a": [[1.0, 2.0]], "b": [1.0], "c": "ignored"}
    assert predict("two_inputs", {"inputs": extra}).status == 200


def test_an_unknown_signature_is_named(predict):
    answer = predict("half_plus_two", ROW | {"signature_name": "foo"})
    assert answer.status == 400
    assert answer.error == ('Serving signature name: "foo" not found in signature def')
    assert predict("half_plus_two", ROW | {"signature_name": ""}).status == 200


def test_the_name_of_a_signature_is_a_string(predict):
    answer = predict("half_plus_two", ROW | {"signature_name": 100})
    assert answer.status == 400
    assert "'signature_name' key must be a string value." in answer.error


def test_unknown_keys_are_ignored(predict):
    assert predict("half_plus_two", ROW | {"more": {"a": 1}}).status == 200


def test_an_unknown_model_or_version_is_not_found(send):
    answer = send("POST", "/v1/models/foo:predict", ROW)
    assert answer.status == 404
    assert answer.error == "Servable not found for request: Latest(foo)"
    answer = send("POST", f"{HALF}/versions/99:predict", ROW)
    assert answer.status == 404
    assert answer.error == (
        "Servable not found for request: Specific(half_plus_two, 99)"
    )


def test_an_unknown_label_is_refused(send):
    answer = send("POST", f"{HALF}/labels/foo:predict", ROW)
    assert answer.status == 400
    assert answer.error == "Unrecognized servable version label: foo"
    assert send("GET", f"{HALF}/labels/foo").status == 400


@pytest.mark.parametrize("digits", ["9223372036854775808", "9" * 5000])
def test_a_version_is_at_most_an_int64(send, digits):
    answer = send("GET", f"{HALF}/versions/{digits}")
    assert answer.status == 400
    assert answer.error.startswith("Failed to convert version: ")
    assert answer.error.endswith(" to numeric.")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{HALF}:predict"),
        ("POST", f"{HALF}/metadata"),
        ("POST", HALF),
        ("PUT", f"{HALF}:predict"),
        ("DELETE", HALF),
        ("PATCH", HALF),
        ("GET", "/v1/foo"),
        ("GET", "/v1/"),
        ("GET", f"{HALF}/version/1"),
        ("POST", f"{HALF}:predict/"),
        ("POST", f"{HALF}:ask"),
    ],
)
def test_any_other_request_is_malformed(send, method, path):
    answer = send(method, path)
    assert answer.status == 400
    assert answer.error == f"Malformed request: {method} {path}"


def test_paths_are_read_without_their_case(send):
    answer = send("POST", "/V1/Models/half_plus_two/Versions/123:Predict", ROW)
    assert answer.status == 200
    assert send("GET", "/v1/models/HALF_PLUS_TWO").status == 404


def test_a_question_about_no_model_lacks_its_name(send):
    answer = send("GET", "/v1/models")
    assert answer.status == 400
    assert answer.error == "Missing model name in request."


@pytest.mark.parametrize("path", ["/", "/v1", "/foo", "/v2/models/half_plus_two"])
def test_other_paths_are_not_found(send, path):
    answer = send("GET", path)
    assert answer.status == 404
    assert answer.kind.startswith("text/html")


def test_the_status_of_a_model_lists_its_versions_as_strings(send):
    answer = send("GET", HALF)
    assert (answer.status, answer.kind) == (200, "application/json")
    fine = {"error_code": "OK", "error_message": ""}
    available = {"version": "123", "state": "AVAILABLE", "status": fine}
    assert answer.json == {"model_version_status": [available]}
    assert send("GET", f"{HALF}/versions/123").json == answer.json


def test_the_status_of_a_version_that_failed_says_why(send):
    listed = send("GET", "/v1/models/pictures").json["model_version_status"]
    assert [version["version"] for version in listed] == ["3", "2"]
    assert listed[0]["state"] == "END"
    assert listed[0]["status"]["error_code"] == "DATA_LOSS"
    answer = send("POST", "/v1/models/pictures/versions/3:predict", ROW)
    assert answer.status == 404


def test_the_status_of_what_is_not_there(send):
    answer = send("GET", "/v1/models/foo")
    assert answer.status == 404
    assert answer.error == "Could not find any versions of model foo"
    answer = send("GET", f"{HALF}/versions/99")
    assert answer.status == 404
    assert answer.error == "Could not find version 99 of model half_plus_two"


def test_metadata_are_the_definition_of_the_signatures(send):
    answer = send("GET", "/v1/models/two_inputs/metadata")
    assert answer.status == 200
    spec = {"name": "two_inputs", "signature_name": "", "version": "1"}
    assert answer.json["model_spec"] == spec
    shown = answer.json["metadata"]["signature_def"]["signature_def"]
    definition = shown["serving_default"]
    assert definition["inputs"]["a"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {
            "dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}],
            "unknown_rank": False,
        },
        "name": "serving_default_a:0",
    }
    assert set(definition["outputs"]) == {"sum", "pair"}
    assert definition["method_name"] == "tensorflow/serving/predict"
    assert definition["defaults"] == {}
    assert send("GET", "/v1/models/two_inputs/versions/1/metadata").json == answer.json
    assert send("GET", "/v1/models/foo/metadata").status == 404


def test_methods_that_are_not_there_yet_say_so(send):
    answer = send("POST", f"{HALF}:classify", {"examples": [{"x": 1.0}]})
    assert answer.status == 501
    assert "classify" in answer.error


@pytest.mark.parametrize(
    "name",
    [
        *("..", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f", "a%2Fb", "half_plus_two%00"),
        *("x" * 4000, "%C3%A4%F0%9F%98%80", "%0d%0aSet-Cookie", "%ff"),
    ],
)
def test_a_name_is_only_a_key(send, name):
    for method, path in (("POST", ":predict"), ("GET", ""), ("GET", "/metadata")):
        answer = send(method, f"/v1/models/{name}{path}", ROW)
        assert answer.status == 404
        assert len(answer.error) < 200


def test_every_answer_of_many_at_once_is_to_its_own_question(predict):
    def ask(number):
        answer = predict("half_plus_two", {"instances": [float(number)]})
        return answer.json["predictions"] == [0.5 * number + 2]

    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(500)))
