"""Keeps the memory that one training step frees for the next one.

Under Python 3.11, TensorFlow tells glibc to give every block of 128 kB or more back to
the system, as soon as the first distributed data set is read (`GeneratorDatasetOp`).
The next step asks for them again, and each page is cleared once more: on a CPU this
cost a fifth of every step of a ResNet-18.
"""

import ctypes

# Parameters of mallopt, as glibc's malloc.h numbers them, and what they are set to.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_SETTINGS = {
    _TRIM_THRESHOLD: (1 << 31) - 1,  # free bytes above which memory is given back
    _TOP_PAD: 64 << 20,  # bytes that stay: as many as the heap of a thread can have
    _MMAP_THRESHOLD: 1 << 30,  # bytes of a block that is always given back
}


def keep_freed() -> bool:
    """Set the limits of this process; other C libraries than glibc are left alone.

    To be called after TensorFlow has set them, which it does once.

    Returns:
        Whether all were set.
    """
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (another library has none)
    except (OSError, AttributeError):
        return False
    return all(library.mallopt(name, value) for name, value in _SETTINGS.items())
