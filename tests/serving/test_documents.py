import json
import time

import pytest

from tfdl.serving import documents, failures


def test_an_object_is_parsed_and_what_follows_is_not():
    assert documents.parse(b' {"a": [1, 2.5, NaN]} \xc3\xa4')["a"][:2] == [1, 2.5]


def test_a_byte_order_mark_is_skipped():
    assert documents.parse("\ufeff{}".encode()) == {}


def test_the_last_of_equal_keys_counts():
    assert documents.parse(b'{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"x", "JSON Parse error: Invalid value. at offset: 0"),
        (b'{"a": 1', "at offset: 7"),
        (b'{"a": "\xff"}', "Invalid encoding in string. at offset: 7"),
        (b'"one"', 'JSON Value: "one" Is not object'),
        (b"null", "JSON Value: null Is not object"),
        (b'{"a": ' + b"9" * 5000 + b"}", "Number too big"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"\x00{}", "Invalid value. at offset: 0"),
        (b'{"a\x00": 1}', "Invalid control character"),
    ],
)
def test_every_other_body_is_a_failure_of_the_request(body, message):
    start = time.perf_counter()
    with pytest.raises(failures.Failure) as caught:
        documents.parse(body)
    assert time.perf_counter() - start < 1
    assert caught.value.status == 400
    assert message in str(caught.value)


@pytest.mark.parametrize("value", [{"a": [1, None, "ä"]}, 0.1, float("inf"), True, []])
def test_a_small_value_is_shown_whole(value):
    assert documents.excerpt(value) == json.dumps(value, ensure_ascii=False)


def test_a_large_value_is_cut_without_being_written():
    start = time.perf_counter()
    shown = documents.excerpt([["ä" * 1000] * 1000] * 1_000_000)
    assert time.perf_counter() - start < 0.1
    assert len(shown.encode()) in (255, 256)
