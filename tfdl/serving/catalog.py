"""Which versions of which models are there, and in which state is each?

Names and labels come from clients and are keys of dictionaries, never parts of a path.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

from tfdl.serving import failures, servable


@dataclasses.dataclass(frozen=True)
class Version:
    """What is known of a version.

    Args:
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        loaded: what answers requests, while the state is AVAILABLE.
        error_code: OK, or the gRPC code of what made it END.
        error_message: what made it END.
    """

    state: str
    loaded: servable.Servable | None = None
    error_code: str = "OK"
    error_message: str = ""


class Catalog:
    """The models that are served.

    Requests read it from several threads; a change replaces what they see at once.

    Args:
        names: of the models that are to be served, whatever becomes of them.
    """

    def __init__(self, names: Iterable[str]):
        self._models: dict[str, dict[int, Version]] = {name: {} for name in names}

    def set(self, name: str, number: int, version: Version) -> None:
        """Say what has become of a version of one of the models."""
        self._models[name] = {**self._models[name], number: version}

    @property
    def is_ready(self) -> bool:
        """Whether every model has a version that answers."""
        return all(self._available(name) for name in self._models)

    def find(
        self, name: str, *, version: int | None = None, label: str | None = None
    ) -> servable.Servable:
        """Find what answers a request.

        Args:
            name: of the model.
            version: its number; by default the largest that is available.
            label: of a version; none has a label yet.

        Returns:
            A loaded version.

        Raises:
            Failure: there is none.
        """
        refuse_label(label)
        available = self._available(name)
        if version is None and available:
            return available[max(available)]
        if version in available:
            return available[version]
        shown = failures.short(name)
        wanted = f"Latest({shown})"
        if version is not None:
            wanted = f"Specific({shown}, {version})"
        message = f"Servable not found for request: {wanted}"
        raise failures.Failure("NOT_FOUND", message)

    def statuses(
        self, name: str, *, version: int | None = None, label: str | None = None
    ) -> list[dict[str, Any]]:
        """List the states of a model's versions, the newest first.

        Args:
            name: of the model.
            version: lists this one alone.
            label: as for `find`.

        Returns:
            ModelVersionStatus in JSON's form for each.

        Raises:
            Failure: there is none.
        """
        refuse_label(label)
        versions = self._models.get(name, {})
        if version is not None:
            versions = {version: versions[version]} if version in versions else {}
        if not versions:
            which = "any versions" if version is None else f"version {version}"
            message = f"Could not find {which} of model {failures.short(name)}"
            raise failures.Failure("NOT_FOUND", message)
        return [_status(number, versions[number]) for number in sorted(versions)[::-1]]

    def _available(self, name: str) -> dict[int, servable.Servable]:
        return {
            number: version.loaded
            for number, version in self._models.get(name, {}).items()
            if version.state == "AVAILABLE"
        }


def refuse_label(label: str | None) -> None:
    """Raise a failure for any label: only a configuration file could assign one."""
    if label is not None:
        message = f"Unrecognized servable version label: {failures.short(label)}"
        raise failures.invalid(message)


def _status(number: int, version: Version) -> dict[str, Any]:
    error = {"error_code": version.error_code, "error_message": version.error_message}
    return {"version": str(number), "state": version.state, "status": error}
