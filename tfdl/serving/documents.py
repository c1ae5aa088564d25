"""How the bytes of a request become a JSON object, and which ones do not.

The standard parser takes what TensorFlow Serving's takes: NaN and Infinity, a byte
order mark, and anything after the object. Its own limits (depth, digits) are failures
of the request like any other.
"""

import json
import re
from typing import Any

from tfdl.serving import failures

_DECODER = json.JSONDecoder()
_ENCODER = json.JSONEncoder(ensure_ascii=False)
_WHITESPACE = re.compile(r"[ \t\n\r]*")
# RapidJSON's words, where the parsers mean the same.
_REASONS = {"Expecting value": "Invalid value"}
_EXCERPT_BYTES = 256  # TensorFlow Serving's cut


def parse(body: bytes) -> dict[str, Any]:
    """Parse the body of a request.

    Args:
        body: a JSON object in UTF-8; whatever follows it is ignored.

    Returns:
        The object. Of a key that occurs twice, the last value.

    Raises:
        Failure: it is empty, not JSON, not UTF-8, too deep or not an object.
    """
    document = _parse(body)
    if not isinstance(document, dict):
        raise failures.invalid(f"JSON Value: {excerpt(document)} Is not object")
    return document


def excerpt(value: Any) -> str:
    """Write the beginning of a JSON value, for a message.

    Args:
        value: what `parse` returned, or a part of it.

    Returns:
        At most 256 bytes of JSON; little more than those is ever written.
    """
    text = ""
    for part in _ENCODER.iterencode(value):
        text += part[:_EXCERPT_BYTES]
        if len(text) >= _EXCERPT_BYTES:
            break
    return text.encode(errors="replace")[:_EXCERPT_BYTES].decode(errors="ignore")


def _parse(body: bytes) -> Any:
    try:
        text = body.decode("utf-8-sig")
        start = _WHITESPACE.match(text).end()
        if start == len(text):
            raise failures.invalid("JSON Parse error: The document is empty")
        return _DECODER.raw_decode(text, start)[0]
    except UnicodeDecodeError as error:
        raise _error("Invalid encoding in string", error.start) from None
    except json.JSONDecodeError as error:
        reason = _REASONS.get(error.msg, error.msg)
        raise _error(reason, error.pos) from None
    except ValueError:  # Python refuses to convert thousands of digits
        message = "JSON Parse error: Number too big to be stored in double."
        raise failures.invalid(message) from None
    except RecursionError as error:
        raise failures.explain(error) from None


def _error(reason: str, offset: int) -> failures.Failure:
    return failures.invalid(f"JSON Parse error: {reason}. at offset: {offset}")
