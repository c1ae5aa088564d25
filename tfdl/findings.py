"""What a check finds: one fact about data or model, whether it is as it should be."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from tfdl import errors


@dataclasses.dataclass(frozen=True)
class Finding:
    """One row of a check's table.

    Attributes:
        name: what was looked at.
        verdict: "fail" must be mended before training, "warn" is worth a look.
        reason: the figures that decided it, and what mends it.
        is_about_data: whether data are at fault where it fails, or the set-up.
    """

    name: str
    verdict: Literal["pass", "warn", "fail"]
    reason: str
    is_about_data: bool = False

    def __str__(self) -> str:
        return f"{self.verdict}  {self.name}: {self.reason}"


def refuse_failures(found: Sequence[Finding]) -> None:
    """Raise what the first failure is.

    Raises:
        DataError: the data are at fault.
        UsageError: model or flags are.
    """
    failures = [finding for finding in found if finding.verdict == "fail"]
    if not failures:
        return
    kind = errors.DataError if failures[0].is_about_data else errors.UsageError
    names = ", ".join(finding.name for finding in failures)
    raise kind(
        f"{len(failures)} of {len(found)} checks failed: {names}",
        f"start with {failures[0].name}: {failures[0].reason}",
    )
