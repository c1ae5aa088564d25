"""Asks a server about picture files, with the standard library alone.

python -m tfdl.serving.ask http://127.0.0.1:8501 MODEL PICTURE [PICTURE ...]

It prints the beginning of every answer.
"""

import base64
import json
import pathlib
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

from tfdl import errors

_TIMEOUT_SECONDS = 60
_SHOWN = 5  # of a list


def ask(url: str, model: str, *, pictures: Sequence[pathlib.Path]) -> list[Any]:
    """Send the files to a model's default signature.

    Args:
        url: of the server, as http://127.0.0.1:8501.
        model: its name there.
        pictures: files of any format that the model reads.

    Returns:
        The prediction of each picture.

    Raises:
        DataError: a file cannot be read, or the server refuses them.
        NetworkError: there is no answer.
    """
    try:
        encoded = [base64.b64encode(picture.read_bytes()) for picture in pictures]
        body = {"instances": [{"b64": content.decode()} for content in encoded]}
        path = f"/v1/models/{urllib.parse.quote(model, safe='')}:predict"
        request = urllib.request.Request(url + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            return json.load(response)["predictions"]
    except urllib.error.HTTPError as error:
        with error:
            reason = error.read().decode(errors="replace")
        message, remedy = f"{url} answers {error.code}: {reason}", "ask for what it has"
        raise errors.DataError(message, remedy) from None
    except urllib.error.URLError as error:
        message = f"{url} does not answer: {error.reason}"
        raise errors.NetworkError(message, "start apps/serve.py") from None
    except OSError as error:
        raise errors.DataError(str(error), "name files that can be read") from None


def shortened(answer: Any) -> Any:
    """Keep the beginning of every long list, and say how much is left out."""
    if isinstance(answer, dict):
        return {name: shortened(value) for name, value in answer.items()}
    if not isinstance(answer, list):
        return answer
    left_out = len(answer) - _SHOWN
    more = [f"... and {left_out} more"] if left_out > 0 else []
    return [shortened(value) for value in answer[:_SHOWN]] + more


if __name__ == "__main__":
    server, name, *files = sys.argv[1:]
    try:
        answers = ask(server, name, pictures=[pathlib.Path(file) for file in files])
    except errors.UserError as failure:
        print(f"error: {failure}\nremedy: {failure.remedy}", file=sys.stderr)
        sys.exit(failure.exit_code)
    for file, answer in zip(files, answers, strict=True):
        print(f"{file}: {json.dumps(shortened(answer), ensure_ascii=False)}")
