"""The process an engine works in."""

import ctypes

import cv2


def settle_process() -> None:
    """Set this process up for painting: speed only, never pixels."""
    cv2.setNumThreads(1)  # blocks run side by side; threads inside one only get in each other's way
    # A window's planes are a few MB each. By default the C library gives such memory back at once, and the
    # next plane pays for fresh pages: a tenth of all painting time (docs/log.md).
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 256 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)
    except (OSError, AttributeError):
        return  # another C library, which has its own ways


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(3)."""
