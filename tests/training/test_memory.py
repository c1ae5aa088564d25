import platform
import resource

import numpy as np
import pytest

from tfdl.training import memory

PAGE = resource.getpagesize()


class Missing:
    """A C library without what glibc has."""


def faults(count, size):
    """Count the pages that are cleared while blocks come and go."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        np.ones(size, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this is not glibc")
def test_freed_blocks_are_used_again():
    size = 48 << 20  # glibc would give it back each time
    assert memory.keep_freed()
    faults(1, size)
    assert faults(10, size) < size // PAGE


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: Missing())
    assert not memory.keep_freed()


def test_a_system_without_libraries_is_left_alone(monkeypatch):
    def refuse(name):
        raise OSError("no such library")

    monkeypatch.setattr(memory.ctypes, "CDLL", refuse)
    assert not memory.keep_freed()
