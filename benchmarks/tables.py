"""Writes what was measured into the README beside this file, and names the machine."""

import os
import pathlib
import platform
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = ROOT / "runs" / "benchmarks"
_README = ROOT / "benchmarks" / "README.md"


def write(name: str, lines: Sequence[str]) -> None:
    """Put lines between the marks `<!-- name -->` and `<!-- end of name -->`.

    Raises:
        ValueError: the README does not have each mark once.
    """
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = _README.read_text()
    if text.count(start) != 1 or text.count(end) != 1:
        raise ValueError(f"{_README} must have {start} and {end} once each")
    before, _, rest = text.partition(start)
    after = rest.partition(end)[2]
    inside = "\n".join(lines)
    _README.write_text(f"{before}{start}\n{inside}\n{end}{after}")


def machine() -> str:
    """Name the processor and the system."""
    cpu = pathlib.Path("/proc/cpuinfo").read_text().partition("model name")[2]
    name = cpu.partition("\n")[0].strip("\t :")
    return f"{os.cpu_count()} cores of {name}, {platform.system()}, no GPU"
