"""TensorFlow Serving's REST protocol: which path asks for what, and what is answered.

It knows nothing of sockets: method, path and body go in, a text or a failure comes out.
"""

import dataclasses
import json
import re
import urllib.parse

from tfdl.serving import catalog, documents, failures, predict, servable

_MODEL = r"/v1/models/(?P<model>[^/:]+)"
_VERSION = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(
    f"{_MODEL}{_VERSION}:(?P<verb>classify|regress|predict)", re.IGNORECASE
)
_QUESTION = re.compile(
    f"/v1/models(?:/(?P<model>[^/:]+))?{_VERSION}(?:/(?P<verb>metadata))?",
    re.IGNORECASE,
)
_PATTERNS = {"POST": _CALL, "GET": _QUESTION}


@dataclasses.dataclass(frozen=True)
class Target:
    """What a request is about.

    Args:
        verb: predict, classify, regress, metadata or status.
        model: a name, as the client wrote it.
        version: a number, or None.
        label: of a version, or None.
    """

    verb: str
    model: str
    version: int | None
    label: str | None

    @property
    def has_body(self) -> bool:
        """Whether the body of the request matters."""
        return self.verb not in ("metadata", "status")

    @property
    def which(self) -> dict:
        """The version as `Catalog` takes it."""
        return {"version": self.version, "label": self.label}


def is_rest(path: str) -> bool:
    """Say whether a path belongs to this protocol at all."""
    return path[: len("/v1/")].lower() == "/v1/"


def parse(method: str, path: str) -> Target:
    """Read a request's first line.

    Args:
        method: GET, POST or another.
        path: still encoded, without the query.

    Returns:
        What it asks for; names are decoded.

    Raises:
        Failure: it is none of the protocol's.
    """
    pattern = _PATTERNS.get(method)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        message = f"Malformed request: {method} {failures.short(path)}"
        raise failures.invalid(message)
    if match["model"] is None:
        raise failures.invalid("Missing model name in request.")
    label = match["label"]
    return Target(
        verb=(match["verb"] or "status").lower(),
        model=urllib.parse.unquote(match["model"]),
        version=_version(match["version"]),
        label=label and urllib.parse.unquote(label),
    )


def respond(
    target: Target, body: bytes, *, models: catalog.Catalog, max_pixels: int
) -> str:
    """Answer a request.

    Args:
        target: what it asks for.
        body: the JSON of a predict request.
        models: what is served.
        max_pixels: most pixels of a picture among the inputs.

    Returns:
        The JSON text of the response.

    Raises:
        Failure: it cannot be answered; any other exception is for `failures.explain`.
    """
    if target.verb == "predict":
        document = documents.parse(body)  # first, as TensorFlow Serving does
        version = models.find(target.model, **target.which)
        return predict.answer(version, document, max_pixels=max_pixels)
    if target.verb == "status":
        statuses = models.statuses(target.model, **target.which)
        return json.dumps({"model_version_status": statuses}, indent=1)
    if target.verb == "metadata":
        return json.dumps(_metadata(models.find(target.model, **target.which)))
    message = f"This server has no method {target.verb}, use predict"
    raise failures.Failure("UNIMPLEMENTED", message)


def error_text(failure: failures.Failure) -> str:
    """Write the body of a response that reports a failure."""
    return json.dumps({"error": str(failure)})


def _version(digits: str | None) -> int | None:
    if digits is None:
        return None
    # Python's own limit on digits must not be met: the length says enough.
    significant = digits.lstrip("0") or "0"
    is_small = len(significant) <= len(str(servable.MAX_VERSION))
    if not is_small or int(significant) > servable.MAX_VERSION:
        shown = failures.short(digits)
        raise failures.invalid(f"Failed to convert version: {shown} to numeric.")
    return int(significant)


def _metadata(version: servable.Servable) -> dict:
    return {
        "model_spec": {
            "name": version.name,
            "signature_name": "",
            "version": str(version.version),
        },
        # The name of the metadata, then the only field of a SignatureDefMap.
        "metadata": {"signature_def": {"signature_def": version.definitions}},
    }
